import type { PolicyModule } from './admission.ts';
import { EngineError, type EngineOptions } from './engine/engine.ts';
import type { CompiledModule } from './engine/module.ts';
import { createLoadedInstance } from './engine/wasm.ts';
import { type LaneTask, openLane } from './lane.ts';
import { type PreparedSnapshot, prepareSnapshot, shareOf } from './snapshot.ts';

export type PolicySource = {
  readonly modules: readonly (PolicyModule & { readonly digest: string })[];
  /** All of the data, as JSON text or its UTF-8 bytes. */
  readonly data: string | Uint8Array;
  readonly revisions: { readonly [bundle: string]: string };
};

export type PrepareOptions = {
  /** Path of the decision. */
  readonly path: string;
  readonly limits: Pick<EngineOptions, 'memoryBytes' | 'steps' | 'builtinMs'>;
  /** Of evaluations in this thread, before they are left to another. */
  readonly inline: Pick<EngineOptions, 'steps' | 'builtinMs'>;
  readonly network: EngineOptions['network'];
  /** How long a policy without data may take until it has answered once, ms. */
  readonly firstAnswerMs: number;
};

export type PreparedPolicy = PreparedSnapshot & {
  /** Its modules by digest, so that they need not be compiled again where only the data change. */
  readonly compiled: ReadonlyMap<string, CompiledModule>;
};

export const NO_NETWORK = 'the policy uses the network, and postern.http_send.allow_hosts allows no host';
/** Loading takes a multiple of what reading the same bytes as JSON does. */
const LOADED_BYTES_PER_MS = 1_000;

/**
 * Makes a policy ready to serve. All that takes long (compiling, loading data, asking for the first time) happens in a
 * thread of its own, which a policy that never comes to an end stops instead of this one. Rejects with EngineError.
 */
export async function preparePolicy(
  { modules, data, revisions }: PolicySource,
  { path, limits, inline, network, firstAnswerMs }: PrepareOptions,
  previous: PreparedPolicy | undefined,
): Promise<PreparedPolicy> {
  // By another function: what one in here sees lives as long as the policy, and so would all that ever came before it.
  const tasks = withCompiled(modules, previous?.compiled);
  const timeoutMs = firstAnswerMs + data.length / LOADED_BYTES_PER_MS;
  const { lane, modules: loaded } = await openLane({ modules: tasks, data, path, limits }, timeoutMs);
  try {
    const memoryBytes = Math.min(limits.memoryBytes, lane.memoryBytes);
    const options = { ...limits, inline: { ...inline, memoryBytes }, network };
    const instances = await Promise.all(
      loaded.map((module) =>
        createLoadedInstance(module, options, {
          again: () => lane.imageOf(module.compiled),
          takeBack: lane.takeBack,
        }),
      ),
    );
    const shares = modules.flatMap((module, i) => {
      const instance = instances[i];
      return instance === undefined ? [] : [shareOf(module, instance)];
    });
    const snapshot = await prepareSnapshot(shares, revisions, path, lane);
    if (snapshot.waits && network === undefined) throw new EngineError(NO_NETWORK);
    const compiled = new Map(modules.map(({ digest }, i) => [digest, loaded[i]?.compiled] as const).filter(isKnown));
    return { ...snapshot, compiled };
  } catch (error) {
    lane.close();
    throw error;
  }
}

const withCompiled = (
  modules: PolicySource['modules'],
  known: PreparedPolicy['compiled'] | undefined,
): LaneTask['modules'] =>
  modules.map((module) => {
    const compiled = known?.get(module.digest);
    return compiled === undefined ? module : { ...module, compiled };
  });

const isKnown = (entry: readonly [string, CompiledModule | undefined]): entry is readonly [string, CompiledModule] =>
  entry[1] !== undefined;
