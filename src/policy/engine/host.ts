import type { Json } from '../../model/json.ts';
import { parseExact, stringify } from '../../values/json.ts';
import type { HostBuiltin } from '../builtins/registry.ts';

/*
 * The module's side of the border (https://www.openpolicyagent.org/docs/wasm, "ABI Definition"): reading its memory,
 * and what it calls in us.
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
  readonly opa_json_parse: (address: number, length: number) => number;
  readonly opa_json_dump: (value: number) => number;
  readonly builtins: () => number;
};

/** The module called opa_abort: it gave up in an orderly way. */
export class PolicyAbort extends Error {
  override readonly name = 'PolicyAbort';
}

/** The NUL-terminated text at `address`. */
export function textAt(memory: WebAssembly.Memory, address: number): string {
  const bytes = Buffer.from(memory.buffer);
  const end = bytes.indexOf(0, address);
  return bytes.toString('utf8', address, end < 0 ? bytes.length : end);
}

/** JSON text into a value of the module; returns its address. */
export function putJson(exports: ModuleExports, memory: WebAssembly.Memory, text: string): number {
  const length = Buffer.byteLength(text);
  const address = exports.opa_malloc(length);
  Buffer.from(memory.buffer).write(text, address);
  const value = exports.opa_json_parse(address, length);
  if (value === 0) throw new PolicyAbort('a value could not be parsed by the module');
  return value;
}

const MAX_ABORT_CHARS = 500;

/** What a module imports besides its memory. `exports` and `builtins` are known only once the module is there. */
export function hostImports(
  memory: WebAssembly.Memory,
  host: { exports: ModuleExports | undefined; builtins: ReadonlyMap<number, HostBuiltin> },
): WebAssembly.ModuleImports {
  const call = (id = -1, _context?: number, ...addresses: number[]): number => {
    const { exports } = host;
    const builtin = host.builtins.get(id);
    if (exports === undefined || builtin === undefined) throw new PolicyAbort(`built-in ${id} is not there`);
    const values = addresses.map((address) => parseExact(textAt(memory, exports.opa_json_dump(address))));
    let result: Json | undefined;
    try {
      result = builtin(...values);
    } catch {
      // A built-in that fails is undefined (OPA, "Errors" of built-in functions).
      return 0;
    }
    return result === undefined ? 0 : putJson(exports, memory, stringify(result));
  };
  return {
    memory,
    opa_abort: (address = 0) => {
      throw new PolicyAbort(textAt(memory, address).slice(0, MAX_ABORT_CHARS));
    },
    // A policy's print output could carry anything from the input: it goes nowhere.
    opa_println: () => 0,
    opa_builtin0: call,
    opa_builtin1: call,
    opa_builtin2: call,
    opa_builtin3: call,
    opa_builtin4: call,
  };
}
