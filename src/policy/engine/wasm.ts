import { messageOf } from '../../lib/message.ts';
import type { Evaluation } from '../../model/evaluation.ts';
import type { Json } from '../../model/json.ts';
import { toJson } from '../../values/convert.ts';
import { isObject, parseExact } from '../../values/json.ts';
import { parse } from '../../values/parse.ts';
import { BuiltinError, HaltError } from '../builtins/builtin.ts';
import { hostBuiltins } from '../builtins/registry.ts';
import { defaultHostOptions } from './context.ts';
import type { EngineLimits, PolicyInstance } from './engine.ts';
import { PolicyAbort } from './host.ts';
import { compileModule, instantiateModule, type ModuleInstance, StepsExhausted } from './module.ts';

/** Linear memory never shrinks, so an instance that one large input made this much larger is replaced. */
const GROWTH_BYTES = 16 * 1_048_576;

/** Most time that the built-ins of one evaluation may take, ms. */
const BUILTIN_MS = 100;

/** Policy modules made by `opa build -t wasm` (ABI 1.2 and later). `data` is JSON text. Rejects with EngineError. */
export async function createWasmInstance(
  wasm: Uint8Array,
  data: string,
  limits: EngineLimits,
): Promise<PolicyInstance> {
  const compiled = await compileModule(wasm, limits.memoryBytes);
  const options = { ...defaultHostOptions(), maxSteps: limits.steps, builtinMs: BUILTIN_MS };
  let ready: { readonly instance: ModuleInstance; readonly restingBytes: number } | undefined = start();
  const { entrypoints } = ready.instance;

  function start() {
    const instance = instantiateModule(compiled, data, hostBuiltins, options);
    return { instance, restingBytes: instance.memoryBytes() };
  }

  function evaluate(entrypoint: string, input: string): Evaluation {
    const id = entrypoints.get(entrypoint);
    if (id === undefined) return { ok: false, reason: 'evaluation_error', cause: `no entrypoint ${entrypoint}` };
    try {
      ready ??= start();
      const results = readResults(ready.instance.evaluate(id, input));
      if (ready.instance.memoryBytes() > ready.restingBytes + GROWTH_BYTES) ready = undefined;
      return { ok: true, results };
    } catch (error) {
      // After an orderly abort the next opa_eval starts from a clean heap; after anything else nothing is certain.
      if (!(error instanceof PolicyAbort)) ready = undefined;
      return classify(error);
    }
  }

  return {
    entrypoints: [...entrypoints.keys()],
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
