import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Sink } from './sink.ts';

export type FileSinkOptions = {
  readonly path: string;
  /** The file is rotated before it would grow beyond this; a longer line gets a file of its own. */
  readonly maxBytes: number;
  /** How many rotated files (`path.1` is the newest) are kept. */
  readonly keep: number;
  readonly onError: (error: unknown) => void;
};

type OpenFile = { readonly handle: FileHandle; readonly inode: bigint; size: number };

const NEWLINE = 0x0a;
const { O_APPEND, O_CREAT, O_NONBLOCK, O_RDWR } = constants;

/**
 * Appends lines to a file that only its owner may read (0600; folders that are missing are made, 0700). What fails
 * (disk full, folder gone) goes to `onError`; the lines that were not written are offered again with later ones. A file
 * that was moved away or deleted is made anew.
 */
export function createFileSink(options: FileSinkOptions): Sink {
  const { path, maxBytes, keep, onError } = options;
  let file: OpenFile | undefined;

  async function close(): Promise<void> {
    const { handle } = file ?? {};
    file = undefined;
    await handle?.close().catch(onError);
  }

  /** The file that the path names now, with room for a line of `bytes`. */
  async function fileFor(bytes: number): Promise<OpenFile> {
    if (file !== undefined && (await inodeAt(path)) !== file.inode) await close();
    file ??= await openForAppend(path);
    if (file.size === 0 || file.size + bytes <= maxBytes) return file;
    await close();
    await rotate(path, keep);
    file = await openForAppend(path);
    return file;
  }

  /** Appends as many lines as fit, one at least; resolves with how many are complete, and whether it had to stop. */
  async function append(lines: readonly string[]): Promise<{ readonly written: number; readonly failed: boolean }> {
    const [first = Buffer.alloc(0), ...others] = lines.map((line) => Buffer.from(`${line}\n`));
    const target = await fileFor(first.length);
    const chunk = [first];
    let end = target.size + first.length;
    for (const line of others) {
      end += line.length;
      if (end > maxBytes) break;
      chunk.push(line);
    }
    const bytes = Buffer.concat(chunk);
    let at = 0;
    try {
      while (at < bytes.length) at += (await target.handle.write(bytes, at)).bytesWritten;
      target.size += at;
      return { written: chunk.length, failed: false };
    } catch (error) {
      onError(error);
      // Opening it again ends a line that stopped half-way.
      await close();
      return { written: newlinesIn(bytes.subarray(0, at)), failed: true };
    }
  }

  async function write(lines: readonly string[]): Promise<number> {
    let total = 0;
    try {
      while (total < lines.length) {
        const { written, failed } = await append(lines.slice(total));
        total += written;
        if (failed) break;
      }
    } catch (error) {
      onError(error);
    }
    return total;
  }

  return { name: 'file', write, close };
}

/** Opens a regular file at its end. A last line without an end, left by a crash, is ended. */
async function openForAppend(path: string): Promise<OpenFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // Non-blocking, because a pipe must be refused and not waited for.
  const handle = await open(path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, 0o600);
  try {
    const found = await handle.stat({ bigint: true });
    if (!found.isFile()) throw new Error('the decision file is not a regular file');
    let size = Number(found.size);
    if (size > 0) {
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
      if (buffer[0] !== NEWLINE) size += (await handle.write('\n')).bytesWritten;
    }
    return { handle, inode: found.ino, size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** `path.1` becomes `path.2` and so on; what is older than the last kept one is overwritten. */
async function rotate(path: string, keep: number): Promise<void> {
  if (keep === 0) return rm(path, { force: true });
  for (let i = keep - 1; i >= 0; i--) {
    await rename(i === 0 ? path : `${path}.${i}`, `${path}.${i + 1}`).catch(unlessMissing);
  }
}

function unlessMissing(error: unknown): void {
  const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
  if (!isMissing) throw error;
}

async function inodeAt(path: string): Promise<bigint | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found?.ino;
}

function newlinesIn(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === NEWLINE) count++;
  return count;
}
