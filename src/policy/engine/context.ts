import { randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { RegoObject, type Value } from '../../values/value.ts';
import {
  type Answer,
  type BuiltinCache,
  type BuiltinContext,
  BuiltinError,
  HaltError,
  type Network,
} from '../builtins/builtin.ts';

/** What the evaluations of one policy have in common. */
export type HostOptions = {
  /** Wall clock, ns since the epoch. */
  readonly nowNs: () => bigint;
  readonly random: (count: number) => Uint8Array;
  readonly onPrint: (message: string) => void;
  /** Told of every answer of a built-in; arguments and answer are term text. */
  readonly onAnswer: (builtin: string, args: readonly string[], answer: string) => void;
  /** What `opa.runtime` answers. */
  readonly runtime: Value;
  /** Whether a built-in's error ends the evaluation; otherwise its call is undefined. */
  readonly strictBuiltinErrors: boolean;
  readonly cache: BuiltinCache;
  /** Most time that one evaluation's built-ins may use, ms; checked where their work grows with their arguments. */
  readonly builtinMs: number;
  /** Whether work that would take longer is not even begun, because the evaluation can be done elsewhere. */
  readonly leavesLongWork: boolean;
  /** Most steps of one evaluation: calls of functions and turns of loops in the module. */
  readonly maxSteps: number;
  /** Undefined: built-ins have none. */
  readonly network: Network | undefined;
};

/** The call needs something from outside that is not known yet; the evaluation is to be done again with its answer. */
export class PendingAnswer extends Error {
  override readonly name = 'PendingAnswer';
  readonly key: string;
  readonly answer: Promise<Answer>;
  constructor(key: string, answer: Promise<Answer>) {
    super('no answer yet');
    this.key = key;
    this.answer = answer;
  }
}

type Settled = { readonly ok: true; readonly value: Answer } | { readonly ok: false; readonly error: unknown };

/**
 * What the passes of one evaluation have in common: its time, what it asked at random, and the answers from outside that
 * are known so far.
 */
export type Session = {
  readonly nowNs: bigint;
  readonly memo: Map<string, Value>;
  readonly answers: Map<string, Settled>;
};

/** A built-in was called that has to wait, in an evaluation that cannot. */
export class AsyncBuiltinError extends HaltError {
  constructor() {
    super('eval_builtin_error', 'the policy calls an asynchronous built-in function; use evaluateAsync');
  }
}

/** Evaluations of one question: each but the last stops at a call whose answer is not there yet. */
const MAX_PASSES = 64;

/** Evaluates until every answer from outside is there. Rejects with what `evaluate` throws, HaltError. */
export async function evaluateInPasses<T>(nowNs: bigint, evaluate: (session: Session) => T): Promise<T> {
  const session: Session = { nowNs, memo: new Map(), answers: new Map() };
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    try {
      return evaluate(session);
    } catch (error) {
      if (!(error instanceof PendingAnswer)) throw error;
      session.answers.set(error.key, await settle(error.answer));
    }
  }
  throw new HaltError('eval_limit_error', `the policy asks for more than ${MAX_PASSES} answers from outside`);
}

const settle = (answer: Promise<Answer>): Promise<Settled> =>
  answer.then(
    (value) => ({ ok: true, value }),
    (error: unknown) => ({ ok: false, error }),
  );

const MAX_CACHE_ENTRIES = 10_000;
const MAX_CACHE_CHARS = 16 * 1_048_576;

/** A bounded cache for results of built-ins; one per policy or process. */
export function createBuiltinCache(): BuiltinCache {
  // Made when it is needed: it reserves its places at once, and many policies call nothing that uses it.
  let entries: LRUCache<string, { readonly value: unknown }> | undefined;
  return {
    get: (key) => entries?.get(key)?.value,
    set: (key, value) => {
      entries ??= new LRUCache({
        max: MAX_CACHE_ENTRIES,
        maxSize: MAX_CACHE_CHARS,
        sizeCalculation: (_value, each) => each.length + 1,
      });
      entries.set(key, { value });
    },
  };
}

/** Takes about two seconds. */
const DEFAULT_STEPS = 500_000_000;

export const defaultHostOptions = (): HostOptions => ({
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
  random: (count) => randomBytes(count),
  // A policy's print output could carry anything from the input: it goes nowhere unless someone asks for it.
  onPrint: () => {},
  onAnswer: () => {},
  runtime: new RegoObject(),
  strictBuiltinErrors: false,
  cache: createBuiltinCache(),
  builtinMs: 1_000,
  leavesLongWork: false,
  maxSteps: DEFAULT_STEPS,
  network: undefined,
});

/** The context of one evaluation; made at its first call of a built-in, which many evaluations never get to. */
export function createContext(options: HostOptions, session: Session | undefined): BuiltinContext {
  const endsAt = performance.now() + options.builtinMs;
  const requireTime = (ms: number): void => {
    if (performance.now() + ms > endsAt) throw new HaltError('eval_cancel_error', 'the evaluation takes too long');
  };
  return {
    nowNs: session?.nowNs ?? options.nowNs(),
    random: options.random,
    memo: session?.memo ?? new Map(),
    cache: options.cache,
    runtime: options.runtime,
    print: options.onPrint,
    checkDeadline: () => requireTime(0),
    expectWork: (ms) => {
      if (options.leavesLongWork) requireTime(ms);
    },
    network: () => {
      if (session === undefined) throw new AsyncBuiltinError();
      if (options.network === undefined) throw new BuiltinError('no host is allowed');
      return options.network;
    },
    outside: (key, ask) => {
      const known = session?.answers.get(key);
      if (known?.ok === false) throw known.error;
      if (known !== undefined) return known.value;
      const answer = ask();
      if (!(answer instanceof Promise)) return answer;
      if (session !== undefined) throw new PendingAnswer(key, answer);
      answer.catch(() => {});
      throw new AsyncBuiltinError();
    },
  };
}
