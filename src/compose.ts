import type { ApiParts } from './api/ports.ts';
import { startApi, startDiagnostics } from './api/server.ts';
import type { CheckParts } from './check/check.ts';
import type { Commands, OfflineSettings, Settings } from './cli/ports.ts';
import { version } from './cli/version.ts';
import { buildBundle } from './compose/bundle/build.ts';
import { diffBundles } from './compose/bundle/diff.ts';
import { inspectBundle } from './compose/bundle/inspect.ts';
import { pushBundle } from './compose/bundle/push.ts';
import { signBundle, verifyBundle } from './compose/bundle/sign.ts';
import { createDataPlane } from './compose/data-plane.ts';
import { type Changeable, type Discovery, startDiscovered } from './compose/discovery.ts';
import { serveHere, serveInWorkers } from './compose/front.ts';
import { decisionPath } from './compose/policy-holder.ts';
import { createPolicySource } from './compose/policy-source.ts';
import { createPollNow } from './compose/poll-now.ts';
import { createStatus } from './compose/status.ts';
import { createKeptDecisions, openDecisions } from './compose/store/kept-decisions.ts';
import { createUpload, forgetUpload } from './compose/upload/upload.ts';
import { runWorker } from './compose/workers/worker.ts';
import type { Config } from './config/schema.ts';
import { askServer, readVerdict, requestBytes } from './envoy/client.ts';
import { readRequest } from './envoy/request.ts';
import { writeResponse } from './envoy/response.ts';
import { systemClock } from './lib/clock.ts';
import { hideSecrets } from './lib/hide-secrets.ts';
import { createReload, type Part, startAll } from './lib/lifecycle.ts';
import { messageOf } from './lib/message.ts';
import { uuid7 } from './lib/uuid7.ts';
import { withoutSlashes } from './lib/without-slashes.ts';
import type { ExplainedVerdict, Question } from './model/question.ts';
import { createMetrics } from './telemetry/metrics.ts';

/*
 * The composition root: the only place that knows all rooms. That they fit the types in check/ports.ts is proved here,
 * by the compiler.
 */

/** Starts everything in order; what `stop` does is the same order backwards. Rejects when something cannot start. */
async function startServer(settings: Settings, discovery?: Discovery): Promise<Changeable> {
  const { config, log, env } = settings;
  const clock = systemClock;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const { drain, workers } = config.postern;
  const metrics = createMetrics({
    peerMetrics: plugin['enable-performance-metrics'],
    peerBuckets: plugin['grpc-request-duration-seconds-buckets'],
    status: statusMetricsOf(config),
  });
  let draining = false;
  let current = config;
  // Not before all is there that has a status.
  const changed = (): void => status.changed();
  const basics = {
    ...{ config, log, env, clock, metrics },
    instanceId: uuid7(clock.wallMs()),
    isDraining: () => draining,
    onReadiness: changed,
  };
  const front = workers === 1 ? serveHere(basics) : serveInWorkers(basics, settings);
  const kept = createKeptDecisions(settings, metrics, clock);
  const source = createPolicySource(settings, clock, metrics, front.prepare, front.setStale, changed, kept?.bundles);
  const upload = createUpload(settings, metrics, clock);
  const status = createStatus({
    ...{ config, instanceId: basics.instanceId, log, metrics, front, source, discovery },
    decisionLogs: upload?.status,
  });
  metrics.observe({
    isReady: front.isReady,
    wasmMemoryBytes: () => front.pin()?.memoryBytes() ?? 0,
    keyAges: front.keyAges,
    bundleAges: source.ages,
    discovery,
  });
  const apiParts: ApiParts = {
    pin: front.pin,
    isReady: front.isReady,
    isDraining: () => draining,
    status: () => ({ ...status.current(), ...kept?.status() }),
    states: status.states,
    poll: createPollNow(source, () => {
      status.looked();
      upload?.looked();
    }),
    tokenFile: config.postern.api.token_file ?? undefined,
    log,
    config: () => hideSecrets(current) as object,
    metrics,
    decisions: kept?.api,
    newDecisionId: () => uuid7(clock.wallMs()),
    defaultDecision: withoutSlashes(config.default_decision),
  };
  const addresses = { api: '', diagnostic: '' };

  const parts: readonly Part[] = [
    upload?.keep ?? forgetUpload(config),
    // Stopped last: what is written down until then is taken in, and before that sent.
    ...(kept === undefined ? [] : [kept.part]),
    ...(upload === undefined ? [] : [upload.send]),
    ...front.before,
    source.part,
    ...front.after,
    listener('API', async () => {
      const api = await startApi(settings.apiAddress, { ...apiParts, tls: front.tls.api() });
      addresses.api = api.address;
      return api.stop;
    }),
    listener('diagnostics', async () => {
      const diagnostics = await startDiagnostics(settings.diagnosticAddress, apiParts);
      addresses.diagnostic = diagnostics.address;
      return diagnostics.stop;
    }),
    front.listener,
    status.part,
  ];
  const failedTo = (what: string) => (part: string, error: unknown) =>
    log.error({ part, cause: messageOf(error) }, `${what} failed`);
  const stopAll = await startAll(parts, failedTo('stopping'));
  const reloadAll = createReload(parts, failedTo('reloading'));
  const retire = async (): Promise<void> => {
    draining = true;
    await front.retire();
  };
  return {
    addresses: { ...addresses, extAuthz: front.address() },
    path: decisionPath(config),
    revisions: () => front.pin()?.revisions ?? {},
    isReady: () => !draining && front.isReady(),
    reload: async () => (draining ? [] : reloadAll()),
    restart: front.restart,
    change: (wanted) => {
      const { commit, abandon } = source.change(wanted);
      return {
        commit: async () => {
          await commit();
          current = wanted;
        },
        abandon,
      };
    },
    isServing: () => front.pin() !== undefined,
    statusChanged: changed,
    stopNow: async () => {
      await retire();
      await stopAll();
    },
    stop: async () => {
      await retire();
      // Whoever routes to us must have noticed before we stop listening.
      await new Promise((resolve) => setTimeout(resolve, drain.delay_seconds * 1000));
      await stopAll();
    },
  };
}

