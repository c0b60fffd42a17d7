import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { RegoObject, type Value } from '../../values/value.ts';
import { type BuiltinCache, type BuiltinContext, HaltError } from '../builtins/builtin.ts';
import { MAX_STEPS } from './metering.ts';

/** What the evaluations of one policy have in common. */
export type HostOptions = {
  /** Wall clock, ns since the epoch. */
  readonly nowNs: () => bigint;
  readonly random: (count: number) => Uint8Array;
  readonly onPrint: (message: string) => void;
  /** What `opa.runtime` answers. */
  readonly runtime: Value;
  /** Whether a built-in's error ends the evaluation; otherwise its call is undefined. */
  readonly strictBuiltinErrors: boolean;
  readonly cache: BuiltinCache;
  /** Most time that one evaluation's built-ins may use, ms; checked where their work grows with their arguments. */
  readonly builtinMs: number;
  /** Most steps of one evaluation: calls of functions and turns of loops in the module. */
  readonly maxSteps: number;
};

/** The call needs something from outside that is not known yet; the evaluation is to be done again with its answer. */
export class PendingAnswer extends Error {
  override readonly name = 'PendingAnswer';
  readonly key: string;
  readonly ask: () => Promise<Value | undefined>;
  constructor(key: string, ask: () => Promise<Value | undefined>) {
    super(`no answer yet: ${key.slice(0, 100)}`);
    this.key = key;
    this.ask = ask;
  }
}

/** Answers from outside that one decision has so far. Undefined: the evaluation may not ask. */
export type Answers = Map<string, Value | undefined>;

/** A built-in was called that has to wait, in an evaluation that cannot. */
export class AsyncBuiltinError extends HaltError {
  constructor() {
    super('eval_builtin_error', 'the policy calls an asynchronous built-in function; use evaluateAsync');
  }
}

const MAX_CACHE_ENTRIES = 10_000;
const MAX_CACHE_CHARS = 16 * 1_048_576;

/** A bounded cache for results of built-ins; one per policy or process. */
export function createBuiltinCache(): BuiltinCache {
  const entries = new LRUCache<string, { readonly value: unknown }>({
    max: MAX_CACHE_ENTRIES,
    maxSize: MAX_CACHE_CHARS,
    sizeCalculation: (_value, key) => key.length + 1,
  });
  return {
    get: (key) => entries.get(key)?.value,
    set: (key, value) => {
      entries.set(key, { value });
    },
  };
}

export const defaultHostOptions = (): HostOptions => ({
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
  random: (count) => randomBytes(count),
  // A policy's print output could carry anything from the input: it goes nowhere unless someone asks for it.
  onPrint: () => {},
  runtime: new RegoObject(),
  strictBuiltinErrors: false,
  cache: createBuiltinCache(),
  builtinMs: 1_000,
  maxSteps: MAX_STEPS,
});

/** The context of one evaluation; made at its first call of a built-in, which many evaluations never get to. */
export function createContext(options: HostOptions, answers: Answers | undefined): BuiltinContext {
  const endsAt = performance.now() + options.builtinMs;
  return {
    nowNs: options.nowNs(),
    random: options.random,
    memo: new Map(),
    cache: options.cache,
    runtime: options.runtime,
    print: options.onPrint,
    checkDeadline: () => {
      if (performance.now() > endsAt) throw new HaltError('eval_cancel_error', 'the evaluation takes too long');
    },
    outside: (key, ask) => {
      if (answers === undefined) throw new AsyncBuiltinError();
      if (!answers.has(key)) throw new PendingAnswer(key, ask);
      return answers.get(key);
    },
  };
}
