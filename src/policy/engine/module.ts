import { messageOf } from '../../lib/message.ts';
import { parse, ValueSyntaxError } from '../../values/parse.ts';
import { isRegoObject } from '../../values/value.ts';
import type { Builtin } from '../builtins/builtin.ts';
import { defaultHostOptions, type HostOptions, type Session } from './context.ts';
import { EngineError } from './engine.ts';
import { createHost, type Host, type ModuleExports, putText, textAt } from './host.ts';
import { GLOBAL_EXPORT, INPUT_EXPORT, MAX_STEPS, STEPS_EXPORT, withSteps } from './metering.ts';
import { redirectedBuiltins } from './redirected.ts';
import { minimumPages, PAGE_BYTES, pagesFor } from './wasm-memory.ts';

/** A compiled module and what its instances need. */
export type CompiledModule = {
  readonly module: WebAssembly.Module;
  readonly pages: { readonly initial: number; readonly maximum: number };
  /** Major and minor version of its ABI. */
  readonly abi: readonly [major: number, minor: number];
  /** Numbers of entrypoints and of the built-ins that it calls, by name. */
  readonly entrypoints: ReadonlyMap<string, number>;
  readonly builtins: ReadonlyMap<string, number>;
};

/** https://www.openpolicyagent.org/docs/wasm, "ABI Definition". */
const IMPORTS: ReadonlySet<string> = new Set([
  ...['memory', 'opa_abort', 'opa_println'],
  ...[0, 1, 2, 3, 4].map((arity) => `opa_builtin${arity}`),
]);

/** Compiles `wasm`. Rejects with EngineError. */
export async function compileModule(wasm: Uint8Array, memoryBytes: number): Promise<CompiledModule> {
  const module = await WebAssembly.compile(withSteps(wasm)).catch((error: unknown) => {
    throw new EngineError(`the WASM module does not compile: ${messageOf(error)}`);
  });
  const unknown = WebAssembly.Module.imports(module).find(
    ({ module: from, name }) => from !== 'env' || !IMPORTS.has(name),
  );
  if (unknown !== undefined) {
    throw new EngineError(`the WASM module imports ${unknown.module}.${unknown.name}, which OPA's modules do not`);
  }
  const pages = { initial: minimumPages(wasm), maximum: pagesFor(memoryBytes) };
  if (pages.initial > pages.maximum) {
    throw new EngineError(
      `the WASM module needs ${pages.initial} pages of memory and postern.evaluation.memory_bytes allows ${pages.maximum}`,
    );
  }
  return { module, pages, ...orEngineError(() => describe(module, pages)) };
}

/** The same module, whose instances may have no more than `memoryBytes`. */
export const withMemory = (compiled: CompiledModule, memoryBytes: number): CompiledModule => ({
  ...compiled,
  pages: { ...compiled.pages, maximum: Math.max(compiled.pages.initial, pagesFor(memoryBytes)) },
});

/** What a module says of itself once it runs. */
function describe(
  module: WebAssembly.Module,
  pages: CompiledModule['pages'],
): Pick<CompiledModule, 'abi' | 'entrypoints' | 'builtins'> {
  const memory = new WebAssembly.Memory(pages);
  const { exports, abi } = start(module, createHost(memory, defaultHostOptions()));
  return {
    abi,
    entrypoints: namesOf(exports, memory, exports.entrypoints()),
    builtins: namesOf(exports, memory, exports.builtins()),
  };
}

/** The evaluation took more steps than it may; the instance must not be used again. */
export class StepsExhausted extends Error {
  override readonly name = 'StepsExhausted';
  constructor(maxSteps: number) {
    super(`the evaluation took more than ${maxSteps} steps`);
  }
}

/** Whether the module itself failed, and not what it called or its budget; then nothing in its memory is certain. */
const isTrap = (error: unknown): boolean => error instanceof WebAssembly.RuntimeError || error instanceof RangeError;

