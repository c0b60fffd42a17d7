import type { Policy } from '../bundles/activate.ts';
import { createBundles } from '../bundles/bundles.ts';
import { type Check, type CheckParts, createCheck } from '../check/check.ts';
import { readDescriptorSet } from '../check/grpc-body.ts';
import type { Settings } from '../cli/ports.ts';
import { version } from '../cli/version.ts';
import type { Config } from '../config/schema.ts';
import { createIdentify } from '../identity/identify.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import { toDecision } from '../policy/decision.ts';
import { type Engine, EngineError } from '../policy/engine/engine.ts';
import { createWasmInstance } from '../policy/engine/wasm.ts';
import { openLane } from '../policy/lane.ts';
import { type PreparedSnapshot, prepareSnapshot } from '../policy/snapshot.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { stringify } from '../values/json.ts';
import { createDescription } from './context.ts';
import { createPassOn } from './pass-on.ts';
import { createPolicyNetwork } from './policy-network.ts';
import { createPolicySource } from './policy-source.ts';

export type Decider = {
  readonly check: Check;
  readonly pin: () => PreparedSnapshot | undefined;
  readonly isReady: () => boolean;
  readonly status: () => object;
  /** Issuers that have a key set, with its age in seconds. */
  readonly keySetAges: () => readonly (readonly [issuer: string, seconds: number])[];
  /** Bundles and key sets, in the order in which they start. */
  readonly parts: readonly Part[];
};

export type DeciderSettings = Pick<Settings, 'config' | 'bundlePaths' | 'sourcePaths' | 'ignore' | 'log' | 'env'>;

/** Compiling a large module and loading large data take their time, and answering one question hardly any. */
export const FIRST_ANSWER_MS = 5000;
export const NO_NETWORK = 'the policy uses the network, and postern.http_send.allow_hosts allows no host';
/** Most time of the built-ins of one evaluation, before and after it is left to a thread of its own, ms. */
const INLINE_BUILTIN_MS = 2;
const BUILTIN_MS = 250;

/** Everything that turns a request into an answer; what serves and records it is put around it. */
export function createDecider(
  settings: DeciderSettings,
  clock: Clock,
  metrics: Metrics,
  record: CheckParts['record'],
  onReadiness: () => void,
): Decider {
  const { config, log } = settings;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const { paths, evaluation, identity } = config.postern;
  const path = decisionPath(config);
  const network = createPolicyNetwork(config, settings.env);
  let active: PreparedSnapshot | undefined;

  async function prepare({ modules, data, revisions }: Policy): Promise<PreparedSnapshot> {
    const snapshot = { modules, data: stringify(data), revisions };
    const limits = limitsOf(config);
    // First in a thread, which a policy that never comes to an end stops instead of this one.
    const lane = await openLane({ source: snapshot, path, limits }, FIRST_ANSWER_MS);
    try {
      const engine: Engine = (wasm, text) =>
        createWasmInstance(wasm, text, {
          ...limits,
          inline: {
            memoryBytes: Math.min(limits.memoryBytes, lane.memoryBytes),
            steps: Math.min(evaluation.inline_steps, limits.steps),
            builtinMs: INLINE_BUILTIN_MS,
          },
          network,
        });
      const prepared = await prepareSnapshot(snapshot, path, engine, lane);
      if (prepared.waits && network === undefined) {
        throw new EngineError(NO_NETWORK);
      }
      return prepared;
    } catch (error) {
      lane.close();
      throw error;
    }
  }

  const source = createPolicySource(settings, path, (files) =>
    createBundles({
      config: config.bundles,
      services: config.services,
      files,
      clock,
      random: Math.random,
      log,
      prepare,
      commit: (snapshot) => {
        const previous = active;
        active = snapshot;
        previous?.close();
        onReadiness();
      },
      onActivated: metrics.bundleActivated,
      onFailed: metrics.bundleFailed,
    }),
  );
  const callers =
    identity === undefined
      ? undefined
      : createIdentify({
          config: identity,
          clock,
          random: Math.random,
          log,
          onCache: metrics.tokenLookedUp,
          onKeys: metrics.keysFetched,
          onReady: onReadiness,
        });
  const check = createCheck({
    clock,
    pin: () => active,
    identify: callers?.identify ?? (() => ({ ok: true, identity: undefined })),
    toDecision,
    record,
    contextOf: createDescription(config.postern.context, clock),
    passOnOf: createPassOn(identity),
    dryRun: plugin['dry-run'],
    maxInFlight: evaluation.max_in_flight,
    budgetMs: evaluation.budget_ms,
    input: {
      paths,
      skipBody: plugin['skip-request-body-parse'],
      protoDescriptor:
        plugin['proto-descriptor'] === undefined ? undefined : readDescriptorSet(plugin['proto-descriptor']),
    },
  });
  return {
    check,
    pin: () => active,
    isReady: () => active !== undefined && (callers?.isReady() ?? true),
    status: () => ({
      labels: { version, ...config.labels },
      bundles: source.status(),
      ...(callers === undefined ? {} : { identity: callers.status() }),
    }),
    keySetAges: () => callers?.keySetAges() ?? [],
    parts: [
      { name: 'policy', stop: () => active?.close() },
      source.part,
      ...(callers === undefined ? [] : [{ name: 'identity', start: callers.start, stop: callers.stop }]),
    ],
  };
}

/** The path of the decision, without slashes around it; `query` is its older spelling. */
export const decisionPath = (config: Config): string => {
  const { path, query } = config.plugins.envoy_ext_authz_grpc;
  return query === undefined ? path.replace(/^\/+|\/+$/g, '') : query.split('.').slice(1).join('/');
};

/** What one evaluation may take at most. */
export const limitsOf = ({ postern: { evaluation } }: Config) => ({
  memoryBytes: evaluation.memory_bytes,
  steps: evaluation.max_steps,
  builtinMs: BUILTIN_MS,
});
