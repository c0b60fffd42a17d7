import { backoffMs } from '../lib/backoff.ts';

export type PollOptions = {
  /** One look; rejects when it failed. */
  readonly look: (signal: AbortSignal) => Promise<void>;
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  readonly random: () => number;
};

const FIRST_RETRY_MS = 100;

/** Looks again and again, one look at a time: after a success between the two delays, after failures with back-off. */
export function createPoll({ look, minDelayMs, maxDelayMs, random }: PollOptions): {
  /** Starts; resolves after the first look, whatever came of it. */
  readonly start: () => Promise<void>;
  readonly stop: () => void;
} {
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;

  async function round(): Promise<void> {
    try {
      await look(stopping.signal);
      failures = 0;
    } catch {
      // Whoever looks keeps the error; here it only slows down.
      failures++;
    }
    if (stopping.signal.aborted) return;
    const regular = minDelayMs + (maxDelayMs - minDelayMs) * random();
    const delay = failures === 0 ? regular : backoffMs(failures - 1, FIRST_RETRY_MS, maxDelayMs, random);
    timer = setTimeout(() => void round(), delay);
    timer.unref();
  }

  return {
    start: round,
    stop: () => {
      stopping.abort();
      clearTimeout(timer);
    },
  };
}
