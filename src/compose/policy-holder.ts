import type { Policy, Prepared } from '../bundles/activate.ts';
import type { Config } from '../config/schema.ts';
import type { Part } from '../lib/lifecycle.ts';
import { withoutSlashes } from '../lib/without-slashes.ts';
import { type PreparedPolicy, preparePolicy } from '../policy/prepare.ts';
import type { Logger } from '../telemetry/logger.ts';
import { logPaths, warnOfMissing } from './log-rules.ts';
import { createPolicyNetwork } from './policy-network.ts';

/** Makes a policy ready to serve, somewhere. Rejects when it cannot. */
export type PreparePolicy = (policy: Policy) => Promise<Prepared>;

export type PolicyHolder = {
  readonly prepare: PreparePolicy;
  /** What serves; undefined before the first policy. */
  readonly pin: () => PreparedPolicy | undefined;
  /** Of what served last, however old it is. */
  readonly lastLogRules: () => PreparedPolicy['logRules'];
  /** What serves is older than it may be: there is no policy until it is not. */
  readonly setStale: (stale: boolean) => void;
  readonly part: Part;
};

/** Most time of the built-ins of one evaluation, before and after it is left to a thread of its own, ms. */
export const INLINE_BUILTIN_MS = 2;
const BUILTIN_MS = 250;

/** The policy that serves in this process. */
export function createPolicyHolder(
  config: Config,
  env: Parameters<typeof createPolicyNetwork>[1],
  log: Pick<Logger, 'warn'>,
  onChanged: () => void,
): PolicyHolder {
  const options = {
    path: decisionPath(config),
    limits: limitsOf(config),
    inline: { steps: config.postern.evaluation.inline_steps, builtinMs: INLINE_BUILTIN_MS },
    network: createPolicyNetwork(config, env),
    logPaths: logPaths(config),
  };
  let active: PreparedPolicy | undefined;
  let isStale = false;
  return {
    pin: () => (isStale ? undefined : active),
    lastLogRules: () => active?.logRules,
    setStale: (stale) => {
      isStale = stale;
      onChanged();
    },
    prepare: async (policy) => {
      const prepared = await preparePolicy(policy, options, active);
      return {
        commit: () => {
          const previous = active;
          active = prepared;
          previous?.close();
          warnOfMissing(prepared.logRules, config, log);
          onChanged();
        },
        abandon: prepared.close,
      };
    },
    part: { name: 'policy', stop: () => active?.close() },
  };
}

/** In two places as one: neither serves what the other cannot. */
export const inBoth =
  (one: PreparePolicy, other: PreparePolicy): PreparePolicy =>
  async (policy) => {
    const outcomes = await Promise.allSettled([one(policy), other(policy)]);
    const ready = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const abandon = async (): Promise<void> => {
      await Promise.all(ready.map((prepared) => prepared.abandon()));
    };
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure !== undefined) {
      await abandon();
      throw failure.reason;
    }
    return {
      commit: async () => {
        await Promise.all(ready.map((prepared) => prepared.commit()));
      },
      abandon,
    };
  };

/** The path of the decision, without slashes around it; `query` is its older spelling. */
export const decisionPath = (config: Config): string => {
  const { path, query } = config.plugins.envoy_ext_authz_grpc;
  return query === undefined ? withoutSlashes(path) : query.split('.').slice(1).join('/');
};

/** What one evaluation may take at most. */
export const limitsOf = ({ postern: { evaluation } }: Config) => ({
  memoryBytes: evaluation.memory_bytes,
  steps: evaluation.max_steps,
  builtinMs: BUILTIN_MS,
});
