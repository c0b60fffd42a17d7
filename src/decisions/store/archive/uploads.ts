import { backoffMs } from '../../../lib/backoff.ts';
import { within } from '../../../lib/quietly.ts';
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
  let goOn: (() => void) | undefined;
  let isIdle = false;

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

  /** Without a time: until there is something to do. */
  function pause(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      isIdle = ms === undefined;
      goOn = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function run(): Promise<void> {
    while (!end.signal.aborted) {
      const file = next();
      if (file !== undefined && (await attempt(file))) continue;
      if (finishing) return;
      await pause(file === undefined ? undefined : backoffMs(failures - 1, RETRY_BASE_MS, RETRY_CAP_MS, Math.random));
    }
  }
  const running = run();

  return {
    wake: () => {
      if (isIdle) goOn?.();
    },
    underWay: () => underWay,
    finish: async (withinMs) => {
      finishing = true;
      goOn?.();
      await within(running, withinMs);
      end.abort();
      await running;
    },
  };
}
