import { NumberRangeError } from '../../values/decimal.ts';
import { dump } from '../../values/dump.ts';
import { parse, parseSpelled, ValueSyntaxError } from '../../values/parse.ts';
import type { Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from '../builtins/builtin.ts';
import { createContext, type HostOptions, type Session } from './context.ts';
import { INPUT_EXPORT, STEPS_EXPORT } from './metering.ts';

/*
 * The module's side of the border (https://www.openpolicyagent.org/docs/wasm, "ABI Definition"): reading its memory,
 * and what it calls in us. Values cross as Rego term text, which keeps sets, keys of any type and every digit.
 */

export type ModuleExports = {
  readonly opa_eval: (
    reserved: number,
    entrypoint: number,
    data: number,
    input: number,
    inputLength: number,
    heap: number,
    format: number,
  ) => number;
  readonly opa_malloc: (bytes: number) => number;
  readonly opa_heap_ptr_get: () => number;
  readonly opa_heap_ptr_set: (address: number) => void;
  readonly opa_json_dump: (value: number) => number;
  readonly opa_value_parse: (address: number, length: number) => number;
  readonly opa_value_dump: (value: number) => number;
  readonly builtins: () => number;
  readonly entrypoints: () => number;
  readonly [STEPS_EXPORT]: WebAssembly.Global;
  readonly [INPUT_EXPORT]: WebAssembly.Global;
};

/** The module called opa_abort: it gave up in an orderly way. */
export class PolicyAbort extends Error {
  override readonly name = 'PolicyAbort';
}

const views = new WeakMap<ArrayBufferLike, Buffer>();

/** A memory as it is now; when it grows it is another. To make a Buffer takes longer than to find it. */
export function bytesOf({ buffer }: WebAssembly.Memory): Buffer {
  let view = views.get(buffer);
  if (view === undefined) {
    view = Buffer.from(buffer);
    views.set(buffer, view);
  }
  return view;
}

/** The NUL-terminated text at `address`. */
export function textAt(memory: WebAssembly.Memory, address: number): string {
  const bytes = bytesOf(memory);
  const end = bytes.indexOf(0, address);
  return bytes.toString('utf8', address, end < 0 ? bytes.length : end);
}

/** Term text (or its UTF-8 bytes) into a value of the module; returns its address. Throws PolicyAbort. */
export function putText(exports: ModuleExports, memory: WebAssembly.Memory, text: string | Uint8Array): number {
  const length = typeof text === 'string' ? Buffer.byteLength(text) : text.length;
  const address = exports.opa_malloc(length);
  if (typeof text === 'string') Buffer.from(memory.buffer).write(text, address);
  else new Uint8Array(memory.buffer).set(text, address);
  const value = exports.opa_value_parse(address, length);
  if (value === 0) throw new PolicyAbort('a value could not be parsed by the module');
  return value;
}

const MAX_ABORT_CHARS = 500;

/** What a built-in takes for a character of its arguments where it is slow, such as a parser, ms. */
const CHARACTER_MS = 0.25e-3;

/** What the module's calls are answered with. `exports` and `builtins` are known only once the module is there. */
export type Host = {
  exports: ModuleExports | undefined;
  builtins: ReadonlyMap<number, Builtin>;
  /** Begins an evaluation: nothing of the last one's context is left. */
  begin(session: Session | undefined): void;
  readonly imports: WebAssembly.ModuleImports;
};

export function createHost(memory: WebAssembly.Memory, options: HostOptions): Host {
  let context: BuiltinContext | undefined;
  let session: Session | undefined;

  function call(id = -1, _reserved?: number, ...addresses: number[]): number {
    const { exports } = host;
    const builtin = host.builtins.get(id);
    if (exports === undefined || builtin === undefined) throw new PolicyAbort(`built-in ${id} is not there`);
    context ??= createContext(options, session);
    const texts = addresses.map((address) => textAt(memory, exports.opa_value_dump(address)));
    context.expectWork(texts.reduce((sum, text) => sum + text.length, 0) * CHARACTER_MS);
    const values = texts.map(builtin.keepsSpelling === true ? parseSpelled : parse);
    const result = answer(builtin, context, values, options.strictBuiltinErrors);
    if (result === undefined) return 0;
    const text = dump(result);
    options.onAnswer(builtin.name, texts, text);
    return putText(exports, memory, text);
  }

  const host: Host = {
    exports: undefined,
    builtins: new Map(),
    begin(known) {
      context = undefined;
      session = known;
    },
    imports: {
      memory,
      opa_abort: (address = 0) => {
        throw new PolicyAbort(textAt(memory, address).slice(0, MAX_ABORT_CHARS));
      },
      opa_println: (address = 0) => {
        options.onPrint(textAt(memory, address));
        return 0;
      },
      opa_builtin0: call,
      opa_builtin1: call,
      opa_builtin2: call,
      opa_builtin3: call,
      opa_builtin4: call,
    },
  };
  return host;
}

/**
 * Only errors that are part of a built-in's meaning make its call undefined. Anything else, a bug of ours among them, ends
 * the evaluation: under a `not`, undefined could allow.
 */
function answer(
  builtin: Builtin,
  context: BuiltinContext,
  values: readonly Value[],
  strict: boolean,
): Value | undefined {
  try {
    return builtin.run(context, ...values);
  } catch (error) {
    const isMeant =
      error instanceof BuiltinError || error instanceof NumberRangeError || error instanceof ValueSyntaxError;
    if (!isMeant || strict) throw error;
    return undefined;
  }
}