/** Undefined: without the metrics of OPA's status plugin. */
function statusMetricsOf({ status }: Config): Parameters<typeof createMetrics>[0]['status'] {
  if (status?.prometheus !== true) return undefined;
  return { version, buckets: status.prometheus_config.collectors.bundle_loading_duration_ns.buckets };
}

/** A part whose start returns what stops it. */
function listener(name: string, open: () => Promise<() => Promise<void> | undefined>): Part {
  let close: (() => Promise<void> | undefined) | undefined;
  return {
    name,
    start: async () => {
      close = await open();
    },
    stop: () => close?.(),
  };
}

/** Decides one question here, through the same code that serves. */
async function askOffline(settings: OfflineSettings, question: Question): Promise<ExplainedVerdict> {
  const clock = systemClock;
  const metrics = createMetrics({ peerMetrics: false, peerBuckets: [] });
  let seen: Parameters<CheckParts['record']>[0] | undefined;
  const plane = createDataPlane({
    ...{ config: settings.config, log: settings.log, env: settings.env, clock, metrics },
    record: (record) => {
      seen = record;
      return undefined;
    },
    onReadiness: () => {},
  });
  const source = createPolicySource(settings, clock, metrics, plane.policy.prepare, plane.policy.setStale);
  const stop = await startAll([plane.policy.part, source.part, ...plane.parts], () => {});
  try {
    const request = readRequest(requestBytes(question));
    const answer = await plane.check({ request, deadlineMs: Number.POSITIVE_INFINITY });
    const verdict = readVerdict(writeResponse(answer));
    return {
      ...verdict,
      ...(seen === undefined ? {} : { reason: seen.reason, policyReasons: seen.policyReasons }),
      ...(seen?.cause === undefined ? {} : { cause: seen.cause }),
    };
  } finally {
    await stop();
  }
}

/** With what a discovery bundle adds to the configuration, where there is one. */
const start: Commands['startServer'] = (settings) =>
  settings.config.discovery === undefined
    ? startServer(settings)
    : startDiscovered(settings, settings.config.discovery, startServer);

export const commands: Commands = {
  ...{ startServer: start, askOffline, askServer, openDecisions },
  ...{ inspectBundle, buildBundle, signBundle, verifyBundle, diffBundles, pushBundle },
};
export { runWorker };
