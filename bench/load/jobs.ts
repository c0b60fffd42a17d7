import type { BenchRequest } from './requests.ts';

/*
 * What a process that generates load is told, and what it answers.
 */

/** To whom: a server of Check, or Envoy, which asks one before it answers. */
export type Target = { readonly kind: 'check' | 'http'; readonly address: string; readonly connections: number };

export type Job = Target & {
  /** Name of the requests. */
  readonly requests: string;
  readonly milliseconds: number;
  /** So many at a fixed rate, or so many that always wait for an answer. */
  readonly load: { readonly perSecond: number } | { readonly atOnce: number };
};

/** Latencies in ms, of an open loop from when a request was due. */
export type Latency = { readonly p50: number; readonly p99: number; readonly p999: number };

export type Outcome = Latency & {
  readonly answered: number;
  /** Answers that were not the ones that were due, by what they said: `7 instead of 0`. */
  readonly wrong: { readonly [what: string]: number };
  readonly milliseconds: number;
  /** Longest time that the process which sends was not there, ms: so much of a latency may be its own. */
  readonly ownDelayMs: number;
};

export type ToGenerator =
  | { readonly give: string; readonly requests: readonly BenchRequest[] }
  | { readonly id: number; readonly job: Job };
export type FromGenerator =
  | { readonly id: number; readonly outcome: Outcome }
  | { readonly id: number; readonly failure: string };
