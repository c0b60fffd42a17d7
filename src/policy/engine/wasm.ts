import { messageOf } from '../../lib/message.ts';
import type { Evaluation, EvaluationFailure } from '../../model/evaluation.ts';
import type { Json } from '../../model/json.ts';
import { toJson } from '../../values/convert.ts';
import { isObject, parseExact } from '../../values/json.ts';
import { parse } from '../../values/parse.ts';
import { BuiltinError, HaltError } from '../builtins/builtin.ts';
import { hostBuiltins, waitingBuiltins } from '../builtins/registry.ts';
import { defaultHostOptions, evaluateInPasses, type HostOptions, type Session } from './context.ts';
import type { EngineOptions, PolicyInstance } from './engine.ts';
import { PolicyAbort } from './host.ts';
import type { MemoryImage } from './image.ts';
import {
  instantiateImage,
  instantiateModule,
  instantiateSmallImage,
  type ModuleInstance,
  StepsExhausted,
} from './instance.ts';
import { type CompiledModule, compileModule, withMemory } from './module.ts';
import { createObservations, type Observations } from './observations.ts';

/** Linear memory never shrinks, so an instance that one large input made this much larger is replaced. */
const GROWTH_BYTES = 16 * 1_048_576;
/** What is copied within a millisecond or two. */
const SMALL_IMAGE_BYTES = 4 * 1_048_576;
/** Longest wait for answers from the network when the caller sets no deadline, ms. */
const MAX_WAIT_MS = 10_000;

/** A module that is compiled and whose data is loaded. */
export type LoadedModule = { readonly compiled: CompiledModule; readonly image: MemoryImage };

/**
 * Policy modules made by `opa build -t wasm` (ABI 1.2 and later). `data` is JSON text. What is read when it is asked for
 * `path` is found out. Rejects with EngineError.
 */
export async function createWasmInstance(
  wasm: Uint8Array,
  data: string | Uint8Array,
  limits: EngineOptions,
  path?: string,
): Promise<PolicyInstance> {
  return createInstance(await compileModule(wasm, limits.memoryBytes, path), data, limits);
}

/** The same for a compiled module; `image` is what it has loaded, to be asked for before anything else. Throws EngineError. */
export function createInstance(
  compiled: CompiledModule,
  data: string | Uint8Array,
  limits: EngineOptions,
): PolicyInstance & { readonly image: () => MemoryImage } {
  const rules = rulesOf(compiled, limits);
  const again = (): ModuleInstance => instantiateModule(rules.compiled, data, hostBuiltins, rules.options);
  const first = again();
  return { ...instanceFrom(rules, limits, { first, again }), image: first.image };
}

/**
 * The same for a module that was loaded in another thread. When its instance has to be replaced and the image is not
 * small, it is asked for `again`, and evaluations are given up meanwhile. Large images are handed back with `takeBack`.
 * Rejects with EngineError.
 */
export async function createLoadedInstance(
  { compiled, image }: LoadedModule,
  limits: EngineOptions,
  images: { readonly again: () => Promise<MemoryImage>; readonly takeBack: (image: MemoryImage) => void },
): Promise<PolicyInstance> {
  const rules = rulesOf(compiled, limits);
  const make = async (from: MemoryImage): Promise<ModuleInstance> => {
    const instance = await instantiateImage(rules.compiled, from, hostBuiltins, rules.options);
    if (from !== small) images.takeBack(from);
    return instance;
  };
  const small = image.bytes.length <= SMALL_IMAGE_BYTES ? image : undefined;
  return instanceFrom(rules, limits, {
    first: await make(image),
    again: () =>
      small === undefined
        ? images.again().then(make)
        : instantiateSmallImage(rules.compiled, small, hostBuiltins, rules.options),
  });
}

/** How a module is run within its limits. */
type Rules = {
  readonly compiled: CompiledModule;
  readonly options: HostOptions;
  readonly waits: boolean;
  readonly observations: Observations;
};

function rulesOf(compiled: CompiledModule, limits: EngineOptions): Rules {
  const waits = [...compiled.builtins.keys()].some((name) => waitingBuiltins.has(name));
  // An evaluation that waits cannot be moved to a thread, which has no network.
  const inline = waits ? undefined : limits.inline;
  const { memoryBytes, steps, builtinMs } = inline ?? limits;
  const observations = createObservations();
  const options = {
    ...defaultHostOptions(),
    onAnswer: observations.note,
    maxSteps: steps,
    builtinMs,
    leavesLongWork: inline !== undefined,
    network: limits.network,
  };
  return { compiled: withMemory(compiled, memoryBytes), options, waits, observations };
}

