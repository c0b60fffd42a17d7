import type { ApiParts } from './api/ports.ts';
import { startApi, startDiagnostics } from './api/server.ts';
import type { CheckParts } from './check/check.ts';
import { classOf, reasonOf, refuse } from './check/outcome.ts';
import type { Commands, Running, Settings } from './cli/ports.ts';
import { version } from './cli/version.ts';
import { createDecider, decisionPath } from './compose/decider.ts';
import { inspectBundle } from './compose/inspect.ts';
import { createTls } from './compose/tls.ts';
import { createDecisionLog } from './decisions/decision-log.ts';
import { createConsoleSink, openStandardOutput } from './decisions/sinks/console.ts';
import { createFileSink } from './decisions/sinks/file.ts';
import type { Sink } from './decisions/sinks/sink.ts';
import { askServer, readVerdict, requestBytes } from './envoy/client.ts';
import { readRequest } from './envoy/request.ts';
import { writeResponse } from './envoy/response.ts';
import { type ExtAuthzServer, startServer as startExtAuthz } from './envoy/server.ts';
import { systemClock } from './lib/clock.ts';
import { hideSecrets } from './lib/hide-secrets.ts';
import { type Part, startAll } from './lib/lifecycle.ts';
import { messageOf } from './lib/message.ts';
import { uuid7 } from './lib/uuid7.ts';
import type { ExplainedVerdict, Question } from './model/question.ts';
import { createMetrics } from './telemetry/metrics.ts';

/*
 * The composition root: the only place that knows all rooms. That they fit the types in check/ports.ts is proved here,
 * by the compiler.
 */

/** Starts everything in order; what `stop` does is the same order backwards. Rejects when something cannot start. */
async function startServer(settings: Settings): Promise<Running> {
  const { config, log } = settings;
  const clock = systemClock;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const { drain } = config.postern;
  const metrics = createMetrics({
    peerMetrics: plugin['enable-performance-metrics'],
    peerBuckets: plugin['grpc-request-duration-seconds-buckets'],
  });
  const logFailed = (error: unknown): void => {
    metrics.logFailed();
    log.error({ cause: messageOf(error) }, 'the decision log could not be written');
  };
  const decisionLog = createDecisionLog({
    labels: { id: uuid7(clock.wallMs()), version, ...config.labels },
    sinks: sinksOf(settings, logFailed),
    onDrop: metrics.logDropped,
    onError: logFailed,
    onWritten: metrics.logWritten,
  });
  let draining = false;
  let extAuthz: ExtAuthzServer | undefined;
  const record: CheckParts['record'] = (decision) => {
    metrics.decided(decision);
    decisionLog.record(decision);
  };
  const decider = createDecider(settings, clock, metrics, record, () => extAuthz?.readinessChanged());
  const isReady = (): boolean => !draining && decider.isReady();
  metrics.observe({
    isReady,
    wasmMemoryBytes: () => decider.pin()?.memoryBytes() ?? 0,
    keySetAges: decider.keySetAges,
  });
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
  const tls = createTls(config.postern.tls, { log, metrics, clock });

  const stopAll = await startAll(
    [
      tls.part,
      { name: 'decision log', stop: decisionLog.stop },
      ...decider.parts,
      listener('API', async () => {
        const api = await startApi(settings.apiAddress, { ...apiParts, tls: tls.api() });
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
          reflection: plugin['enable-reflection'],
          tls: tls.extAuthz(),
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

function sinksOf({ config }: Settings, onError: (error: unknown) => void): readonly Sink[] {
  const { decision_file: file } = config.postern;
  return [
    ...(config.decision_logs.console ? [createConsoleSink(openStandardOutput())] : []),
    ...(file === undefined
      ? []
      : [createFileSink({ path: file.path, maxBytes: file.max_bytes, keep: file.keep, onError })]),
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

export const commands: Commands = { startServer, askOffline, askServer, inspectBundle };
