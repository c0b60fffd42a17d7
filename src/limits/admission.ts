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
const BURST = 4;
/** What the messages that wait may take, bytes. */
const MAX_WAITING_BYTES = 67_108_864;
/** From this age of a turn of the event loop, calls wait until all that has come in is read, ms. */
const INLINE_MS = 2;
/** Who waits gets this time in each turn, ms, */
const SLICE_MS = 2;
/** and no less than this multiple of what reading and refusing took. */
const SERVING_RATIO = 3;
/** How long a call may be expected to bring its message; a client that never does must not keep others out, ms. */
const UNREAD_MS = 200;

type Waiting = { readonly sinceMs: number; readonly bytes: number; readonly work: () => void };

export function createAdmission(options: AdmissionOptions): Admission {
  const nowMs = options.clock.monotonicMs;
  const waiting = createFifo<Waiting>();
  const pace = createPace(options);
  let waitingBytes = 0;
  let recent: Announced = { unread: 0 };
  let earlier: Announced = { unread: 0 };
  let recentSinceMs = 0;
  /** Of this turn of the event loop: since when, until when calls were served at once, since when all is read. */
  let isTurn = false;
  let sinceMs = 0;
  let inlineMs = 0;
  let readMs = 0;
  let untilMs = 0;
  let served = 0;

  function begin(atMs: number): void {
    isTurn = true;
    sinceMs = inlineMs = atMs;
    if (atMs - recentSinceMs >= UNREAD_MS) {
      earlier = recent;
      recent = { unread: 0 };
      recentSinceMs = atMs;
    }
    options.whenRead(turn);
  }

  /** All is read: now those who wait have their time; what has come in meanwhile is read before the others are served. */
  function turn(): void {
    readMs = nowMs();
    untilMs = readMs + Math.max(SLICE_MS, (readMs - inlineMs) * SERVING_RATIO);
    served = 0;
    serveNext(readMs);
  }

  function serveNext(atMs: number): void {
    const next = atMs < untilMs ? waiting.take() : undefined;
    if (next === undefined) {
      pace.served(atMs, atMs - readMs, served);
      isTurn = false;
      if (waiting.size() > 0) begin(atMs);
      return;
    }
    // What the work leaves to do for later is done before the next one's turn, so that it counts.
    options.soon(() => serveNext(nowMs()));
    waitingBytes -= next.bytes;
    served++;
    options.onServed(atMs - next.sinceMs);
    next.work();
  }

  return {
    announce: () => {
      if (!isTurn) begin(nowMs());
      const ahead = waiting.size() + recent.unread + earlier.unread;
      const delayMs = ahead * pace.perCallMs() * (1 + 1 / SERVING_RATIO);
      if (delayMs > options.maxDelayMs * (pace.isSaturated() ? 1 : BURST)) return undefined;
      recent.unread++;
      return recent;
    },
    serve: (bytes, work) => {
      const atMs = nowMs();
      if (!isTurn) begin(atMs);
      if (waiting.size() === 0 && atMs - sinceMs < INLINE_MS) {
        inlineMs = atMs;
        options.onServed(atMs - sinceMs);
        work();
        return true;
      }
      if (waiting.size() >= options.maxWaiting || waitingBytes + bytes > MAX_WAITING_BYTES) return false;
      waitingBytes += bytes;
      waiting.add({ sinceMs, bytes, work });
      return true;
    },
  };
}
