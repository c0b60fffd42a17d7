import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiParts } from './api/ports.ts';
import { startApi, startDiagnostics } from './api/server.ts';
import { type Bundles, createBundles } from './bundles/bundles.ts';
import { compileSources, isSource } from './bundles/compile.ts';
import { type Check, type CheckParts, createCheck } from './check/check.ts';
import { readDescriptorSet } from './check/grpc-body.ts';
import { classOf, reasonOf, refuse } from './check/outcome.ts';
import type { Commands, Running, Settings } from './cli/ports.ts';
import { version } from './cli/version.ts';
import type { Config } from './config/schema.ts';
import { createDecisionLog } from './decisions/decision-log.ts';
import { createConsoleSink, openStandardOutput } from './decisions/sinks/console.ts';
import { createFileSink } from './decisions/sinks/file.ts';
import { askServer, readVerdict, requestBytes } from './envoy/client.ts';
import { readRequest } from './envoy/request.ts';
import { writeResponse } from './envoy/response.ts';
import { type ExtAuthzServer, startServer as startExtAuthz } from './envoy/server.ts';
import { createIdentify } from './identity/identify.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { hideSecrets } from './lib/hide-secrets.ts';
import { type Part, startAll } from './lib/lifecycle.ts';
import { messageOf } from './lib/message.ts';
import { uuid7 } from './lib/uuid7.ts';
import type { Snapshot } from './model/evaluation.ts';
import type { ExplainedVerdict, Question } from './model/question.ts';
import { toDecision } from './policy/decision.ts';
import { createWasmInstance } from './policy/engine/wasm.ts';
import { prepareSnapshot } from './policy/snapshot.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { stringify } from './values/json.ts';

/*
 * The composition root: the only place that knows all rooms. That they fit the types in check/ports.ts is proved here,
 * by the compiler.
 */

type Decider = {
  readonly check: Check;
  readonly pin: () => (Snapshot & { readonly memoryBytes: () => number }) | undefined;
  readonly isReady: () => boolean;
  readonly status: () => object;
  /** Bundles and key sets, in the order in which they start. */
  readonly parts: readonly Part[];
};

type DeciderSettings = Pick<Settings, 'config' | 'bundlePaths' | 'sourcePaths' | 'log' | 'env'>;

