import { type FileHandle, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { syncFolder } from '../../lib/sync-folder.ts';

/** One file that is written at positions. Everything rejects with what the system says (`code`). */
export type WalFile = {
  /** Writes all of `bytes`, from the position `at` on. */
  readonly write: (bytes: Uint8Array, at: number) => Promise<void>;
  /** Resolves when what was written is on the disk (fdatasync(2)). */
  readonly sync: () => Promise<void>;
  readonly truncate: (length: number) => Promise<void>;
  readonly close: () => Promise<void>;
};

/** What the write-ahead log asks of a file system; a parameter, so that a test can be a slow or full disk. */
export type WalFiles = {
  /** Makes the folder and those above it, for the owner only (0700). */
  readonly makeFolder: (path: string) => Promise<void>;
  /** Makes a file that is not there yet, for the owner only (0600). */
  readonly create: (path: string) => Promise<WalFile>;
  /** A whole small file, 0600. */
  readonly put: (path: string, text: string) => Promise<void>;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly remove: (path: string) => Promise<void>;
  /** Resolves when the names in the folder are on the disk. */
  readonly syncFolder: (path: string) => Promise<void>;
};

export const diskFiles: WalFiles = {
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  create: async (path) => fileOf(await open(path, 'wx', 0o600)),
  put: (path, text) => writeFile(path, text, { mode: 0o600 }),
  rename,
  remove: (path) => rm(path, { force: true }),
  syncFolder,
};

const fileOf = (handle: FileHandle): WalFile => ({
  write: async (bytes, at) => {
    let done = 0;
    while (done < bytes.length) {
      done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    }
  },
  sync: () => handle.datasync(),
  truncate: (length) => handle.truncate(length),
  close: () => handle.close(),
});
