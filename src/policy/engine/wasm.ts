import { messageOf } from '../../lib/message.ts';
import type { Evaluation } from '../../model/evaluation.ts';
import type { Json } from '../../model/json.ts';
import { toJson } from '../../values/convert.ts';
import { isObject, parseExact } from '../../values/json.ts';
import { parse } from '../../values/parse.ts';
import { BuiltinError, HaltError } from '../builtins/builtin.ts';
import { hostBuiltins, waitingBuiltins } from '../builtins/registry.ts';
import { defaultHostOptions, evaluateInPasses, type Session } from './context.ts';
import type { EngineOptions, PolicyInstance } from './engine.ts';
import { PolicyAbort } from './host.ts';
import { compileModule, instantiateModule, type ModuleInstance, StepsExhausted, withMemory } from './module.ts';

/** Linear memory never shrinks, so an instance that one large input made this much larger is replaced. */
const GROWTH_BYTES = 16 * 1_048_576;
/** Longest wait for answers from the network when the caller sets no deadline, ms. */
const MAX_WAIT_MS = 10_000;

/** Policy modules made by `opa build -t wasm` (ABI 1.2 and later). `data` is JSON text. Rejects with EngineError. */
export async function createWasmInstance(
  wasm: Uint8Array,
  data: string,
  limits: EngineOptions,
): Promise<PolicyInstance> {
  const compiled = await compileModule(wasm, limits.memoryBytes);
  const { entrypoints } = compiled;
  const waits = [...compiled.builtins.keys()].some((name) => waitingBuiltins.has(name));
  // An evaluation that waits cannot be moved to a thread, which has no network.
  const inline = waits ? undefined : limits.inline;
  const { memoryBytes, steps, builtinMs } = inline ?? limits;
  const options = {
    ...defaultHostOptions(),
    maxSteps: steps,
    builtinMs,
    leavesLongWork: inline !== undefined,
    network: limits.network,
  };
  let ready: { readonly instance: ModuleInstance; readonly restingBytes: number } | undefined = start();

  function start() {
    const instance = instantiateModule(withMemory(compiled, memoryBytes), data, hostBuiltins, options);
    return { instance, restingBytes: instance.memoryBytes() };
  }

  /** Throws whatever ends the evaluation. */
  function run(id: number, input: string, session?: Session): Evaluation {
    try {
      ready ??= start();
      const results = readResults(ready.instance.evaluate(id, input, session));
      recycle();
      return { ok: true, results };
    } catch (error) {
      if (ready?.instance.isSpoiledBy(error) === true) ready = undefined;
      else recycle();
      throw error;
    }
  }

  function recycle(): void {
    if (ready === undefined || limits.staysLarge === true) return;
    if (ready.instance.memoryBytes() > ready.restingBytes + GROWTH_BYTES) ready = undefined;
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
      return run(id, input);
    } catch (error) {
      return classify(error);
    }
  }

  return {
    entrypoints: [...entrypoints.keys()],
    waits,
    evaluate,
    memoryBytes: () => ready?.instance.memoryBytes() ?? 0,
  };
}

function readResults(text: string): readonly Json[] {
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

function classify(error: unknown): Evaluation & { ok: false } {
  const cause = messageOf(error);
  const isOutOfMemory = error instanceof RangeError ? !/call stack/i.test(cause) : cause.includes('opa_malloc');
  if (isOutOfMemory) return { ok: false, reason: 'out_of_memory', cause };
  if (error instanceof StepsExhausted || (error instanceof HaltError && error.code === 'eval_cancel_error')) {
    return { ok: false, reason: 'evaluation_timeout', cause };
  }
  const isOrderly = error instanceof PolicyAbort || error instanceof HaltError || error instanceof BuiltinError;
  return { ok: false, reason: isOrderly ? 'evaluation_error' : 'evaluation_trap', cause };
}
