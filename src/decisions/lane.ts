import type { Clock } from '../lib/clock.ts';
import type { Sink } from './sinks/sink.ts';

/** Lines on their way to one sink; characters. */
const MAX_WAITING = 8_388_608;
const MAX_BATCH_LINES = 256;
/** A sink that failed is left alone for so long; ms. */
const COOL_DOWN_MS = 1000;

export type LaneEvents = {
  readonly onWritten: (lines: number, sink: string) => void;
  readonly onDrop: (lines: number, sink: string) => void;
  readonly onError: (error: unknown, sink: string) => void;
  /** A write ended, well or not: there may be room again. */
  readonly onSettled: () => void;
};

/** A bounded line of lines in front of one sink, so that a slow sink holds back itself only. */
export type Lane = {
  readonly hasRoom: () => boolean;
  /** Without room the line is dropped and counted. */
  readonly offer: (line: string) => void;
  /** Starts a write unless one is under way; `force` also while a failed sink is left alone. Never throws. */
  readonly start: (force: boolean) => void;
  /** How many of the offered lines need no more waiting for: written or dropped. */
  readonly done: () => number;
  /** Writes that were started so far. */
  readonly attempts: () => number;
  /** The last write that failed, counted by `attempts`; 0 when none did. */
  readonly failedAttempt: () => number;
  /** Gives up on what waits. */
  readonly abandon: () => void;
};

export function createLane(sink: Sink, clock: Clock, events: LaneEvents): Lane {
  let waiting: string[] = [];
  let size = 0;
  let done = 0;
  let busy = false;
  let attempts = 0;
  let failedAttempt = 0;
  let resumeAt = Number.NEGATIVE_INFINITY;

  const hasRoom = (): boolean => size < MAX_WAITING;

  function drop(lines: number): void {
    if (lines === 0) return;
    done += lines;
    events.onDrop(lines, sink.name);
  }

  async function write(): Promise<void> {
    const batch = waiting.slice(0, MAX_BATCH_LINES);
    let kept = 0;
    try {
      const written = await sink.write(batch);
      kept = batch.length - written;
      done += written;
      if (kept === 0) resumeAt = Number.NEGATIVE_INFINITY;
      if (written > 0) events.onWritten(written, sink.name);
    } catch (error) {
      kept = 0;
      failed();
      drop(batch.length);
      events.onError(error, sink.name);
    }
    if (kept > 0) failed();
    const gone = waiting.splice(0, batch.length - kept);
    for (const line of gone) size -= line.length;
  }

  function failed(): void {
    failedAttempt = attempts;
    resumeAt = clock.monotonicMs() + COOL_DOWN_MS;
  }

  function start(force: boolean): void {
    if (busy || waiting.length === 0) return;
    if (!force && clock.monotonicMs() < resumeAt) return;
    busy = true;
    attempts++;
    void write().finally(() => {
      busy = false;
      if (clock.monotonicMs() >= resumeAt) start(false);
      events.onSettled();
    });
  }

  return {
    hasRoom,
    offer: (line) => {
      if (hasRoom()) {
        waiting.push(line);
        size += line.length;
      } else drop(1);
    },
    start,
    done: () => done,
    attempts: () => attempts,
    failedAttempt: () => failedAttempt,
    abandon: () => {
      drop(waiting.length);
      waiting = [];
      size = 0;
    },
  };
}
