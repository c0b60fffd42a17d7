import type { Json } from './json.ts';

/** What evaluating a policy gave: its results (none: undefined), or how it failed. */
export type Evaluation =
  | { readonly ok: true; readonly results: readonly Json[] }
  | {
      readonly ok: false;
      readonly reason:
        | 'evaluation_error'
        | 'evaluation_trap'
        | 'evaluation_timeout'
        | 'out_of_memory'
        | 'decision_undefined';
      readonly cause: string;
    };

/** One immutable (policy, data, revision). A request pins it at its start and uses nothing else. */
export type Snapshot = {
  readonly revisions: { readonly [bundle: string]: string };
  /** Path of the ext_authz decision, such as `envoy/authz/allow`. */
  readonly path: string;
  /**
   * Evaluates the document at `path`; `input` is JSON text. `untilMs` (monotonic): how long the answer may be waited for,
   * if there is something to wait for. Never throws or rejects.
   */
  readonly evaluate: (path: string, input: string, untilMs?: number) => Evaluation | Promise<Evaluation>;
};
