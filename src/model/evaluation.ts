import type { Json } from './json.ts';
import type { Reads } from './reads.ts';

/** A call of a built-in whose answer depends on more than its arguments: the clock, chance, the network. */
export type Observation = {
  readonly builtin: string;
  readonly args: readonly Json[];
  readonly answer: Json;
  /** About how long the two are as text. */
  readonly chars: number;
};

/** How an evaluation failed. */
export type EvaluationFailure = {
  readonly ok: false;
  readonly reason:
    | 'evaluation_error'
    | 'evaluation_trap'
    | 'evaluation_timeout'
    | 'out_of_memory'
    | 'decision_undefined';
  readonly cause: string;
};

/** What evaluating a policy gave: its results (none: undefined), or how it failed; and what it observed, if anything. */
export type Evaluation = { readonly observed?: readonly Observation[] } & (
  | { readonly ok: true; readonly results: readonly Json[] }
  | EvaluationFailure
);

/** Asks about the event of a decision, JSON text as OPA's decision log has it. Bounded, and never throws. */
export type LogRule = (event: string) => Evaluation | Promise<Evaluation>;

/** What a policy has to say about the log: which decisions are not written, and what of them is not. */
export type LogRules = { readonly drop?: LogRule | undefined; readonly mask?: LogRule | undefined };

/** One immutable (policy, data, revision). A request pins it at its start and uses nothing else. */
export type Snapshot = {
  readonly revisions: { readonly [bundle: string]: string };
  /** Of the bundles' contents. */
  readonly digests: { readonly [bundle: string]: string };
  /** Path of the ext_authz decision, such as `envoy/authz/allow`. */
  readonly path: string;
  /**
   * Evaluates the document at `path`; `input` is JSON text. `untilMs` (monotonic): how long the answer may be waited for,
   * if there is something to wait for. Never throws or rejects.
   */
  readonly evaluate: (path: string, input: string, untilMs?: number) => Evaluation | Promise<Evaluation>;
  /** What of the input can make a difference to the document at `path`; everything when left out. */
  readonly reads?: Reads | undefined;
  /** Undefined when it has none. */
  readonly logRules?: LogRules | undefined;
};
