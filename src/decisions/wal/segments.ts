import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { WalFile, WalFiles } from './files.ts';

export type SegmentsOptions = {
  readonly folder: string;
  /** Of this process: 8 hex digits. */
  readonly token: string;
  readonly files: WalFiles;
  readonly clock: Clock;
  /** A segment is sealed once it has so many bytes. */
  readonly maxBytes: number;
  /** A segment is sealed once it is so old, ms. */
  readonly maxAgeMs: number;
  /** Whether an append resolves only when its bytes are on the disk. */
  readonly syncs: boolean;
  readonly onSynced: (ms: number) => void;
  readonly onSealed: () => void;
  readonly onError: (error: unknown) => void;
};

/**
 * The files of the log: `<ms at creation>-<token>-<sequence>.ndjson.open` while it grows, without `.open` once it is sealed
 * and never written again. One call at a time.
 */
export type Segments = {
  /**
   * Appends whole lines. Rejects when they could not be appended; the same bytes are to be appended again then, before any
   * others, so that a reader who saw some of them already sees nothing new.
   */
  readonly append: (bytes: Uint8Array) => Promise<void>;
  /** When the open segment is due to be sealed, ms on the monotonic clock; undefined when there is none. */
  readonly dueMs: () => number | undefined;
  /** Seals the open segment, if there is one. Never rejects. */
  readonly seal: () => Promise<void>;
};

type Segment = {
  readonly path: string;
  readonly file: WalFile;
  readonly bornMs: number;
  /** What was appended; behind it there may be a part of what could not be. */
  size: number;
  isTorn: boolean;
};

const OPEN = '.open';

export function createSegments(options: SegmentsOptions): Segments {
  const { folder, token, files, clock, maxBytes, maxAgeMs, syncs, onError } = options;
  let sequence = 0;
  let current: Segment | undefined;

  async function open(): Promise<Segment> {
    const [created, number] = [clock.wallMs(), ++sequence].map(Math.floor) as [number, number];
    const name = `${String(created).padStart(13, '0')}-${token}-${String(number).padStart(6, '0')}.ndjson`;
    const path = join(folder, name);
    const file = await files.create(path + OPEN);
    const segment = { path, file, bornMs: clock.monotonicMs(), size: 0, isTorn: false };
    if (syncs) await files.syncFolder(folder);
    return segment;
  }

  async function sync(segment: Segment): Promise<void> {
    const startedMs = clock.monotonicMs();
    await segment.file.sync();
    options.onSynced(clock.monotonicMs() - startedMs);
  }

  async function append(bytes: Uint8Array): Promise<void> {
    current ??= await open();
    const segment = current;
    segment.isTorn = true;
    await segment.file.write(bytes, segment.size);
    if (syncs) {
      try {
        await sync(segment);
      } catch (error) {
        // What became of the bytes is not known, and a later sync would not tell (fsync(2)): they go to another segment.
        await seal();
        throw error;
      }
    }
    segment.isTorn = false;
    segment.size += bytes.length;
    if (segment.size >= maxBytes) await seal();
  }

  async function seal(): Promise<void> {
    const segment = current;
    if (segment === undefined) return;
    current = undefined;
    try {
      if (segment.isTorn) await segment.file.truncate(segment.size);
      if (segment.size > 0 && (segment.isTorn || !syncs)) await sync(segment);
    } catch (error) {
      onError(error);
    }
    try {
      await segment.file.close();
      if (segment.size === 0) await files.remove(segment.path + OPEN);
      else await files.rename(segment.path + OPEN, segment.path);
      if (syncs) await files.syncFolder(folder);
      if (segment.size > 0) options.onSealed();
    } catch (error) {
      onError(error);
    }
  }

  return { append, seal, dueMs: () => (current === undefined ? undefined : current.bornMs + maxAgeMs) };
}