type Source = {
  readonly first: ModuleInstance;
  /** Another one. */
  readonly again: () => ModuleInstance | Promise<ModuleInstance>;
};

const REPLACED: Evaluation = {
  ok: false,
  reason: 'evaluation_timeout',
  cause: "the policy's instance is being replaced",
};

function instanceFrom(
  { compiled, options, waits, observations }: Rules,
  limits: EngineOptions,
  source: Source,
): PolicyInstance {
  const { entrypoints } = compiled;
  const restingBytes = source.first.memoryBytes();
  let ready: ModuleInstance | undefined = source.first;
  let replacing = false;

  function replace(): void {
    const next = source.again();
    if (!(next instanceof Promise)) {
      ready = next;
      return;
    }
    replacing = true;
    next
      .then(
        (instance) => (ready = instance),
        // Whoever asks next tries again.
        () => {},
      )
      .finally(() => (replacing = false));
  }

  /** Throws whatever ends the evaluation. */
  function run(id: number, input: string, session?: Session, maxSteps?: number): Evaluation {
    if (ready === undefined && !replacing) replace();
    if (ready === undefined) return REPLACED;
    observations.begin();
    try {
      const results = readResults(ready.evaluate(id, input, session, maxSteps));
      recycle();
      return observing({ ok: true, results });
    } catch (error) {
      if (ready.isSpoiledBy(error)) ready = undefined;
      else recycle();
      throw error;
    }
  }

  function observing(evaluation: Evaluation): Evaluation {
    const observed = observations.all();
    return observed === undefined ? evaluation : { ...evaluation, observed };
  }

  function recycle(): void {
    if (ready === undefined || limits.staysLarge === true) return;
    if (ready.memoryBytes() > restingBytes + GROWTH_BYTES) ready = undefined;
  }

  async function runInPasses(id: number, input: string, untilMs: number): Promise<Evaluation> {
    let timer: NodeJS.Timeout | undefined;
    const late = (): HaltError => new HaltError('eval_cancel_error', 'the answers that the policy waits for are late');
    const lateness = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(late()), Math.max(0, untilMs - performance.now()));
    });
    try {
      const passes = evaluateInPasses(options.nowNs(), (session) => {
        if (performance.now() >= untilMs) throw late();
        return run(id, input, session);
      });
      return await Promise.race([passes, lateness]);
    } catch (error) {
      return classify(error);
    } finally {
      clearTimeout(timer);
    }
  }

  function evaluate(entrypoint: string, input: string, untilMs?: number): Evaluation | Promise<Evaluation> {
    const id = entrypoints.get(entrypoint);
    if (id === undefined) return { ok: false, reason: 'evaluation_error', cause: `no entrypoint ${entrypoint}` };
    if (waits && untilMs !== undefined) {
      return runInPasses(id, input, Math.min(untilMs, performance.now() + MAX_WAIT_MS));
    }
    try {
      // Who cannot wait is not kept waiting either.
      return run(id, input, undefined, limits.inline?.steps);
    } catch (error) {
      return observing(classify(error));
    }
  }

  return {
    entrypoints: [...entrypoints.keys()],
    waits,
    evaluate,
    reads: (entrypoint) => compiled.reads.get(entrypoint) ?? true,
    memoryBytes: () => ready?.memoryBytes() ?? 0,
  };
}

const TRUE = Object.freeze([true]);
const FALSE = Object.freeze([false]);

function readResults(text: string): readonly Json[] {
  // What most policies say.
  if (text === '[{"result": true}]') return TRUE;
  if (text === '[{"result": false}]') return FALSE;
  const parsed = readResultSet(text);
  if (!Array.isArray(parsed)) return [];
  return parsed.map((entry: Json) => (isObject(entry) ? (entry['result'] ?? null) : null));
}

/** Term text is JSON unless there is a set or a key that is no string in it, and no such text is valid JSON. */
function readResultSet(text: string): Json {
  try {
    return parseExact(text);
  } catch {
    return toJson(parse(text));
  }
}

function classify(error: unknown): EvaluationFailure {
  const cause = messageOf(error);
  const isOutOfMemory = error instanceof RangeError ? !/call stack/i.test(cause) : cause.includes('opa_malloc');
  if (isOutOfMemory) return { ok: false, reason: 'out_of_memory', cause };
  if (error instanceof StepsExhausted || (error instanceof HaltError && error.code === 'eval_cancel_error')) {
    return { ok: false, reason: 'evaluation_timeout', cause };
  }
  const isOrderly = error instanceof PolicyAbort || error instanceof HaltError || error instanceof BuiltinError;
  return { ok: false, reason: isOrderly ? 'evaluation_error' : 'evaluation_trap', cause };
}