/** Everything that turns a request into an answer; what serves and records it is put around it. */
function createDecider(
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
  let active: ReturnType<Decider['pin']>;

  const source = createPolicySource(settings, path, (files) =>
    createBundles({
      config: config.bundles,
      services: config.services,
      files,
      clock,
      random: Math.random,
      log,
      prepare: ({ modules, data, revisions }) =>
        prepareSnapshot({ modules, data: stringify(data), revisions }, path, createWasmInstance, {
          memoryBytes: evaluation.memory_bytes,
        }),
      commit: (snapshot) => {
        active = snapshot;
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
    dryRun: plugin['dry-run'],
    maxInFlight: evaluation.max_in_flight,
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
    parts: [
      source.part,
      ...(callers === undefined ? [] : [{ name: 'identity', start: callers.start, stop: callers.stop }]),
    ],
  };
}

const decisionPath = (config: Config): string => {
  const { path, query } = config.plugins.envoy_ext_authz_grpc;
  return query === undefined ? path.replace(/^\/+|\/+$/g, '') : query.split('.').slice(1).join('/');
};

/** The bundles of configuration and command line; Rego sources among the latter are compiled first. */
function createPolicySource(
  { bundlePaths, sourcePaths, env }: DeciderSettings,
  path: string,
  create: (files: readonly { readonly name: string; readonly path: string }[]) => Bundles,
): { readonly part: Part; readonly status: () => object } {
  let bundles: Bundles | undefined;
  let folder: string | undefined;
  return {
    status: () => bundles?.status() ?? {},
    part: {
      name: 'bundles',
      start: async () => {
        const given = [...bundlePaths, ...sourcePaths];
        const sources = given.filter(isSource);
        const files = given.filter((file) => !sources.includes(file));
        if (sources.length > 0) {
          folder = mkdtempSync(join(tmpdir(), 'postern-'));
          const output = join(folder, 'bundle.tar.gz');
          await compileSources(sources, path, output, env['PATH'] ?? '');
          files.push(output);
        }
        bundles = create(files.map((file) => ({ name: file === folder ? 'sources' : file, path: file })));
        await bundles.start();
      },
      stop: async () => {
        await bundles?.stop();
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      },
    },
  };
}

/** Starts everything in order; what `stop` does is the same order backwards. Rejects when something cannot start. */
async function startServer(settings: Settings): Promise<Running> {
  const { config, log } = settings;
  const clock = systemClock;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const { drain, evaluation } = config.postern;
  const metrics = createMetrics({
    peerMetrics: plugin['enable-performance-metrics'],
    peerBuckets: plugin['grpc-request-duration-seconds-buckets'],
  });
  const sinks = sinksOf(settings, metrics);
  const decisionLog = createDecisionLog({
    labels: { id: uuid7(clock.wallMs()), version, ...config.labels },
    sinks,
    onDrop: metrics.logDropped,
    onError: (error) => {
      metrics.logFailed();
      log.error({ cause: messageOf(error) }, 'the decision log could not be written');
    },
    onWritten: metrics.logWritten,
  });
  let draining = false;
  let extAuthz: ExtAuthzServer | undefined;
  const record: CheckParts['record'] = (decision) => {
    metrics.decided(decision);
    // Without a sink nobody would ever take the records away again.
    if (sinks.length > 0) decisionLog.record(decision);
  };
  const decider = createDecider(settings, clock, metrics, record, () => extAuthz?.readinessChanged());
  const isReady = (): boolean => !draining && decider.isReady();
  metrics.observe({ isReady, wasmMemoryBytes: () => decider.pin()?.memoryBytes() ?? 0 });
  const apiParts: ApiParts = {
    pin: decider.pin,
    isReady: decider.isReady,
    isDraining: () => draining,
    status: decider.status,
    config: hideSecrets(config) as object,
    metrics,
    newDecisionId: () => uuid7(clock.wallMs()),
    defaultDecision: config.default_decision.replace(/^\/+|\/+$/g, ''),
  };
  const addresses = { extAuthz: '', api: '', diagnostic: '' };

  const stopAll = await startAll(
    [
      { name: 'decision log', stop: decisionLog.stop },
      ...decider.parts,
      listener('API', async () => {
        const api = await startApi(settings.apiAddress, apiParts);
        addresses.api = api.address;
        return api.stop;
      }),
      listener('diagnostics', async () => {
        const diagnostics = await startDiagnostics(settings.diagnosticAddress, apiParts);
        addresses.diagnostic = diagnostics.address;
        return diagnostics.stop;
      }),
      listener('ext_authz', async () => {
        extAuthz = await startExtAuthz({
          address: plugin.addr,
          check: decider.check,
          clock,
          isReady,
          onRefused: (reason) => metrics.refused(classOf(refuse(reason)), reasonOf(refuse(reason))),
          maxReceiveBytes: plugin['grpc-max-recv-msg-size'],
          maxSendBytes: plugin['grpc-max-send-msg-size'],
          budgetMs: evaluation.budget_ms,
          reflection: plugin['enable-reflection'],
        });
        addresses.extAuthz = extAuthz.address;
        return () => extAuthz?.drain(drain.timeout_seconds * 1000);
      }),
    ],
    (name, error) => log.error({ part: name, cause: messageOf(error) }, 'stopping failed'),
  );
  return {
    addresses,
    path: decisionPath(config),
    revisions: () => decider.pin()?.revisions ?? {},
    isReady,
    stop: async () => {
      draining = true;
      extAuthz?.readinessChanged();
      // Whoever routes to us must have noticed before we stop listening.
      await new Promise((resolve) => setTimeout(resolve, drain.delay_seconds * 1000));
      await stopAll();
    },
  };
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

function sinksOf({ config }: Settings, metrics: Metrics): Parameters<typeof createDecisionLog>[0]['sinks'] {
  const { decision_file: file } = config.postern;
  return [
    ...(config.decision_logs.console ? [createConsoleSink(openStandardOutput())] : []),
    ...(file === undefined
      ? []
      : [createFileSink({ path: file.path, maxBytes: file.max_bytes, keep: file.keep, onError: metrics.logFailed })]),
  ];
}

/** Decides one question here, through the same code that serves. */
async function askOffline(settings: Settings, question: Question): Promise<ExplainedVerdict> {
  const clock = systemClock;
  const metrics = createMetrics({ peerMetrics: false, peerBuckets: [] });
  let seen: Parameters<CheckParts['record']>[0] | undefined;
  const decider = createDecider(
    settings,
    clock,
    metrics,
    (record) => (seen = record),
    () => {},
  );
  const stop = await startAll(decider.parts, () => {});
  try {
    const request = readRequest(requestBytes(question));
    const answer = await decider.check({ request, deadlineMs: Number.POSITIVE_INFINITY });
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

export const commands: Commands = { startServer, askOffline, askServer };
