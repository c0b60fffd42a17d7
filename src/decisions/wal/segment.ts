import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { WalFiles } from './files.ts';

export type SegmentOptions = {
  readonly folder: string;
  /** Of this process: 8 hex digits. */
  readonly token: string;
  readonly files: WalFiles;
  readonly clock: Clock;
  /** Whether what is written is synced before it counts. */
  readonly syncs: boolean;
  readonly onSynced: (ms: number) => void;
  readonly onSealed: () => void;
  readonly onError: (error: unknown) => void;
};

/** A file of the log. One write at a time, and one of the others beside it. */
export type Segment = {
  /** Monotonic, ms. */
  readonly bornMs: number;
  /** Bytes that were written. */
  readonly size: () => number;
  /**
   * Appends whole lines. Rejects when not all could be written; the same bytes are to be written again then, before any
   * others, so that a reader who saw some of them already sees nothing new.
   */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  /** Resolves when what was written before is on the disk. After a rejection there is only `abandon`. */
  readonly sync: () => Promise<void>;
  /** Gives it its final name; nothing is written to it any more. Never rejects. */
  readonly seal: () => Promise<void>;
  /**
   * The same after a sync has failed: what became of the bytes since the last one is not known, and a later sync would not
   * tell (fsync(2)), so they are cut off. Never rejects.
   */
  readonly abandon: () => Promise<void>;
  readonly isAbandoned: () => boolean;
};

const OPEN = '.open';

/** Makes the segment of this number: `<ms at creation>-<token>-<number>.ndjson`, with `.open` behind it while it grows. */
export async function openSegment(number: number, options: SegmentOptions): Promise<Segment> {
  const { folder, token, files, clock, syncs, onError } = options;
  const created = String(Math.floor(clock.wallMs())).padStart(13, '0');
  const path = join(folder, `${created}-${token}-${String(number).padStart(6, '0')}.ndjson`);
  const file = await files.create(path + OPEN);
  if (syncs) await files.syncFolder(folder);
  let written = 0;
  let synced = 0;
  /** Behind what was written may be a part of what could not be. */
  let isTorn = false;
  let isAbandoned = false;
  let writing: Promise<void> = Promise.resolve();

  async function write(bytes: Uint8Array): Promise<void> {
    isTorn = true;
    await file.write(bytes, written);
    isTorn = false;
    written += bytes.length;
  }

  async function sync(): Promise<void> {
    const [startedMs, end] = [clock.monotonicMs(), written];
    await file.sync();
    synced = end;
    options.onSynced(clock.monotonicMs() - startedMs);
  }

  async function close(size: number): Promise<void> {
    try {
      if (isTorn || size < written) await file.truncate(size);
      if (!syncs && size > 0) await sync();
    } catch (error) {
      onError(error);
    }
    try {
      await file.close();
      if (size === 0) await files.remove(path + OPEN);
      else await files.rename(path + OPEN, path);
      if (syncs) await files.syncFolder(folder);
      if (size > 0) options.onSealed();
    } catch (error) {
      onError(error);
    }
  }

  return {
    bornMs: clock.monotonicMs(),
    size: () => written,
    write: (bytes) => {
      const turn = write(bytes);
      writing = turn.catch(() => {});
      return turn;
    },
    sync,
    seal: () => close(written),
    abandon: async () => {
      isAbandoned = true;
      await writing;
      await close(synced);
    },
    isAbandoned: () => isAbandoned,
  };
}
