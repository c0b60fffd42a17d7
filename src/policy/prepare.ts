import type { Snapshot } from '../model/evaluation.ts';
import type { PolicyModule } from './admission.ts';
import { EngineError, type EngineOptions } from './engine/engine.ts';
import type { CompiledModule } from './engine/module.ts';
import { createLoadedInstance } from './engine/wasm.ts';
import { type LaneTask, openLane } from './lane.ts';
import { type LogPaths, type PreparedSnapshot, prepareSnapshot, shareOf } from './snapshot.ts';

export type PolicySource = {
  readonly modules: readonly (PolicyModule & { readonly digest: string })[];
  /** All of the data, as JSON text or its UTF-8 bytes. */
  readonly data: string | Uint8Array;
  readonly revisions: Snapshot['revisions'];
  readonly digests: Snapshot['digests'];
};

export type PrepareOptions = {
  /** Path of the decision. */
  readonly path: string;
  readonly limits: Pick<EngineOptions, 'memoryBytes' | 'steps' | 'builtinMs'>;
  /** Of evaluations in this thread, before they are left to another. */
  readonly inline: Pick<EngineOptions, 'steps' | 'builtinMs'>;
  readonly network: EngineOptions['network'];
  readonly logPaths?: LogPaths;
};

export type PreparedPolicy = PreparedSnapshot &
  Pick<Snapshot, 'revisions' | 'digests'> & {
    /** Its modules by digest, so that they need not be compiled again where only the data change. */
    readonly compiled: ReadonlyMap<string, CompiledModule>;
  };

export const NO_NETWORK = 'the policy uses the network, and postern.http_send.allow_hosts allows no host';
/**
 * How long a policy may take until it has answered once, ms. That it comes to an end its steps see to; this is for a
 * thread with a defect, and a multiple of what the work takes even where requests leave a tenth of a processor to it.
 */
export const patienceFor = (dataBytes: number): number => FIRST_ANSWER_MS + dataBytes / LOADED_BYTES_PER_MS;
const FIRST_ANSWER_MS = 30_000;
const LOADED_BYTES_PER_MS = 200;

/**
 * Makes a policy ready to serve. All that takes long (compiling, loading data, asking for the first time) happens in a
 * thread of its own, which a policy that never comes to an end stops instead of this one. Rejects with EngineError.
 */
export async function preparePolicy(
  { modules, data, revisions, digests }: PolicySource,
  { path, limits, inline, network, logPaths }: PrepareOptions,
  previous: PreparedPolicy | undefined,
): Promise<PreparedPolicy> {
  // By another function: what one in here sees lives as long as the policy, and so would all that ever came before it.
  const tasks = withCompiled(modules, previous?.compiled);
  const { lane, modules: loaded } = await openLane({ modules: tasks, data, path, limits }, patienceFor(data.length));
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
    const snapshot = await prepareSnapshot(shares, path, lane, logPaths);
    if (snapshot.waits && network === undefined) throw new EngineError(NO_NETWORK);
    const compiled = new Map(modules.map(({ digest }, i) => [digest, loaded[i]?.compiled] as const).filter(isKnown));
    return { ...snapshot, revisions, digests, compiled };
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
