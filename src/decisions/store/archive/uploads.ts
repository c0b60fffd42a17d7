import { backoffMs } from '../../../lib/backoff.ts';
import { within } from '../../../lib/quietly.ts';
import { createSignal } from '../../../lib/signal.ts';
import type { StoredFile } from '../parquet.ts';

export type UploadParts = {
  /** What is still to be archived, the oldest first. */
  readonly waiting: () => readonly StoredFile[];
  readonly upload: (file: StoredFile, signal: AbortSignal) => Promise<void>;
  readonly onFailure: (file: StoredFile, error: unknown) => void;
};

/** Uploads files one after another, beside everything else. */
export type Uploads = {
  /** There is something to do. */
  readonly wake: () => void;
  /** Name of the file that is being uploaded. */
  readonly underWay: () => string | undefined;
  /** Goes on until nothing waits, something fails, or the time is over, and ends. */
  readonly finish: (withinMs: number) => Promise<void>;
};

const RETRY_BASE_MS = 1000;
const RETRY_CAP_MS = 60_000;

export function startUploads({ waiting, upload, onFailure }: UploadParts): Uploads {
  const end = new AbortController();
  /** Tried again only after those that have not failed. */
  const failed = new Set<string>();
  let failures = 0;
  let finishing = false;
  let underWay: string | undefined;
  const toDo = createSignal();
  const toEnd = createSignal();

  function next(): StoredFile | undefined {
    const files = waiting();
    const fresh = files.find(({ name }) => !failed.has(name));
    if (fresh === undefined) failed.clear();
    return fresh ?? files[0];
  }

  /** Whether it was uploaded. */
  async function attempt(file: StoredFile): Promise<boolean> {
    underWay = file.name;
    try {
      await upload(file, end.signal);
      failures = 0;
      return true;
    } catch (error) {
      failures++;
      failed.add(file.name);
      if (!end.signal.aborted) onFailure(file, error);
      return false;
    } finally {
      underWay = undefined;
    }
  }

  async function run(): Promise<void> {
    while (!end.signal.aborted) {
      const file = next();
      if (file !== undefined && (await attempt(file))) continue;
      if (finishing) return;
      if (file === undefined) await toDo.wait();
      else await toEnd.wait(backoffMs(failures - 1, RETRY_BASE_MS, RETRY_CAP_MS, Math.random));
    }
  }
  const running = run();

  return {
    wake: toDo.raise,
    underWay: () => underWay,
    finish: async (withinMs) => {
      finishing = true;
      toDo.raise();
      toEnd.raise();
      await within(running, withinMs);
      end.abort();
      await running;
    },
  };
}
