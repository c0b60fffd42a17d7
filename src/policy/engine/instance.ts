import { copyInTurns } from '../../lib/in-turns.ts';
import { ValueSyntaxError } from '../../values/parse.ts';
import type { Builtin } from '../builtins/builtin.ts';
import type { HostOptions, Session } from './context.ts';
import { bytesOf, createHost, type Host, type ModuleExports, putText, textAt } from './host.ts';
import type { MemoryImage } from './image.ts';
import { GLOBAL_EXPORT, INPUT_EXPORT, MAX_STEPS, STEPS_EXPORT } from './metering.ts';
import { type CompiledModule, orEngineError, required, start } from './module.ts';
import { PAGE_BYTES, pagesFor } from './wasm-memory.ts';

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
  /** Whether it must not be used again after this exception. */
  readonly isSpoiledBy: (error: unknown) => boolean;
  /**
   * The result set, an array of bindings, as term text; an empty `input` is no input. `maxSteps` when it may take fewer than
   * others. Throws whatever ends an evaluation.
   */
  readonly evaluate: (entrypoint: number, input: string | Uint8Array, session?: Session, maxSteps?: number) => string;
  readonly memoryBytes: () => number;
  /** What an instance in another thread can begin with. Not while an evaluation is under way. */
  readonly image: () => MemoryImage;
};

/** A module and its host, without data yet. */
type Running = {
  readonly memory: WebAssembly.Memory;
  readonly exports: ModuleExports;
  readonly host: Host;
  readonly options: HostOptions;
};
/** Where in memory the data is and what comes behind it may be used. */
type Loaded = { readonly dataAddress: number; readonly dataHeap: number; readonly state: ModuleState };

/** An instance over `data` (term text, or its UTF-8 bytes). Throws EngineError. */
export function instantiateModule(
  compiled: CompiledModule,
  data: string | Uint8Array,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): ModuleInstance {
  const running = run(compiled, new WebAssembly.Memory(compiled.pages), builtins, options);
  const { exports, memory } = running;
  exports[STEPS_EXPORT].value = MAX_STEPS;
  const baseHeap = exports.opa_heap_ptr_get();
  const dataAddress = orEngineError(() => putText(exports, memory, data));
  const dataHeap = exports.opa_heap_ptr_get();
  const topAddress = reserve(exports, memory, baseHeap, compiled.pages.maximum);
  return instanceOf(running, { dataAddress, dataHeap, state: keepState(exports, memory, baseHeap, topAddress) });
}

/**
 * An instance that has the data which another one has loaded. Its memory is filled a slice at a time, so that nobody in
 * this thread waits for long. Rejects with EngineError.
 */
export async function instantiateImage(
  compiled: CompiledModule,
  image: MemoryImage,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): Promise<ModuleInstance> {
  const running = runOver(compiled, image, builtins, options);
  await copyInTurns(image.bytes, new Uint8Array(running.memory.buffer));
  return loadedFrom(running, image);
}

/** The same at once, for images that are small. Throws EngineError. */
export function instantiateSmallImage(
  compiled: CompiledModule,
  image: MemoryImage,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): ModuleInstance {
  const running = runOver(compiled, image, builtins, options);
  new Uint8Array(running.memory.buffer).set(image.bytes);
  return loadedFrom(running, image);
}

function runOver(
  compiled: CompiledModule,
  image: MemoryImage,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): Running {
  const initial = image.memoryBytes / PAGE_BYTES;
  const memory = new WebAssembly.Memory({ initial, maximum: Math.max(initial, compiled.pages.maximum) });
  return run(compiled, memory, builtins, options);
}

function loadedFrom(running: Running, image: MemoryImage): ModuleInstance {
  const { exports, memory } = running;
  for (const [name, value] of Object.entries(image.globals)) globalsOf(exports).get(name)?.set(value);
  const { baseHeap, topAddress, dataAddress, dataHeap } = image;
  return instanceOf(running, { dataAddress, dataHeap, state: keepState(exports, memory, baseHeap, topAddress) });
}

function run(
  { module, builtins: needed }: CompiledModule,
  memory: WebAssembly.Memory,
  builtins: ReadonlyMap<string, Builtin>,
  options: HostOptions,
): Running {
  const host = createHost(memory, options);
  const { exports } = orEngineError(() => start(module, host));
  host.builtins = required(needed, builtins);
  return { memory, exports, host, options };
}

