import type { Settings } from '../cli/ports.ts';
import type { Jwks } from '../identity/jwks.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { PreparedPolicy } from '../policy/prepare.ts';
import type { Observed } from '../telemetry/metrics.ts';
import { createDataPlane } from './data-plane.ts';
import { inBoth, type PreparePolicy } from './policy-holder.ts';
import { createServing, type ServingParts } from './serving.ts';
import { createTls, type Tls } from './tls.ts';
import { createWorkerGroup } from './workers/group.ts';

/** What answers Envoy, in this process or in others. */
export type Front = {
  readonly prepare: PreparePolicy;
  /** What serves is older than it may be, or is not any more. */
  readonly setStale: (stale: boolean) => void;
  /** The policy in this process, for the API. */
  readonly pin: () => PreparedPolicy | undefined;
  /** Whether it listens, and can answer. */
  readonly isReady: () => boolean;
  /** Whether callers' tokens can be verified. */
  readonly hasKeys: () => boolean;
  readonly tls: Tls;
  readonly status: () => object;
  readonly keyAges: Observed['keyAges'];
  /** Parts to start before policies come, after that, and at last. */
  readonly before: readonly Part[];
  readonly after: readonly Part[];
  readonly listener: Part;
  /** Where it listens. */
  readonly address: () => string;
  /** Tells whoever asks for readiness that this is coming to its end. */
  readonly retire: () => Promise<void> | void;
  /** Replaces the processes that answer, one after another; undefined: this is the one. */
  readonly restart: (() => Promise<void>) | undefined;
};

const identityStatus = (status: object | undefined): object => (status === undefined ? {} : { identity: status });

/** One process does everything. */
export function serveHere(basics: ServingParts): Front {
  const serving = createServing(basics);
  const { plane, tls, decisionLog, listener } = serving;
  return {
    prepare: plane.policy.prepare,
    setStale: plane.policy.setStale,
    pin: plane.policy.pin,
    isReady: serving.isReady,
    hasKeys: plane.hasKeys,
    tls,
    status: () => identityStatus(plane.identityStatus()),
    keyAges: plane.keyAges,
    before: [tls.part, decisionLog, plane.policy.part],
    after: plane.parts,
    listener,
    address: serving.address,
    retire: serving.readinessChanged,
    restart: undefined,
  };
}

/** This process looks after policies and the API, and its workers answer. */
export function serveInWorkers(basics: ServingParts, { fork, logging }: Pick<Settings, 'fork' | 'logging'>): Front {
  const { config, log, env, clock, metrics, instanceId, onReadiness = () => {} } = basics;
  const plane = createDataPlane({
    ...{ config, log, env, clock, metrics },
    // Nobody asks it for decisions.
    record: () => undefined,
    onReadiness,
    onKeys: (issuer) => {
      const keys = plane.keys.get(issuer);
      if (keys !== undefined) group.keysChanged(issuer, keys.state());
    },
  });
  const keysOf = (issuer: string): Jwks => {
    const keys = plane.keys.get(issuer);
    if (keys === undefined) throw new Error('there is no such issuer');
    return keys;
  };
  const group = createWorkerGroup({
    count: config.postern.workers,
    fork,
    settings: { config, instanceId, logging },
    keys: {
      keyStateOf: (issuer) => keysOf(issuer).state(),
      lookForKey: ({ issuer, kid, alg }) => keysOf(issuer).lookFor(kid, alg),
    },
    clock,
    log,
    onLost: metrics.workerLost,
    onChanged: onReadiness,
  });
  metrics.include(group.metrics);
  const tls = createTls(config.postern.tls, { log, metrics, clock });
  let address = '';
  return {
    prepare: inBoth(plane.policy.prepare, group.prepare),
    setStale: (stale) => {
      plane.policy.setStale(stale);
      group.setStale(stale);
    },
    pin: plane.policy.pin,
    isReady: () => address !== '' && plane.policy.pin() !== undefined && group.isReady(),
    hasKeys: plane.hasKeys,
    tls,
    status: () => ({ ...identityStatus(plane.identityStatus()), workers: group.status() }),
    keyAges: plane.keyAges,
    before: [
      tls.part,
      plane.policy.part,
      { name: 'workers', start: group.start, stop: group.stop, reload: group.reload },
    ],
    after: plane.parts,
    listener: {
      name: 'ext_authz',
      start: async () => {
        address = await group.listen();
      },
      stop: group.stop,
    },
    address: () => address,
    retire: group.retire,
    restart: group.restart,
  };
}
