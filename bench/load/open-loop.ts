import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';

/*
 * Requests at a fixed rate, whatever the answers do; latencies count from when a request was due, so that a server which
 * stops for a while is charged for all who would have come meanwhile.
 */

export type Sample = { readonly dueMs: number; readonly latencyMs: number };

export type OpenLoop = {
  readonly samples: readonly Sample[];
  /** Longest time since the last call that this process itself was not there, ms: so much of a latency may be its own. */
  readonly ownDelayMs: () => number;
  /** Resolves when all answers are there. */
  readonly stop: () => Promise<void>;
};

/** What is due within so short a time is sent at once, ms. */
const SHORTEST_MS = 0.25;

/** `call` sends the n-th request, and resolves when it is answered. */
export function startOpenLoop(call: (n: number) => Promise<void>, perSecond: number): OpenLoop {
  const samples: Sample[] = [];
  const pending = new Set<Promise<void>>();
  const spacingMs = 1000 / perSecond;
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  let sent = 0;
  let startMs: number | undefined;

  async function one(n: number, dueMs: number): Promise<void> {
    await call(n);
    samples.push({ dueMs, latencyMs: performance.now() - dueMs });
  }

  function send(): void {
    const now = performance.now();
    startMs ??= now;
    for (let dueMs = startMs + sent * spacingMs; dueMs <= now; dueMs = startMs + sent * spacingMs) {
      const answered = one(sent++, dueMs);
      pending.add(answered);
      void answered.finally(() => pending.delete(answered));
    }
  }

  const metronome = new Worker(new URL('./metronome.ts', import.meta.url), {
    workerData: { everyMs: Math.max(SHORTEST_MS, spacingMs) },
  });
  metronome.on('message', send);
  return {
    samples,
    ownDelayMs: () => {
      const longest = delays.max / 1e6;
      delays.reset();
      return longest;
    },
    stop: async () => {
      metronome.off('message', send);
      await metronome.terminate();
      await Promise.all(pending);
      delays.disable();
    },
  };
}

/** The value that a share of all is not above; 0 when there is none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
