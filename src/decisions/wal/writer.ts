import type { Clock } from '../../lib/clock.ts';
import { createSignal } from '../../lib/signal.ts';
import type { DropReason } from './backlog.ts';
import type { Chunk } from './conversion.ts';
import type { Segment } from './segment.ts';

export type WriterOptions = {
  readonly openSegment: () => Promise<Segment>;
  /** The next lines; undefined when there are none now. */
  readonly take: () => Chunk | undefined;
  /** Whether lines may still come. */
  readonly isDone: () => boolean;
  /** Whether there are too many to rest between two writes. */
  readonly isUrgent: () => boolean;
  readonly clock: Clock;
  readonly syncs: boolean;
  /** Time between two writes, ms. */
  readonly everyMs: number;
  /** Time between two syncs, ms. */
  readonly syncEveryMs: number;
  readonly segmentBytes: number;
  readonly onError: (error: unknown) => void;
  /** The lines are in the log. */
  readonly onKept: (chunk: Chunk) => void;
  /** The lines are not in the log yet: those who wait for them need not any longer. */
  readonly onLate: (chunk: Chunk) => void;
  /** The lines are given up. */
  readonly onLost: (chunk: Chunk) => void;
};

/** Writes lines to segments, many at once, and syncs what was written while it goes on writing. */
export type Writer = {
  readonly start: () => void;
  /** There are lines. */
  readonly poke: () => void;
  /** Why lines cannot be written now. */
  readonly failing: () => DropReason | undefined;
  /** No more waiting: what fails now is given up. Resolves when everything is written and sealed, or given up. */
  readonly finish: () => Promise<void>;
};

type Written = { readonly chunk: Chunk; readonly segment: Segment };

const RETRY_MS = 500;
const SEGMENT_AGE_MS = 10_000;

export function createWriter(options: WriterOptions): Writer {
  const { clock, syncs, everyMs, onError } = options;
  const toWrite = createSignal();
  const toSync = createSignal();
  const toEnd = { writing: createSignal(), syncing: createSignal() };
  const unsynced: Written[] = [];
  /** To be written once more, because they could not be synced. */
  const again: Chunk[] = [];
  /** Segments to be sealed. */
  const retired: Segment[] = [];
  let current: Segment | undefined;
  let writeFailure: DropReason | undefined;
  let syncFailure: DropReason | undefined;
  let isFinishing = false;
  let hasWritten = false;
  let writtenMs = Number.NEGATIVE_INFINITY;
  let running: Promise<unknown> | undefined;

  function failed(error: unknown, chunks: readonly Chunk[]): DropReason {
    onError(error);
    for (const chunk of chunks) options.onLate(chunk);
    return isFull(error) ? 'disk_full' : 'error';
  }

  async function write(chunk: Chunk): Promise<void> {
    for (;;) {
      try {
        current ??= await options.openSegment();
        const segment = current;
        await segment.write(chunk.bytes.subarray(0, chunk.length));
        writeFailure = undefined;
        if (segment.isAbandoned()) continue;
        if (syncs) unsynced.push({ chunk, segment });
        else options.onKept(chunk);
        if (segment.size() >= options.segmentBytes) retire();
        toSync.raise();
        return;
      } catch (error) {
        writeFailure = failed(error, [chunk]);
        if (isFinishing) return options.onLost(chunk);
        await toEnd.writing.wait(RETRY_MS);
      }
    }
  }

  function retire(): void {
    if (current === undefined) return;
    retired.push(current);
    current = undefined;
    toSync.raise();
  }

  async function writeAll(): Promise<void> {
    for (;;) {
      // The disk is given time before what it could not sync is written again.
      if (again.length > 0 && !isFinishing) await toEnd.writing.wait(RETRY_MS);
      const chunk = again.shift() ?? options.take();
      if (chunk === undefined) {
        const isOver = options.isDone() && unsynced.length === 0;
        if (isFinishing && isOver) break;
        const age = current === undefined ? 0 : clock.monotonicMs() - current.bornMs;
        if (age >= SEGMENT_AGE_MS) retire();
        await toWrite.wait(current === undefined ? undefined : SEGMENT_AGE_MS - age);
        continue;
      }
      writtenMs = clock.monotonicMs();
      await write(chunk);
      if (current !== undefined && clock.monotonicMs() - current.bornMs >= SEGMENT_AGE_MS) retire();
      await rest();
    }
    retire();
    hasWritten = true;
    toSync.raise();
  }

  /** Until it is worth while to write again. */
  async function rest(): Promise<void> {
    const restMs = writtenMs + everyMs - clock.monotonicMs();
    if (restMs > 0 && !isFinishing && !options.isUrgent()) await toEnd.writing.wait(restMs);
  }

  async function syncAll(): Promise<void> {
    let syncedMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      const first = unsynced[0];
      if (first !== undefined) {
        const restMs = syncedMs + options.syncEveryMs - clock.monotonicMs();
        if (restMs > 0 && !isFinishing) await toEnd.syncing.wait(restMs);
        syncedMs = clock.monotonicMs();
        await sync(first.segment);
      }
      while (retired[0] !== undefined && unsynced[0]?.segment !== retired[0]) await retired.shift()?.seal();
      if (unsynced.length > 0 || retired.length > 0) continue;
      if (hasWritten) return;
      await toSync.wait();
    }
  }

  async function sync(segment: Segment): Promise<void> {
    const count = unsynced.filter((written) => written.segment === segment).length;
    try {
      await segment.sync();
    } catch (error) {
      await giveUp(segment, error);
      return;
    }
    syncFailure = undefined;
    for (const { chunk } of unsynced.splice(0, count)) options.onKept(chunk);
    if (isFinishing) toWrite.raise();
  }

  /** What a segment could not sync goes to another one. */
  async function giveUp(segment: Segment, error: unknown): Promise<void> {
    if (current === segment) current = undefined;
    const at = retired.indexOf(segment);
    if (at >= 0) retired.splice(at, 1);
    await segment.abandon();
    const chunks = unsynced.filter((written) => written.segment === segment).map(({ chunk }) => chunk);
    unsynced.splice(0, unsynced.length, ...unsynced.filter((written) => written.segment !== segment));
    syncFailure = failed(error, chunks);
    if (isFinishing) for (const chunk of chunks) options.onLost(chunk);
    else again.push(...chunks);
    toWrite.raise();
  }

  return {
    start: () => {
      running = Promise.all([writeAll(), syncAll()]);
    },
    poke: toWrite.raise,
    failing: () => writeFailure ?? syncFailure,
    finish: async () => {
      isFinishing = true;
      toWrite.raise();
      toEnd.writing.raise();
      toEnd.syncing.raise();
      await running;
    },
  };
}

export function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
