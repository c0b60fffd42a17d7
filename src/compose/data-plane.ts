import { type Check, type CheckParts, createCheck } from '../check/check.ts';
import { readDescriptorSet } from '../check/grpc-body.ts';
import type { Settings } from '../cli/ports.ts';
import type { JwtSvidConfig } from '../config/schema.ts';
import { createIdentify } from '../identity/identify.ts';
import type { Jwks } from '../identity/jwks.ts';
import type { KeyHolder } from '../identity/shared-jwks.ts';
import { createJwtBundles, type WorkloadJwtBundles } from '../identity/workload-api/jwt-bundles.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import { toDecision } from '../policy/decision.ts';
import type { Metrics, Observed } from '../telemetry/metrics.ts';
import { createDescription } from './context.ts';
import { createPassOn } from './pass-on.ts';
import { createPolicyHolder, type PolicyHolder } from './policy-holder.ts';

export type DataPlane = {
  readonly check: Check;
  readonly policy: PolicyHolder;
  readonly isReady: () => boolean;
  /** Whether there are keys of all issuers. */
  readonly hasKeys: () => boolean;
  /** Of the key sets; undefined where there are none. */
  readonly identityStatus: () => object | undefined;
  readonly keyAges: Observed['keyAges'];
  /** By issuer. */
  readonly keys: ReadonlyMap<string, Jwks>;
  /** Keys and other things to know about callers, in the order in which they start. */
  readonly parts: readonly Part[];
};

export type DataPlaneParts = Pick<Settings, 'config' | 'log' | 'env'> & {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly record: CheckParts['record'];
  /** Given when no decision may be made that cannot be recorded. */
  readonly reserve?: CheckParts['reserve'];
  /** `isReady` may have changed. */
  readonly onReadiness: () => void;
  /** The process that looks after the keys, if this one does not. */
  readonly holder?: KeyHolder | undefined;
  /** There may be other keys of this issuer than before. */
  readonly onKeys?: ((issuer: string) => void) | undefined;
};

/** Everything that turns a request into an answer, given a policy; what serves and records it is put around it. */
export function createDataPlane(parts: DataPlaneParts): DataPlane {
  const { config, log, env, clock, metrics, record, onReadiness, holder, onKeys } = parts;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const { paths, evaluation, identity } = config.postern;
  const policy = createPolicyHolder(config, env, log, onReadiness);
  const jwtBundles = jwtBundlesOf(identity?.workload.jwt_svid);
  const callers =
    identity === undefined
      ? undefined
      : createIdentify({
          config: identity,
          clock,
          random: Math.random,
          jwtBundles,
          log,
          onCache: metrics.tokenLookedUp,
          holder,
          onKeys: (issuer, ok) => {
            // What this process did not fetch is counted by the one that did.
            if (holder === undefined) metrics.keysFetched(issuer, ok);
            onKeys?.(issuer);
          },
          onReady: onReadiness,
        });
  const context = createDescription(config.postern.context, { log, metrics, clock });
  const check = createCheck({
    clock,
    pin: policy.pin,
    lastLogRules: policy.lastLogRules,
    identify: callers?.identify ?? (() => ({ ok: true, identity: undefined })),
    toDecision,
    reserve: parts.reserve,
    record,
    contextOf: context.describe,
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
    policy,
    isReady: () => policy.pin() !== undefined && (callers?.isReady() ?? true),
    hasKeys: () => callers?.isReady() ?? true,
    identityStatus: () => callers?.status(),
    keyAges: callers?.keyAges ?? (() => []),
    keys: callers?.keys ?? new Map(),
    parts: [
      ...context.parts,
      ...(jwtBundles === undefined || holder !== undefined
        ? []
        : [{ name: 'JWT bundles', start: jwtBundles.start, stop: jwtBundles.stop }]),
      ...(callers === undefined ? [] : [{ name: 'identity', start: callers.start, stop: callers.stop }]),
    ],
  };
}

/** Undefined when no trust domain's bundle comes from the Workload API. */
function jwtBundlesOf(config: JwtSvidConfig | undefined): WorkloadJwtBundles | undefined {
  if (!Object.values(config?.trust_domains ?? {}).some((domain) => domain.workload_api)) return undefined;
  return createJwtBundles({ socket: config?.workload_api_socket ?? '', random: Math.random });
}
