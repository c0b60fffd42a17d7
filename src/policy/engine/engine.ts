import type { Evaluation } from '../../model/evaluation.ts';
import type { Reads } from '../../model/reads.ts';
import type { Network } from '../builtins/builtin.ts';

/** A policy module with its data, ready to be asked. One per snapshot; not shared between threads. */
export type PolicyInstance = {
  readonly entrypoints: readonly string[];
  /** Whether it calls built-ins that have to wait for the network. */
  readonly waits: boolean;
  /**
   * Asks one of `entrypoints`; `input` is JSON text. `untilMs` (monotonic): how long answers from the network may be
   * waited for; left out: not at all. Never throws or rejects.
   */
  readonly evaluate: (entrypoint: string, input: string, untilMs?: number) => Evaluation | Promise<Evaluation>;
  /** What of its input `entrypoint` reads at most. */
  readonly reads: (entrypoint: string) => Reads;
  readonly memoryBytes: () => number;
};

export type EngineOptions = {
  /** Most memory one instance may use, bytes. */
  readonly memoryBytes: number;
  /** Most steps of one evaluation: calls of functions and turns of loops. */
  readonly steps: number;
  /** Most time that the built-ins of one evaluation may take, ms. */
  readonly builtinMs: number;
  /** Less than that, after which the evaluation is given up, unless the policy waits for the network. */
  readonly inline?: Pick<EngineOptions, 'memoryBytes' | 'steps' | 'builtinMs'>;
  /** Whether an instance stays although an evaluation made it large; otherwise it is replaced. */
  readonly staysLarge?: boolean;
  readonly network?: Network | undefined;
};

/** A module cannot be served; the message says why and is meant for whoever built the bundle. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
}
