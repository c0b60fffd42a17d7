import { hostBuiltins, waitingBuiltins } from './builtins/registry.ts';
import { EngineError } from './engine/engine.ts';
import { type CompiledModule, compileModule, missingBuiltins } from './engine/module.ts';
import { PAGE_BYTES } from './engine/wasm-memory.ts';

/** What a policy module is, and everything that keeps it from serving. */
export type ModuleReport = {
  readonly path: string;
  /** Of the module as it is in the bundle, bytes. */
  readonly size: number;
  /** Such as `1.3`; undefined when the module cannot be read. */
  readonly abi: string | undefined;
  /** What it starts with, bytes. */
  readonly memory: number;
  readonly entrypoints: readonly string[];
  /** Built-ins that it leaves to its host. */
  readonly builtins: readonly string[];
  /** Those of them that wait for the network, which `postern.http_send` has to allow. */
  readonly waiting: readonly string[];
  readonly problems: readonly string[];
};

/** One of a bundle. */
export type PolicyModule = {
  readonly path: string;
  readonly wasm: Uint8Array;
  /** Those that the manifest gives to it; none: all that it has. */
  readonly entrypoints: readonly string[];
  /** Paths that it may answer for; the empty one is all. */
  readonly roots: readonly string[];
};

/** Looks at a module without its data. `entrypoints` are those that the manifest gives to it. Rejects with nothing. */
export async function inspectModule(module: PolicyModule, memoryBytes: number): Promise<ModuleReport> {
  const { path, wasm } = module;
  const unreadable = { path, size: wasm.length, abi: undefined, memory: 0, entrypoints: [], builtins: [], waiting: [] };
  try {
    return reportOf(module, await compileModule(wasm, memoryBytes));
  } catch (error) {
    if (error instanceof EngineError) return { ...unreadable, problems: [error.message] };
    throw error;
  }
}

/** Looks at a module that is compiled. */
export function reportOf({ path, wasm, entrypoints: promised }: PolicyModule, compiled: CompiledModule): ModuleReport {
  const entrypoints = [...compiled.entrypoints.keys()];
  const builtins = [...compiled.builtins.keys()].sort();
  const missing = missingBuiltins(builtins, hostBuiltins);
  const absent = promised.filter((entrypoint) => !entrypoints.includes(entrypoint));
  return {
    path,
    size: wasm.length,
    abi: compiled.abi.join('.'),
    memory: compiled.pages.initial * PAGE_BYTES,
    entrypoints,
    builtins,
    waiting: builtins.filter((name) => waitingBuiltins.has(name)),
    problems: [
      ...(missing === undefined ? [] : [missing]),
      ...(entrypoints.length === 0 ? ['the module has no entrypoint'] : []),
      ...(absent.length === 0 ? [] : [`.manifest names entrypoints that the module lacks: ${absent.join(', ')}`]),
    ],
  };
}
