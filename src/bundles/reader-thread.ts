import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../lib/message.ts';
import { BundleError } from './error.ts';
import { readAndMerge } from './read.ts';
import type { ReaderAnswer, ReadTask } from './reader.ts';
import { ArchiveError } from './tar.ts';

const NICE = 19;

/** Buffers come out of a message as plain arrays of bytes. */
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function taskOf({ content, ...task }: ReadTask): ReadTask {
  if ('archive' in content) return { ...task, content: { archive: bufferOf(content.archive) } };
  return { ...task, content: { files: new Map([...content.files].map(([name, file]) => [name, bufferOf(file)])) } };
}

// On Linux this is the thread's own priority: it gets what those who answer leave.
setPriority(NICE);
const answer = await readAndMerge(taskOf(workerData as ReadTask)).catch(
  (error: unknown): ReaderAnswer => ({
    problem: messageOf(error),
    isBundleError: error instanceof BundleError || error instanceof ArchiveError,
  }),
);
parentPort?.postMessage(answer);
