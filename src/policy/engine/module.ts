import { messageOf } from '../../lib/message.ts';
import { parse } from '../../values/parse.ts';
import { isRegoObject } from '../../values/value.ts';
import type { Builtin } from '../builtins/builtin.ts';
import type { Answers, HostOptions } from './context.ts';
import { EngineError } from './engine.ts';
import { createHost, type Host, type ModuleExports, putText, textAt } from './host.ts';
import { MAX_STEPS, STEPS_EXPORT, withSteps } from './metering.ts';
import { minimumPages, pagesFor } from './wasm-memory.ts';

/** A compiled module and what its instances need. */
export type CompiledModule = {
  readonly module: WebAssembly.Module;
  readonly pages: { readonly initial: number; readonly maximum: number };
};

/** Compiles `wasm`. Rejects with EngineError. */
export async function compileModule(wasm: Uint8Array, memoryBytes: number): Promise<CompiledModule> {
  if (!WebAssembly.validate(wasm)) throw new EngineError('the WASM module is not valid');
  const module = await WebAssembly.compile(withSteps(wasm)).catch((error: unknown) => {
    throw new EngineError(`the WASM module does not compile: ${messageOf(error)}`);
  });
  const pages = { initial: minimumPages(wasm), maximum: pagesFor(memoryBytes) };
  if (pages.initial > pages.maximum) {
    throw new EngineError(
      `the WASM module needs ${pages.initial} pages of memory and postern.evaluation.memory_bytes allows ${pages.maximum}`,
    );
  }
  return { module, pages };
}

/** The evaluation took more steps than it may; the instance must not be used again. */
export class StepsExhausted extends Error {
  override readonly name = 'StepsExhausted';
  constructor(maxSteps: number) {
    super(`the evaluation took more than ${maxSteps} steps`);
  }
}

/** A running module with its data. After any exception but PolicyAbort it must not be used again. */
export type ModuleInstance = {
  readonly entrypoints: ReadonlyMap<string, number>;
  /** `data` is term text. Throws EngineError. */
  readonly setData: (data: string) => void;
  /** The result set, an array of bindings, as term text; an empty `input` is no input. Throws whatever ends an evaluation. */
  readonly evaluate: (entrypoint: number, input: string | Uint8Array, answers?: Answers) => string;
  readonly memoryBytes: () => number;
};

/** Throws EngineError. */
export function instantiateModule(
  { module, pages }: CompiledModule,
  data: string,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): ModuleInstance {
  const memory = new WebAssembly.Memory(pages);
  const host = createHost(memory, options);
  const exports = orEngineError(() => start(module, host));
  const steps = exports[STEPS_EXPORT];
  host.builtins = required(namesOf(exports, memory, exports.builtins()), builtins);
  const entrypoints = namesOf(exports, memory, exports.entrypoints());
  const baseHeap = exports.opa_heap_ptr_get();
  let dataAddress = 0;
  let dataHeap = baseHeap;

  function setData(text: string): void {
    steps.value = MAX_STEPS;
    exports.opa_heap_ptr_set(baseHeap);
    dataAddress = orEngineError(() => putText(exports, memory, text));
    dataHeap = exports.opa_heap_ptr_get();
  }

  function evaluate(entrypoint: number, input: string | Uint8Array, answers?: Answers): string {
    host.begin(answers);
    const length = typeof input === 'string' ? Buffer.byteLength(input) : input.length;
    const lacking = dataHeap + length - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(pagesFor(lacking));
    const bytes = Buffer.from(memory.buffer);
    if (typeof input === 'string') bytes.write(input, dataHeap);
    else bytes.set(input, dataHeap);
    // The input's value is made behind its text.
    const set = textAt(
      memory,
      bounded(() => exports.opa_eval(0, entrypoint, dataAddress, dataHeap, length, dataHeap + length, 1)),
    );
    // The bindings come as a set. As an array the text is JSON as long as no value in it needs more than JSON has.
    return set === 'set()' ? '[]' : `[${set.slice(1, -1)}]`;
  }

  function bounded(step: () => number): number {
    steps.value = options.maxSteps;
    try {
      return step();
    } catch (error) {
      throw Number(steps.value) < 0 ? new StepsExhausted(options.maxSteps) : error;
    }
  }

  setData(data);
  return { entrypoints, setData, evaluate, memoryBytes: () => memory.buffer.byteLength };
}

function orEngineError<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError(`the WASM module cannot be started: ${messageOf(error)}`);
  }
}

function start(module: WebAssembly.Module, host: Host): ModuleExports {
  const instance = new WebAssembly.Instance(module, { env: host.imports });
  const { opa_wasm_abi_version: major, opa_wasm_abi_minor_version: minor } = instance.exports;
  const [majorVersion = 0, minorVersion = 0] = [major, minor].map((global) =>
    global instanceof WebAssembly.Global ? Number(global.value) : 0,
  );
  if (majorVersion !== 1 || minorVersion < 2) {
    throw new EngineError(`the WASM module has ABI ${majorVersion}.${minorVersion}, and 1.2 or later is needed`);
  }
  const exports = instance.exports as unknown as ModuleExports;
  host.exports = exports;
  return exports;
}

/** Names with their numbers: what `builtins()` and `entrypoints()` tell. */
function namesOf(exports: ModuleExports, memory: WebAssembly.Memory, address: number): Map<string, number> {
  const listed = parse(textAt(memory, exports.opa_json_dump(address)));
  const entries = isRegoObject(listed) ? listed.sorted() : [];
  return new Map(entries.map(([name, id]) => [String(name), Number(id)]));
}

function required(
  names: ReadonlyMap<string, number>,
  builtins: ReadonlyMap<string, Builtin>,
): ReadonlyMap<number, Builtin> {
  const missing = [...names.keys()].filter((name) => !builtins.has(name)).sort();
  if (missing.length > 0) {
    throw new EngineError(`the policy needs built-in functions that are not available: ${missing.join(', ')}`);
  }
  return new Map(
    [...names].flatMap(([name, id]) => {
      const builtin = builtins.get(name);
      return builtin === undefined ? [] : [[id, builtin] as const];
    }),
  );
}
