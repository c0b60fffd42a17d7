import { createRequire } from 'node:module';
import { messageOf } from '../../lib/message.ts';
import type { Evaluation } from '../../model/evaluation.ts';
import type { Json } from '../../model/json.ts';
import { isObject, parseExact } from '../../values/json.ts';
import { type HostBuiltin, hostBuiltins } from '../builtins/registry.ts';
import { EngineError, type EngineLimits, type PolicyInstance } from './engine.ts';
import { hostImports, type ModuleExports, PolicyAbort, textAt } from './host.ts';
import { minimumPages, pagesFor } from './wasm-memory.ts';

/** What the package's LoadedPolicy keeps, as far as it is used here (opa-wasm 1.10, src/opa.js). */
type Loaded = {
  readonly wasmInstance: { readonly exports: ModuleExports };
  readonly entrypoints: { readonly [name: string]: number };
  readonly dataAddr: number;
  readonly dataHeapPtr: number;
  setData(data: ArrayBuffer): void;
};
type LoadedPolicyClass = new (policy: WebAssembly.Instance, memory: WebAssembly.Memory, abiMinor: number) => Loaded;
// Its ES module entry leaves this class out of its types and its names.
const { LoadedPolicy } = createRequire(import.meta.url)('@open-policy-agent/opa-wasm') as {
  readonly LoadedPolicy: LoadedPolicyClass;
};

type Ready = { readonly loaded: Loaded; readonly memory: WebAssembly.Memory; readonly restingBytes: number };

/** Linear memory never shrinks, so an instance that one large input made this much larger is replaced. */
const GROWTH_BYTES = 16 * 1_048_576;

/** Policy modules made by `opa build -t wasm` (ABI 1.2 and later). */
export async function createWasmInstance(
  wasm: Uint8Array,
  data: string,
  limits: EngineLimits,
): Promise<PolicyInstance> {
  const module = await WebAssembly.compile(wasm).catch((error: unknown) => {
    throw new EngineError(`the WASM module does not compile: ${messageOf(error)}`);
  });
  const pages = { initial: minimumPages(wasm), maximum: pagesFor(limits.memoryBytes) };
  if (pages.initial > pages.maximum) {
    throw new EngineError(
      `the WASM module needs ${pages.initial} pages of memory and postern.evaluation.memory_bytes allows ${pages.maximum}`,
    );
  }
  let ready: Ready | undefined = instantiate(module, data, pages);
  const { entrypoints } = ready.loaded;

  function evaluate(entrypoint: string, input: string): Evaluation {
    const id = Object.hasOwn(entrypoints, entrypoint) ? entrypoints[entrypoint] : undefined;
    if (id === undefined) return { ok: false, reason: 'evaluation_error', cause: `no entrypoint ${entrypoint}` };
    try {
      ready ??= instantiate(module, data, pages);
      const results = readResults(run(ready, id, input));
      if (ready.memory.buffer.byteLength > ready.restingBytes + GROWTH_BYTES) ready = undefined;
      return { ok: true, results };
    } catch (error) {
      const failure = classify(error);
      // After an orderly abort the next opa_eval starts from a clean heap; after anything else nothing is certain.
      if (failure.reason !== 'evaluation_error') ready = undefined;
      return failure;
    }
  }

  return {
    entrypoints: Object.keys(entrypoints),
    evaluate,
    memoryBytes: () => ready?.memory.buffer.byteLength ?? 0,
  };
}

function instantiate(module: WebAssembly.Module, data: string, pages: { initial: number; maximum: number }): Ready {
  const memory = new WebAssembly.Memory(pages);
  const host = { exports: undefined as ModuleExports | undefined, builtins: new Map<number, HostBuiltin>() };
  try {
    const instance = new WebAssembly.Instance(module, { env: hostImports(memory, host) });
    host.exports = instance.exports as unknown as ModuleExports;
    const abiMinor = abiMinorOf(instance);
    host.builtins = requiredBuiltins(host.exports, memory);
    const loaded = new LoadedPolicy(instance, memory, abiMinor);
    const bytes = new TextEncoder().encode(data);
    loaded.setData(bytes.buffer.slice(0, bytes.byteLength));
    return { loaded, memory, restingBytes: memory.buffer.byteLength };
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError(`the WASM module cannot be started: ${messageOf(error)}`);
  }
}

function abiMinorOf(instance: WebAssembly.Instance): number {
  const { opa_wasm_abi_version: major, opa_wasm_abi_minor_version: minor } = instance.exports;
  const versions = [major, minor].map((global) => (global instanceof WebAssembly.Global ? Number(global.value) : 0));
  const [majorVersion = 0, minorVersion = 0] = versions;
  if (majorVersion !== 1 || minorVersion < 2) {
    throw new EngineError(`the WASM module has ABI ${majorVersion}.${minorVersion}, and 1.2 or later is needed`);
  }
  return minorVersion;
}

function requiredBuiltins(exports: ModuleExports, memory: WebAssembly.Memory): Map<number, HostBuiltin> {
  const declared = parseExact(textAt(memory, exports.opa_json_dump(exports.builtins())));
  const found = new Map<number, HostBuiltin>();
  const missing: string[] = [];
  for (const [name, id] of isObject(declared) ? Object.entries(declared) : []) {
    const builtin = hostBuiltins.get(name);
    if (builtin === undefined) missing.push(name);
    else found.set(Number(id), builtin);
  }
  if (missing.length > 0) {
    throw new EngineError(`the policy needs built-in functions that are not available: ${missing.sort().join(', ')}`);
  }
  return found;
}

/** One evaluation: the input's bytes go straight behind the data, the result comes back as JSON text. */
function run({ loaded, memory }: Ready, entrypoint: number, input: string): string {
  const length = Buffer.byteLength(input);
  const at = loaded.dataHeapPtr;
  const lacking = at + length - memory.buffer.byteLength;
  if (lacking > 0) memory.grow(pagesFor(lacking));
  Buffer.from(memory.buffer).write(input, at);
  const { opa_eval } = loaded.wasmInstance.exports;
  return textAt(memory, opa_eval(0, entrypoint, loaded.dataAddr, at, length, at + length, 0));
}

function readResults(text: string): readonly Json[] {
  const parsed = parseExact(text);
  if (!Array.isArray(parsed)) return [];
  return parsed.map((entry: Json) => (isObject(entry) ? (entry['result'] ?? null) : null));
}

function classify(error: unknown): Evaluation & { ok: false } {
  const cause = messageOf(error);
  const isOutOfMemory = error instanceof RangeError ? !/call stack/i.test(cause) : cause.includes('opa_malloc');
  if (isOutOfMemory) return { ok: false, reason: 'out_of_memory', cause };
  return { ok: false, reason: error instanceof PolicyAbort ? 'evaluation_error' : 'evaluation_trap', cause };
}