function instanceOf({ memory, exports, host, options }: Running, loaded: Loaded): ModuleInstance {
  const { dataAddress, dataHeap, state } = loaded;
  const steps = exports[STEPS_EXPORT];
  const inputAddress = exports[INPUT_EXPORT];

  function evaluate(
    entrypoint: number,
    input: string | Uint8Array,
    session?: Session,
    maxSteps = options.maxSteps,
  ): string {
    host.begin(session);
    const length = put(input);
    inputAddress.value = 1;
    steps.value = maxSteps;
    let result: number;
    try {
      // The input's value is made behind its text.
      result = exports.opa_eval(0, entrypoint, dataAddress, dataHeap, length, dataHeap + length, 1);
    } catch (error) {
      state.restore();
      throw Number(steps.value) < 0 ? new StepsExhausted(maxSteps) : error;
    }
    const set = textAt(memory, result);
    // The module takes text that it cannot read for no input at all.
    if (length > 0 && inputAddress.value === 0) throw new ValueSyntaxError('the input cannot be read', 0);
    // The bindings come as a set. As an array the text is JSON as long as no value in it needs more than JSON has.
    return set === 'set()' ? '[]' : `[${set.slice(1, -1)}]`;
  }

  /** Writes the input where the data ends; returns its length, bytes. */
  function put(input: string | Uint8Array): number {
    const room = memory.buffer.byteLength - dataHeap;
    // In UTF-8 a character is three bytes at most; to count them takes as long as to write them.
    if (input.length * 3 > room) {
      const lacking = (typeof input === 'string' ? Buffer.byteLength(input) : input.length) - room;
      if (lacking > 0) {
        memory.grow(pagesFor(lacking));
        state.tellOfGrowth();
      }
    }
    const bytes = bytesOf(memory);
    if (typeof input === 'string') return bytes.write(input, dataHeap);
    bytes.set(input, dataHeap);
    return input.length;
  }

  return {
    evaluate,
    isSpoiledBy: (error) => isTrap(error) || !state.isCertain(),
    memoryBytes: () => memory.buffer.byteLength,
    image: () => imageOf(memory, loaded),
  };
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
  /** What was kept. */
  readonly kept: Pick<MemoryImage, 'globals' | 'topAddress' | 'memoryBytes'> & { readonly bytes: Uint8Array };
};

/** Keeps what the module is now: its globals and the `bytes` of memory below the heap. */
function keepState(
  exports: ModuleExports,
  memory: WebAssembly.Memory,
  bytes: number,
  topAddress: number | undefined,
): ModuleState {
  const image = new Uint8Array(memory.buffer).slice(0, bytes);
  const size = memory.buffer.byteLength;
  const globals = globalsOf(exports);
  const values = Object.fromEntries([...globals].map(([name, { value }]) => [name, value]));
  const tellOfGrowth = (): void => {
    if (topAddress !== undefined) new DataView(memory.buffer).setUint32(topAddress, memory.buffer.byteLength, true);
  };
  return {
    restore: () => {
      new Uint8Array(memory.buffer).set(image);
      for (const [name, global] of globals) global.set(values[name]);
      tellOfGrowth();
    },
    tellOfGrowth,
    isCertain: () => topAddress !== undefined || memory.buffer.byteLength === size,
    kept: { bytes: image, globals: values, topAddress, memoryBytes: size },
  };
}

type ModuleGlobal = { readonly value: unknown; readonly set: (value: unknown) => void };

/** The module's own mutable globals by the names that they are exported under. */
function globalsOf(exports: ModuleExports): ReadonlyMap<string, ModuleGlobal> {
  const found = Object.entries(exports).filter(
    (entry): entry is [string, WebAssembly.Global] =>
      entry[0].startsWith(GLOBAL_EXPORT) && entry[1] instanceof WebAssembly.Global,
  );
  return new Map(
    found.map(([name, global]) => [
      name,
      {
        value: global.value,
        set: (value) => {
          global.value = value;
        },
      },
    ]),
  );
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

function imageOf(memory: WebAssembly.Memory, { dataAddress, dataHeap, state }: Loaded): MemoryImage {
  const { bytes: below, ...kept } = state.kept;
  const bytes = new Uint8Array(dataHeap);
  bytes.set(new Uint8Array(memory.buffer, 0, dataHeap));
  // Evaluations change what is below the heap, and only that.
  bytes.set(below);
  return { ...kept, bytes, baseHeap: below.length, dataAddress, dataHeap };
}
