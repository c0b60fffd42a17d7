import type { ClientHttp2Session } from 'node:http2';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { callCheck } from './client.ts';

/*
 * Requests at a fixed rate, whatever the answers do; latencies count from when a request was due, so that a server which
 * stops for a while is charged for all who would have come meanwhile.
 */

export type Sample = { readonly dueMs: number; readonly latencyMs: number };

export type OpenLoop = {
  readonly samples: readonly Sample[];
  readonly wrong: () => number;
  /** Longest time since the last call that this process itself was not there, ms: so much of a latency may be its own. */
  readonly ownDelayMs: () => number;
  /** Resolves when all answers are there. */
  readonly stop: () => Promise<void>;
};

export function startOpenLoop(
  sessions: readonly ClientHttp2Session[],
  framedRequest: Buffer,
  perSecond: number,
  isRight: (response: Buffer) => boolean,
): OpenLoop {
  const samples: Sample[] = [];
  const pending = new Set<Promise<void>>();
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  let wrong = 0;
  let isOver = false;

  async function one(session: ClientHttp2Session, dueMs: number): Promise<void> {
    const response = await callCheck(session, framedRequest);
    samples.push({ dueMs, latencyMs: performance.now() - dueMs });
    if (!isRight(response)) wrong++;
  }

  async function send(): Promise<void> {
    const start = performance.now();
    for (let sent = 0; !isOver; ) {
      const now = performance.now();
      for (; start + (sent / perSecond) * 1000 <= now; sent++) {
        const call = one(sessions[sent % sessions.length] as ClientHttp2Session, start + (sent / perSecond) * 1000);
        pending.add(call);
        void call.finally(() => pending.delete(call));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  const sending = send();
  return {
    samples,
    wrong: () => wrong,
    ownDelayMs: () => {
      const longest = delays.max / 1e6;
      delays.reset();
      return longest;
    },
    stop: async () => {
      isOver = true;
      await sending;
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
