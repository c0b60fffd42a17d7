import { stat } from 'node:fs/promises';
import { createLooks } from './looks.ts';
import { readLimited } from './read-limited.ts';

export type FileWatch<T> = {
  readonly file: string;
  readonly maxBytes: number;
  /** How often the file is looked at, ms. */
  readonly everyMs: number;
  /** Throws when the content cannot be used. */
  readonly open: (content: Buffer) => T;
  /** New content, the first included. */
  readonly onChange: (value: T) => void;
  /** A look has found a file that cannot be used; what was there before stays. */
  readonly onFailure: (error: unknown) => void;
};

export type WatchedFile = {
  /** Reads the file for the first time. Rejects when it cannot be used. */
  readonly start: () => Promise<void>;
  /** Looks at the file now. Never rejects. */
  readonly reload: () => Promise<void>;
  readonly stop: () => void;
};

/**
 * A large file that is followed: it is read again when its identity on disk (inode, size, times) has changed and stays
 * so from one look to the next. The content counts only if the file was the same before and after it was read.
 */
export function watchFile<T>(watch: FileWatch<T>): WatchedFile {
  let seen: string | undefined;
  let taken: string | undefined;
  /** What cannot be used is not read at each look. */
  let refused: { readonly identity: string; readonly error: unknown } | undefined;

  /** Undefined when the file changed meanwhile. */
  async function read(identity: string): Promise<{ readonly value: T } | undefined> {
    const content = await readLimited(watch.file, watch.maxBytes);
    if ((await identityOf(watch.file)) !== identity) return undefined;
    try {
      return { value: watch.open(content) };
    } catch (error) {
      refused = { identity, error };
      throw error;
    }
  }
  async function lookAt(settled: boolean): Promise<boolean> {
    const before = seen;
    const identity = await identityOf(watch.file);
    seen = identity;
    if (identity === taken) return false;
    if (!settled && identity !== before) return true;
    if (identity === refused?.identity) throw refused.error;
    const content = await read(identity);
    if (content === undefined) return true;
    watch.onChange(content.value);
    taken = identity;
    return false;
  }
  const look = async (settled: boolean): Promise<boolean> => {
    try {
      return await lookAt(settled);
    } catch (error) {
      watch.onFailure(error);
      return false;
    }
  };
  const looks = createLooks(look, watch.everyMs);

  return {
    start: async () => {
      if (await lookAt(true)) throw new Error(`${watch.file} changed while it was read`);
      looks.start();
    },
    reload: async () => {
      await looks.now();
    },
    stop: looks.stop,
  };
}

/** The time of the last change of the inode, too: it cannot be set to what it was. */
async function identityOf(file: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}
