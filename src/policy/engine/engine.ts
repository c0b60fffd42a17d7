import type { Evaluation } from '../../model/evaluation.ts';

/** A policy module with its data, ready to be asked. One per snapshot; not shared between threads. */
export type PolicyInstance = {
  readonly entrypoints: readonly string[];
  /** Asks one of `entrypoints`; `input` is JSON text. Never throws. */
  readonly evaluate: (entrypoint: string, input: string) => Evaluation;
  readonly memoryBytes: () => number;
};

export type EngineLimits = {
  /** Most memory one instance may use, bytes. */
  readonly memoryBytes: number;
  /** Most steps of one evaluation: calls of functions and turns of loops. */
  readonly steps: number;
};

/** Makes an instance of `module` over `data` (JSON text). Rejects with EngineError. */
export type Engine = (module: Uint8Array, data: string, limits: EngineLimits) => Promise<PolicyInstance>;

/** A module cannot be served; the message says why and is meant for whoever built the bundle. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
}
