import { backoffMs } from '../lib/backoff.ts';
import { SourceError } from './sources/source.ts';

/** What a look came to. */
export type Looked = {
  readonly changed: boolean;
  /** The source answers when there is something new: it is asked again at once. */
  readonly waits: boolean;
};

/** One look, which may take long only when it may wait for something new. Rejects when it failed. */
export type Look = (signal: AbortSignal, mayWait: boolean) => Promise<Looked>;

export type PollOptions = {
  readonly look: Look;
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  readonly random: () => number;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** False: nothing happens unless somebody asks. */
  readonly periodic: boolean;
  /** Whether looks may wait for something new. */
  readonly longPolls: boolean;
};

export type Poll = {
  /** Starts; resolves after the first look, whatever came of it. */
  readonly start: () => Promise<void>;
  /** Looks now, or joins the look under way. Resolves after it, whatever came of it. */
  readonly poke: () => Promise<void>;
  /** Something may have changed: looks now, and after the look under way once more. */
  readonly nudge: () => void;
  readonly stop: () => void;
};

const FIRST_RETRY_MS = 100;
/** Between the beginnings of two looks that may wait; doubled as long as the source answers at once with nothing new. */
const SPACING_MS = 1000;
const AT_ONCE_MS = 500;
/** A server may ask to be left alone, and not for ever. */
const MAX_RETRY_AFTER_MS = 600_000;
const MAX_TIMER_MS = 2_147_483_647;

type Round = { readonly done: Promise<void>; readonly mayWait: boolean; readonly cut: AbortController };

/** Looks again and again, one look at a time: after a success between the two delays, after failures with back-off. */
export function createPoll(options: PollOptions): Poll {
  const { look, minDelayMs, maxDelayMs, random, nowMs, periodic } = options;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Round | undefined;
  let isNudged = false;
  let failures = 0;
  let hasty = 0;

  function delayAfter({ changed, waits }: Looked, tookMs: number): number {
    failures = 0;
    hasty = waits && !changed && tookMs < AT_ONCE_MS ? hasty + 1 : 0;
    if (!waits) return minDelayMs + (maxDelayMs - minDelayMs) * random();
    const spacing = Math.min(Math.max(minDelayMs, SPACING_MS), SPACING_MS * 2 ** Math.min(hasty, 30));
    return Math.max(0, spacing - tookMs);
  }

  function delayAfterFailure(error: unknown): number {
    const backoff = backoffMs(failures++, FIRST_RETRY_MS, maxDelayMs, random);
    const asked = error instanceof SourceError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(backoff, Math.min(asked, Math.max(maxDelayMs, MAX_RETRY_AFTER_MS)));
  }

  async function lookOnce(mayWait: boolean, signal: AbortSignal): Promise<void> {
    const beganMs = nowMs();
    let delayMs: number;
    try {
      delayMs = delayAfter(await look(signal, mayWait), nowMs() - beganMs);
    } catch (error) {
      // Whoever looks keeps the error; here it only slows down. One that was cut short has not failed.
      if (signal.aborted) return;
      delayMs = delayAfterFailure(error);
    }
    if (signal.aborted) return;
    if (isNudged) delayMs = 0;
    if (!isNudged && !periodic) return;
    isNudged = false;
    timer = setTimeout(() => void run(options.longPolls), Math.min(delayMs, MAX_TIMER_MS));
    timer.unref();
  }

  function run(mayWait: boolean): Promise<void> {
    clearTimeout(timer);
    const cut = new AbortController();
    const round: Round = {
      mayWait,
      cut,
      done: lookOnce(mayWait, cut.signal).finally(() => {
        if (underWay === round) underWay = undefined;
      }),
    };
    underWay = round;
    return round.done;
  }

  async function poke(): Promise<void> {
    // Whoever asks wants to know now; a look that waits for something new would let them wait, too.
    if (underWay?.mayWait === true) {
      const { cut, done } = underWay;
      cut.abort();
      await done;
    }
    if (isStopped) return;
    await (underWay?.done ?? run(false));
  }

  return {
    start: () => run(options.longPolls),
    poke,
    nudge: () => {
      if (underWay !== undefined) isNudged = true;
      else if (!isStopped) void run(false);
    },
    stop: () => {
      isStopped = true;
      underWay?.cut.abort();
      clearTimeout(timer);
    },
  };
}
