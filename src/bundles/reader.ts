import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { copyInTurns } from '../lib/in-turns.ts';
import type { JsonObject } from '../model/json.ts';
import type { Module } from './bundle.ts';
import { BundleError } from './error.ts';
import type { Origin } from './origin.ts';
import type { SignedVersion } from './rollback.ts';
import type { Content } from './unpack.ts';
import type { Verification } from './verification.ts';

/*
 * Bundles are read in a thread that lives for one bundle: unpacking, verifying, parsing and merging take as long as they
 * take, and nobody who waits for a decision notices. What it made crosses over in memory that both share; what it is
 * made from goes to the thread, and ends with it.
 */

/** A bundle that was read. */
export type ReadBundle = {
  readonly revision: string;
  readonly roots: readonly string[];
  readonly modules: readonly Module[];
  /** JSON text, UTF-8. */
  readonly data: Uint8Array;
  readonly metadata: JsonObject;
  /** What its next versions are held against; undefined while none was signed. */
  readonly signed: SignedVersion | undefined;
  readonly origin: Origin;
};

export type ReadTask = {
  readonly content: Content;
  /** Most that it may unpack to, bytes. */
  readonly maxBytes: number;
  readonly name: string;
  readonly verification: Verification | undefined;
  /** Whether it may be older than the current one. */
  readonly allowRollback: boolean;
  /** Wall clock, ms since the epoch. */
  readonly nowMs: number;
  /** What deltas change. */
  readonly current: ReadBundle | undefined;
  /** What served under this name before the configuration changed. */
  readonly signedBefore?: SignedVersion | undefined;
  /** The other bundles that its data are to be merged with; undefined: not yet. */
  readonly others: ReadonlyMap<string, Pick<ReadBundle, 'roots' | 'data'>> | undefined;
  /** Whether a folder's files are wanted as an archive. */
  readonly packs?: boolean;
};

export type Read = {
  readonly kind: 'snapshot' | 'delta';
  readonly bundle: ReadBundle;
  /** A folder's files as a tar archive; undefined for what came as one, and where nobody wants it. */
  readonly packed: Uint8Array | undefined;
  /** The data of all, as JSON text in UTF-8; undefined when there was nothing to merge with yet. */
  readonly merged: Uint8Array | undefined;
};
export type ReaderAnswer = Read | { readonly problem: string; readonly isBundleError: boolean };

/** Longest time for one bundle; 200 MiB of data take a fiftieth of it where nobody else wants the processor, ms. */
const TIMEOUT_MS = 600_000;

/** Reads a bundle and merges it with the others. Rejects with BundleError. */
export async function readInThread(task: ReadTask): Promise<Read> {
  // The sources run as .ts, what is built as .js.
  const file = new URL(`./reader-thread${extname(import.meta.url)}`, import.meta.url);
  const content = await copyOf(task.content);
  const bytes = 'archive' in content ? [content.archive] : [...content.files.values()];
  const transferList = bytes.map(({ buffer }) => buffer as ArrayBuffer);
  const thread = new Worker(file, { workerData: { ...task, content }, transferList });
  let timer: NodeJS.Timeout | undefined;
  try {
    const answer = await new Promise<ReaderAnswer>((resolve) => {
      const fail = (problem: string): void => resolve({ problem, isBundleError: true });
      timer = setTimeout(() => fail(`it could not be read within ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS);
      thread.once('message', resolve);
      thread.on('error', (error: Error) => fail(`it could not be read: ${error.message}`));
      thread.once('exit', () => fail('it could not be read'));
    });
    if (!('problem' in answer)) return answer;
    throw answer.isBundleError ? new BundleError(answer.problem) : new Error(answer.problem);
  } finally {
    clearTimeout(timer);
    void thread.terminate();
  }
}

/** Copied in turns; the thread would have it copied at once. */
async function copyOf(content: Content): Promise<Content> {
  if ('archive' in content) return { archive: await copyOfBytes(content.archive) };
  const files = new Map<string, Buffer>();
  for (const [name, bytes] of content.files) files.set(name, await copyOfBytes(bytes));
  return { files };
}

async function copyOfBytes(bytes: Uint8Array): Promise<Buffer> {
  const copy = Buffer.from(new ArrayBuffer(bytes.length));
  await copyInTurns(bytes, copy);
  return copy;
}