/** A running module with its data. */
export type ModuleInstance = {
  /** `data` is term text. Throws EngineError. */
  readonly setData: (data: string) => void;
  /** Whether it must not be used again after this exception. */
  readonly isSpoiledBy: (error: unknown) => boolean;
  /** The result set, an array of bindings, as term text; an empty `input` is no input. Throws whatever ends an evaluation. */
  readonly evaluate: (entrypoint: number, input: string | Uint8Array, session?: Session) => string;
  readonly memoryBytes: () => number;
};

/** Throws EngineError. */
export function instantiateModule(
  { module, pages, builtins: needed }: CompiledModule,
  data: string,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): ModuleInstance {
  const memory = new WebAssembly.Memory(pages);
  const host = createHost(memory, options);
  const { exports } = orEngineError(() => start(module, host));
  const steps = exports[STEPS_EXPORT];
  const inputAddress = exports[INPUT_EXPORT];
  host.builtins = required(needed, builtins);
  const baseHeap = exports.opa_heap_ptr_get();
  let dataAddress = 0;
  let dataHeap = baseHeap;

  let state: ModuleState | undefined;

  function setData(text: string): void {
    steps.value = MAX_STEPS;
    exports.opa_heap_ptr_set(baseHeap);
    dataAddress = orEngineError(() => putText(exports, memory, text));
    dataHeap = exports.opa_heap_ptr_get();
    state = keepState(exports, memory, baseHeap, pages.maximum);
  }

  function evaluate(entrypoint: number, input: string | Uint8Array, session?: Session): string {
    host.begin(session);
    const length = typeof input === 'string' ? Buffer.byteLength(input) : input.length;
    const lacking = dataHeap + length - memory.buffer.byteLength;
    if (lacking > 0) {
      memory.grow(pagesFor(lacking));
      state?.tellOfGrowth();
    }
    const bytes = Buffer.from(memory.buffer);
    if (typeof input === 'string') bytes.write(input, dataHeap);
    else bytes.set(input, dataHeap);
    inputAddress.value = 1;
    // The input's value is made behind its text.
    const set = textAt(
      memory,
      bounded(() => exports.opa_eval(0, entrypoint, dataAddress, dataHeap, length, dataHeap + length, 1)),
    );
    // The module takes text that it cannot read for no input at all.
    if (length > 0 && inputAddress.value === 0) throw new ValueSyntaxError('the input cannot be read', 0);
    // The bindings come as a set. As an array the text is JSON as long as no value in it needs more than JSON has.
    return set === 'set()' ? '[]' : `[${set.slice(1, -1)}]`;
  }

  function bounded(step: () => number): number {
    steps.value = options.maxSteps;
    try {
      return step();
    } catch (error) {
      state?.restore();
      throw Number(steps.value) < 0 ? new StepsExhausted(options.maxSteps) : error;
    }
  }

  setData(data);
  const isSpoiledBy = (error: unknown): boolean => isTrap(error) || state?.isCertain() !== true;
  return { setData, evaluate, isSpoiledBy, memoryBytes: () => memory.buffer.byteLength };
}

const HEADROOM_BYTES = 8 * 1_048_576;

type ModuleState = {
  /**
   * Puts the module back to where it was, but for its heap, which every evaluation begins anew. An exception leaves C code
   * without its epilogue: what it was changing is half changed, and the stack that it keeps in memory stays as deep as it
   * was.
   */
  readonly restore: () => void;
  /** The memory was grown from outside. */
  readonly tellOfGrowth: () => void;
  /** Whether the module knows how much memory it has. */
  readonly isCertain: () => boolean;
};

