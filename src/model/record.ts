import type { LogRules, Observation } from './evaluation.ts';
import type { RequestFacts } from './facts.ts';
import type { Identity } from './identity.ts';
import type { InputText } from './input-text.ts';
import type { Json } from './json.ts';
import type { RefusalReason } from './reasons.ts';

/** Allowed; turned away for the caller's doing or the policy's verdict; turned away because something is broken. */
export type OutcomeClass = 'allow' | 'deny' | 'fault';

/** The label that metrics and log carry: a refusal's own reason, else what the policy said. */
export type ReasonLabel = RefusalReason | 'policy_allowed' | 'policy_denied';

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
  readonly outcome: OutcomeClass;
  readonly reason: ReasonLabel;
  /** What went wrong, for operators only. */
  readonly cause: string | undefined;
  /** What the policy said, when it said something with a valid shape. */
  readonly result: Json | undefined;
  /** The policy's own reasons. */
  readonly policyReasons: readonly string[];
  /** What the client will see; 200 stands for "passed on to the upstream". */
  readonly httpStatus: number;
  readonly dryRun: boolean;
  /** Whether the caller had stopped waiting when the check ended. */
  readonly cancelled: boolean;
  readonly facts: RequestFacts | undefined;
  readonly identity: Identity | undefined;
  /** The input as it was evaluated, when the check got that far. */
  readonly input: InputText | undefined;
  /** What the policy was told that another evaluation of the same input might not be. */
  readonly observed: readonly Observation[];
  readonly path: string;
  readonly revisions: { readonly [bundle: string]: string };
  /** Of the bundles' contents. */
  readonly digests: { readonly [bundle: string]: string };
  /** Of the policy that was asked. */
  readonly logRules?: LogRules | undefined;
  readonly timings: PhaseTimings;
};
