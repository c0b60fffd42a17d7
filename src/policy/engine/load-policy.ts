import { fromJavaScript } from '../../values/convert.ts';
import { dump, dumpJson } from '../../values/dump.ts';
import { parse } from '../../values/parse.ts';
import type { Answer, Builtin } from '../builtins/builtin.ts';
import { hostBuiltins } from '../builtins/registry.ts';
import { createNetwork, type NetworkOptions } from '../network/network.ts';
import { defaultHostOptions, evaluateInPasses, type Session } from './context.ts';
import { EngineError } from './engine.ts';
import { instantiateModule, type ModuleInstance } from './instance.ts';
import { MAX_STEPS } from './metering.ts';
import { compileModule } from './module.ts';

export { ValueSyntaxError } from '../../values/parse.ts';
export { BuiltinError, HaltError } from '../builtins/builtin.ts';
export { AsyncBuiltinError } from './context.ts';
export { EngineError } from './engine.ts';
export { PolicyAbort } from './host.ts';
export type { NetworkOptions };

/*
 * The engine as a library: Rego compiled to WebAssembly, with every built-in function of OPA, without the server.
 */

/** A built-in function of the caller's; arguments and result as JSON has them (sets are arrays). May return a promise. */
export type ExtraBuiltin = (...args: readonly unknown[]) => unknown;

export type PolicyOptions = {
  /** The base document, `{}` when absent. A string is JSON or Rego term text. */
  readonly data?: unknown;
  /** Whether a built-in's error is thrown; otherwise its call is undefined. Default false, as OPA has it. */
  readonly strictBuiltinErrors?: boolean;
  /** Most memory that the module may have, bytes. Default 256 MiB. */
  readonly maxMemoryBytes?: number;
  /** Most steps of one evaluation: calls of functions and turns of loops in the module. Default 500 million. */
  readonly maxSteps?: number;
  /** Wall clock, ms since the epoch. Default Date.now. */
  readonly now?: () => number;
  /** `count` random bytes. Default: those of node:crypto. */
  readonly random?: (count: number) => Uint8Array;
  /** Gets each line that `print` and `trace` write. Default: they go nowhere. */
  readonly onPrint?: (message: string) => void;
  /** Further built-ins by name; they go before ours. Undefined: the call is undefined. What they throw is thrown. */
  readonly extraBuiltins?: { readonly [name: string]: ExtraBuiltin };
  /** The hosts that `http.send` and `net.lookup_ip_addr` may ask, in the asynchronous calls. Default: none. */
  readonly network?: NetworkOptions;
};

/** A policy ready to be asked. One evaluation at a time; calls that wait are answered from their own evaluation. */
export type Policy = {
  readonly entrypoints: readonly string[];
  /**
   * OPA's result set: one object of bindings per result, none when undefined. Sets come as arrays in OPA's order,
   * numbers as JavaScript has them. `entrypoint` is the first one when left out. Throws EngineError when there is no
   * such entrypoint, and what ends an evaluation: PolicyAbort, HaltError, BuiltinError (strict), AsyncBuiltinError.
   */
  readonly evaluate: (input: unknown, entrypoint?: string) => unknown[];
  /**
   * Like `evaluate`, from JSON or Rego term text to the exact term text of the result set. Empty text: no input. Throws
   * ValueSyntaxError for text that is neither, TypeError for bytes that are no UTF-8.
   */
  readonly evaluateText: (input: string | Uint8Array, entrypoint?: string) => string;
  /** Like `evaluate`, for policies whose built-ins have to wait. */
  readonly evaluateAsync: (input: unknown, entrypoint?: string) => Promise<unknown[]>;
  readonly evaluateTextAsync: (input: string | Uint8Array, entrypoint?: string) => Promise<string>;
  /** Replaces the base document. A string is JSON or Rego term text. Throws EngineError. */
  readonly setData: (data: unknown) => void;
};