/** What the module is now: its globals and the `bytes` of memory below the heap. */
function keepState(
  exports: ModuleExports,
  memory: WebAssembly.Memory,
  bytes: number,
  maximumPages: number,
): ModuleState {
  const topAddress = reserve(exports, memory, bytes, maximumPages);
  const image = new Uint8Array(memory.buffer).slice(0, bytes);
  const size = memory.buffer.byteLength;
  const globals = Object.entries(exports).flatMap(([name, exported]): [WebAssembly.Global, unknown][] =>
    name.startsWith(GLOBAL_EXPORT) && exported instanceof WebAssembly.Global ? [[exported, exported.value]] : [],
  );
  const tellOfGrowth = (): void => {
    if (topAddress !== undefined) new DataView(memory.buffer).setUint32(topAddress, memory.buffer.byteLength, true);
  };
  return {
    restore: () => {
      new Uint8Array(memory.buffer).set(image);
      for (const [global, value] of globals) global.value = value;
      tellOfGrowth();
    },
    tellOfGrowth,
    isCertain: () => topAddress !== undefined || memory.buffer.byteLength === size,
  };
}

/**
 * Has the module grow its memory for evaluations to come, by at most half of what it may still have; pages that nothing
 * is written to cost nothing. Returns where the module keeps the size of its memory: the one word below the heap that was
 * the old size and is the new one. Undefined when there is no such word.
 */
function reserve(
  exports: ModuleExports,
  memory: WebAssembly.Memory,
  bytes: number,
  maximumPages: number,
): number | undefined {
  const words = (): Uint32Array => new Uint32Array(memory.buffer.slice(0, bytes - (bytes % 4)));
  const [size, before] = [memory.buffer.byteLength, words()];
  const heap = exports.opa_heap_ptr_get();
  exports.opa_malloc(Math.min(HEADROOM_BYTES, Math.floor((maximumPages * PAGE_BYTES - size) / 2)));
  exports.opa_heap_ptr_set(heap);
  const grown = memory.buffer.byteLength;
  const after = words();
  const isPlace = (word: number, i: number): boolean => word === grown && before[i] === size;
  const place = after.findIndex(isPlace);
  return grown === size || place < 0 || place !== after.findLastIndex(isPlace) ? undefined : place * 4;
}

function orEngineError<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError(`the WASM module cannot be started: ${messageOf(error)}`);
  }
}

function start(
  module: WebAssembly.Module,
  host: Host,
): { readonly exports: ModuleExports; readonly abi: CompiledModule['abi'] } {
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
  return { exports, abi: [majorVersion, minorVersion] };
}

/** Names with their numbers: what `builtins()` and `entrypoints()` tell. */
function namesOf(exports: ModuleExports, memory: WebAssembly.Memory, address: number): Map<string, number> {
  const listed = parse(textAt(memory, exports.opa_json_dump(address)));
  const entries = isRegoObject(listed) ? listed.sorted() : [];
  return new Map(entries.map(([name, id]) => [String(name), Number(id)]));
}

/** What no host can answer for a module. */
const IMPOSSIBLE: { readonly [name: string]: string } = {
  'rego.parse_module': 'it needs the parser of Rego, which a compiled policy leaves behind',
};

/** Names what `builtins` lacks of `names`, as a problem; undefined when nothing is. */
export function missingBuiltins(names: readonly string[], builtins: ReadonlyMap<string, Builtin>): string | undefined {
  const missing = names.filter((name) => !builtins.has(name)).sort();
  if (missing.length === 0) return undefined;
  const reasons = missing.flatMap((name) => (IMPOSSIBLE[name] === undefined ? [] : [`${name}: ${IMPOSSIBLE[name]}`]));
  const why = reasons.length === 0 ? '' : ` (${reasons.join('; ')})`;
  return `the policy needs built-in functions that are not available: ${missing.join(', ')}${why}`;
}

function required(
  names: ReadonlyMap<string, number>,
  builtins: ReadonlyMap<string, Builtin>,
): ReadonlyMap<number, Builtin> {
  const problem = missingBuiltins([...names.keys()], builtins);
  if (problem !== undefined) throw new EngineError(problem);
  const wanted = [...[...names].map(([name, id]) => [id, name] as const), ...redirectedBuiltins];
  return new Map(
    wanted.flatMap(([id, name]) => {
      const builtin = builtins.get(name);
      return builtin === undefined ? [] : [[id, builtin] as const];
    }),
  );
}
