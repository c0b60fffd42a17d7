import { messageOf } from '../../lib/message.ts';
import type { Reads } from '../../model/reads.ts';
import { parse } from '../../values/parse.ts';
import { isRegoObject } from '../../values/value.ts';
import type { Builtin } from '../builtins/builtin.ts';
import { defaultHostOptions } from './context.ts';
import { EngineError } from './engine.ts';
import { createHost, type Host, type ModuleExports, textAt } from './host.ts';
import { withSteps } from './metering.ts';
import { readsOf } from './reads/reads.ts';
import { redirectedBuiltins } from './redirected.ts';
import { minimumPages, pagesFor } from './wasm-memory.ts';

/** A compiled module and what its instances need. */
export type CompiledModule = {
  readonly module: WebAssembly.Module;
  readonly pages: { readonly initial: number; readonly maximum: number };
  /** Major and minor version of its ABI. */
  readonly abi: readonly [major: number, minor: number];
  /** Numbers of entrypoints and of the built-ins that it calls, by name. */
  readonly entrypoints: ReadonlyMap<string, number>;
  readonly builtins: ReadonlyMap<string, number>;
  /** By entrypoint, what of its input it reads at most; of those that are not here, all. */
  readonly reads: ReadonlyMap<string, Reads>;
};

/** https://www.openpolicyagent.org/docs/wasm, "ABI Definition". */
const IMPORTS: ReadonlySet<string> = new Set([
  ...['memory', 'opa_abort', 'opa_println'],
  ...[0, 1, 2, 3, 4].map((arity) => `opa_builtin${arity}`),
]);

/** The newest minor version of the ABI whose modules `readsOf` knows. */
const FOLLOWED_MINOR = 3;

/** Compiles `wasm`, and tells what it reads when it is asked for `path`. Rejects with EngineError. */
export async function compileModule(wasm: Uint8Array, memoryBytes: number, path?: string): Promise<CompiledModule> {
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
  const described = orEngineError(() => describe(module, pages));
  const { abi, entrypoints } = described;
  const followed =
    abi[1] > FOLLOWED_MINOR ? [] : [...entrypoints].filter(([name]) => `${path}/`.startsWith(`${name}/`));
  return { module, pages, ...described, reads: readsOf(wasm, new Map(followed)) };
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

/** Throws EngineError instead of whatever `step` throws. */
export function orEngineError<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError(`the WASM module cannot be started: ${messageOf(error)}`);
  }
}

/** Starts a module whose memory is as it came. Throws. */
export function start(
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

/** The built-ins by the numbers that the module calls them with. Throws EngineError when one is not there. */
export function required(
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
