import type { Clock } from '../lib/clock.ts';
import { createFifo } from '../lib/fifo.ts';
import { createPace } from './pace.ts';

/*
 * What happens when more is asked than can be answered. Calls are read before others are evaluated, so that who must be
 * turned away learns it at once; who is let in waits, not longer than is useful. Without load a call costs a look at the
 * clock and two counters here.
 */

export type AdmissionOptions = {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Longest wait that a call is let in for while the event loop is saturated, ms; otherwise a multiple of it. */
  readonly maxDelayMs: number;
  /** From which share of time the event loop is saturated. */
  readonly utilization: number;
  /** Share of time that the event loop was busy since it was last asked, 0 to 1. */
  readonly busyShare: () => number;
  /** Share of time that is left to those who wait while others are refused, below 1. */
  readonly servingShare: number;
  /** Calls that may wait at once. */
  readonly maxWaiting: number;
  /** Runs something when all that has come in is read, and may be asked again from there: `setImmediate`. */
  readonly whenRead: (run: () => void) => void;
  /** Runs something when what was left to do before is done: `process.nextTick`. */
  readonly soon: (run: () => void) => void;
  /** A call's turn has come; how long ago the event loop turned to what it came with, ms. */
  readonly onServed: (delayMs: number) => void;
};

/** Calls that are let in and whose messages are not there yet. */
export type Announced = { unread: number };

export type Admission = {
  /** Lets a call in, its message is yet to come: then `unread` must be counted down. Undefined: it must be refused. */
  readonly announce: () => Announced | undefined;
  /** Does the work of a call, at once or when its turn has come. False: there is no room, and it must be refused. */
  readonly serve: (messageBytes: number, work: () => void) => boolean;
};

/** How much longer the wait may be where the load only comes in a burst, or something else held up the event loop. */
const BURST = 2;
/** What the messages that wait may take, bytes. */
const MAX_WAITING_BYTES = 67_108_864;
/** From this age of a turn of the event loop, calls wait until all that has come in is read, ms. */
const INLINE_MS = 2;
/** Who waits gets this time in each turn at least, ms. */
const SLICE_MS = 2;
/** How long a call may be expected to bring its message; a client that never does must not keep others out, ms. */
const UNREAD_MS = 200;

type Waiting = { readonly turnMs: number; readonly sinceMs: number; readonly bytes: number; readonly work: () => void };

export function createAdmission(options: AdmissionOptions): Admission {
  const nowMs = options.clock.monotonicMs;
  const waiting = createFifo<Waiting>();
  const pace = createPace(options);
  /** How much longer calls are served than others refused. */
  const ratio = options.servingShare / (1 - options.servingShare);
  let waitingBytes = 0;
  let recent: Announced = { unread: 0 };
  let earlier: Announced = { unread: 0 };
  let recentSinceMs = 0;
  /** Whether something has come in in this turn of the event loop, and since when. */
  let isTurn = false;
  let turnMs = 0;
  /** How long calls were only refused since others were served, and since when, while they are. */
  let refusedForMs = 0;
  let refusingSinceMs: number | undefined;
  let isServing = false;

  function begin(atMs: number): void {
    isTurn = true;
    turnMs = atMs;
    if (atMs - recentSinceMs >= UNREAD_MS) {
      earlier = recent;
      recent = { unread: 0 };
      recentSinceMs = atMs;
    }
    options.whenRead(() => {
      isTurn = false;
      serveWaiting();
    });
  }

  /** Gives those who wait their share of the time. */
  function serveWaiting(): void {
    if (isServing) return;
    const fromMs = nowMs();
    const untilMs = fromMs + Math.max(SLICE_MS, refusedForMs * ratio);
    refusedForMs = 0;
    refusingSinceMs = undefined;
    if (waiting.size() === 0) return;
    let served = 0;
    const serveNext = (atMs: number): void => {
      const next = atMs < untilMs ? waiting.take() : undefined;
      if (next === undefined) {
        pace.served(atMs, atMs - fromMs, served);
        isServing = false;
        if (!isTurn && waiting.size() > 0) begin(atMs);
        return;
      }
      // What the work leaves to do for later is done before the next one's turn, so that it counts.
      options.soon(() => serveNext(nowMs()));
      waitingBytes -= next.bytes;
      served++;
      options.onServed(atMs - next.turnMs);
      try {
        next.work();
      } catch {
        // There is nobody above who could answer; those who wait behind it must be served all the same.
      }
    };
    isServing = true;
    serveNext(fromMs);
  }

  return {
    announce: () => {
      const atMs = nowMs();
      if (!isTurn) begin(atMs);
      if (refusingSinceMs !== undefined) refusedForMs += atMs - refusingSinceMs;
      refusingSinceMs = undefined;
      const ahead = waiting.size() + recent.unread + earlier.unread;
      const expectedMs = ahead * (pace.perCallMs() / options.servingShare);
      const delayMs = Math.max(expectedMs, atMs - (waiting.first()?.sinceMs ?? atMs));
      if (delayMs > options.maxDelayMs * (pace.isSaturated() ? 1 : BURST)) {
        refusingSinceMs = atMs;
        if (refusedForMs > SLICE_MS / ratio) options.soon(serveWaiting);
        return undefined;
      }
      recent.unread++;
      return recent;
    },
    serve: (bytes, work) => {
      const atMs = nowMs();
      if (!isTurn) begin(atMs);
      if (waiting.size() === 0 && atMs - turnMs < INLINE_MS) {
        options.onServed(atMs - turnMs);
        work();
        return true;
      }
      if (waiting.size() >= options.maxWaiting || waitingBytes + bytes > MAX_WAITING_BYTES) return false;
      waitingBytes += bytes;
      waiting.add({ turnMs, sinceMs: atMs, bytes, work });
      return true;
    },
  };
}