const DEFAULT_MEMORY_BYTES = 256 * 1_048_576;
/** Loads a module made by `opa build -t wasm` (ABI 1.2 and later). Rejects with EngineError. */
export async function loadPolicy(wasm: Uint8Array, options: PolicyOptions = {}): Promise<Policy> {
  const compiled = await compileModule(wasm, options.maxMemoryBytes ?? DEFAULT_MEMORY_BYTES);
  const builtins = withExtra(options.extraBuiltins ?? {});
  const defaults = defaultHostOptions();
  const { now } = options;
  const hostOptions = {
    ...defaults,
    nowNs: now === undefined ? defaults.nowNs : () => BigInt(Math.round(now() * 1000)) * 1000n,
    random: options.random ?? defaults.random,
    onPrint: options.onPrint ?? defaults.onPrint,
    strictBuiltinErrors: options.strictBuiltinErrors ?? false,
    maxSteps: Math.min(options.maxSteps ?? defaults.maxSteps, MAX_STEPS),
    network: options.network === undefined ? undefined : createNetwork(options.network),
  };
  let data = textOf(options.data ?? {});
  let instance: ModuleInstance | undefined = instantiateModule(compiled, data, builtins, hostOptions);
  const { entrypoints } = compiled;
  const [first = ''] = entrypoints.keys();

  function run(input: string | Uint8Array, entrypoint = first, session?: Session): string {
    const id = entrypoints.get(entrypoint);
    if (id === undefined) {
      throw new EngineError(`no entrypoint ${entrypoint}; the module has: ${[...entrypoints.keys()].join(', ')}`);
    }
    instance ??= instantiateModule(compiled, data, builtins, hostOptions);
    try {
      return instance.evaluate(id, input, session);
    } catch (error) {
      if (instance.isSpoiledBy(error)) instance = undefined;
      throw error;
    }
  }

  const runAsync = (input: string | Uint8Array, entrypoint?: string): Promise<string> =>
    evaluateInPasses(hostOptions.nowNs(), (session) => run(input, entrypoint, session));

  return {
    entrypoints: [...entrypoints.keys()],
    evaluate: (input, entrypoint) => resultSet(run(inputText(input), entrypoint)),
    evaluateText: (input, entrypoint) => run(whole(input), entrypoint),
    evaluateAsync: async (input, entrypoint) => resultSet(await runAsync(inputText(input), entrypoint)),
    evaluateTextAsync: async (input, entrypoint) => runAsync(whole(input), entrypoint),
    setData(next) {
      const text = textOf(next);
      // Replaced as a whole: were it refused, the old one would be gone from a module that is kept.
      instance = instantiateModule(compiled, text, builtins, hostOptions);
      data = text;
    },
  };
}

const textOf = (data: unknown): string => (typeof data === 'string' ? data : dump(fromJavaScript(data)));

/**
 * Refuses text with more behind its value, which the module would not look at. An object is what nearly every input is,
 * and reading it twice would cost as much as a small policy. Throws ValueSyntaxError, TypeError (no UTF-8).
 */
function whole(input: string | Uint8Array): string | Uint8Array {
  if (input.length === 0 || (codeAt(input, 0) === OPEN && codeAt(input, input.length - 1) === CLOSE)) return input;
  const text = typeof input === 'string' ? input : utf8.decode(input);
  try {
    JSON.parse(text);
  } catch {
    parse(text);
  }
  return text;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const OPEN = 0x7b;
const CLOSE = 0x7d;
const codeAt = (input: string | Uint8Array, at: number): number | undefined =>
  typeof input === 'string' ? input.charCodeAt(at) : input[at];

function inputText(input: unknown): string {
  if (input === undefined) return '';
  const text: string | undefined = JSON.stringify(input);
  if (text === undefined) throw new TypeError(`a ${typeof input} is no input`);
  return text;
}

/** Term text is JSON unless there is a set or a key that is no string in it, and no such text is valid JSON. */
function resultSet(text: string): unknown[] {
  try {
    return JSON.parse(text) as unknown[];
  } catch {
    return JSON.parse(dumpJson(parse(text))) as unknown[];
  }
}

function withExtra(extra: { readonly [name: string]: ExtraBuiltin }): ReadonlyMap<string, Builtin> {
  const all = new Map(hostBuiltins);
  for (const [name, implementation] of Object.entries(extra)) {
    all.set(name, {
      name,
      arity: implementation.length,
      run: (ctx, ...args) =>
        ctx.outside(`${name} ${dump(args)}`, () => {
          const result = implementation(...args.map((arg) => JSON.parse(dumpJson(arg)) as unknown));
          return isThenable(result) ? Promise.resolve(result).then(answerOf) : answerOf(result);
        }),
    });
  }
  return all;
}

/** Promises of other realms and of libraries are none of ours by class. */
const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';

const answerOf = (result: unknown): Answer => (result === undefined ? undefined : fromJavaScript(result));
