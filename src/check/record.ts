import type { Identity } from '../model/identity.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Json } from '../values/json.ts';
import type { Outcome } from './outcome.ts';

/** Durations of the phases of one check, ms with a fraction. A phase that was not reached is 0. */
export type PhaseTimings = {
  readonly identityMs: number;
  readonly inputMs: number;
  readonly evaluationMs: number;
  readonly totalMs: number;
};

/** All that is known about one decision. References only: whoever writes it down redacts while it builds its own text. */
export type DecisionRecord = {
  readonly decisionId: string;
  /** ms since the epoch. */
  readonly timeMs: number;
  readonly outcome: Outcome;
  readonly dryRun: boolean;
  readonly facts: RequestFacts | undefined;
  readonly identity: Identity | undefined;
  /** The parts of the input beside the message, when the check got that far. */
  readonly derived: { readonly [key: string]: Json } | undefined;
  readonly entrypoint: string;
  readonly revisions: { readonly [bundle: string]: string };
  readonly timings: PhaseTimings;
};
