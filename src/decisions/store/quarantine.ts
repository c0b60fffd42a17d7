import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

const MAX_LINES_BYTES = 1_048_576;

/** What cannot be read is put here, each with a file that says why. */
export type Quarantine = {
  /** Moves a file here; what is not there any more is left alone. */
  readonly take: (file: string, reason: string) => Promise<void>;
  /** Keeps lines of a segment that are no JSON. */
  readonly takeLines: (segment: string, lines: readonly string[]) => Promise<void>;
  /** Removes what is older than that, ms since the epoch. */
  readonly removeBefore: (ms: number) => Promise<void>;
};

export type QuarantineParts = {
  readonly folder: string;
  readonly now: () => number;
  readonly onTaken: (name: string, reason: string) => void;
};

export function createQuarantine({ folder, now, onTaken }: QuarantineParts): Quarantine {
  const explain = (name: string, reason: string): Promise<void> =>
    writeFile(join(folder, `${name}.reason`), `${new Date(now()).toISOString()} ${reason}\n`, { mode: 0o600 });
  const ready = (): Promise<unknown> => mkdir(folder, { recursive: true, mode: 0o700 });

  return {
    take: async (file, reason) => {
      const name = `${basename(file)}.${now()}`;
      await ready();
      await explain(name, reason);
      try {
        await rename(file, join(folder, name));
      } catch (error) {
        await rm(join(folder, `${name}.reason`), { force: true });
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
        throw error;
      }
      onTaken(basename(file), reason);
    },
    takeLines: async (segment, lines) => {
      // By the segment alone, so that reading it again after a crash does not keep them twice.
      const name = `${segment}.lines`;
      await ready();
      await explain(name, `${lines.length} lines are no JSON objects`);
      await writeFile(join(folder, name), `${lines.join('\n').slice(0, MAX_LINES_BYTES)}\n`, { mode: 0o600 });
      onTaken(name, `${lines.length} lines are no JSON objects`);
    },
    removeBefore: async (ms) => {
      for (const entry of await readdir(folder).catch(() => [])) {
        const file = join(folder, entry);
        if ((await stat(file)).mtimeMs < ms) await rm(file, { recursive: true, force: true });
      }
    },
  };
}
