import { classOf, reasonOf, refuse } from '../check/outcome.ts';
import type { Settings } from '../cli/ports.ts';
import { version } from '../cli/version.ts';
import type { Config } from '../config/schema.ts';
import { walConfig } from '../config/store.ts';
import { createDecisionLog } from '../decisions/decision-log.ts';
import { createConsoleSink, openStandardOutput } from '../decisions/sinks/console.ts';
import { createFileSink } from '../decisions/sinks/file.ts';
import type { Sink } from '../decisions/sinks/sink.ts';
import { type ExtAuthzServer, startServer } from '../envoy/server.ts';
import type { KeyHolder } from '../identity/shared-jwks.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import { messageOf } from '../lib/message.ts';
import { createNowAndThen } from '../lib/now-and-then.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { createDurableLog } from './durable-log.ts';
import { createLogJudge } from './log-judge.ts';
import { createOverloadAdmission } from './overload.ts';
import { createTls, type Tls } from './tls.ts';

const TELL_OVERLOAD_EVERY_MS = 10_000;

export type ServingParts = Pick<Settings, 'config' | 'log' | 'env'> & {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Of the whole server, in every event's labels. */
  readonly instanceId: string;
  /** Where there are several, the file that this process logs to has its number. */
  readonly worker?: number | undefined;
  readonly isDraining: () => boolean;
  /** Whether it can answer, or a part of it, may have changed. */
  readonly onReadiness?: (() => void) | undefined;
  /** The process that looks after the keys, if this one does not. */
  readonly holder?: KeyHolder | undefined;
};

/** What answers Envoy in this process. */
export type Serving = {
  readonly plane: DataPlane;
  readonly tls: Tls;
  readonly decisionLog: Part;
  readonly listener: Part;
  /** Where it listens; empty before. */
  readonly address: () => string;
  /** Whether it listens and can decide. */
  readonly isReady: () => boolean;
  readonly readinessChanged: () => void;
  readonly connections: ExtAuthzServer['connections'];
};

export function createServing(parts: ServingParts): Serving {
  const { config, log, env, clock, metrics, isDraining } = parts;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const logFailed = (error: unknown): void => {
    metrics.logFailed();
    log.error({ cause: messageOf(error) }, 'the decision log could not be written');
  };
  const labels = { id: parts.instanceId, version, ...config.labels };
  const judge = createLogJudge({ clock, metrics, log });
  const wal = createDurableLog(walConfig(config), { labels, judge, clock, metrics, onError: logFailed });
  const decisionLog = createDecisionLog({
    labels,
    judge,
    sinks: sinksOf(config, parts.worker, logFailed),
    onDrop: metrics.logDropped,
    onError: logFailed,
    onWritten: metrics.logWritten,
  });
  const overloads = createNowAndThen(TELL_OVERLOAD_EVERY_MS, clock);
  const turnedAway = (): void => {
    wal?.leaveOut();
    if (overloads.isDue()) log.warn({}, 'more is asked than can be answered in time, and calls are turned away');
  };
  let server: ExtAuthzServer | undefined;
  const readinessChanged = (): void => {
    server?.readinessChanged();
    parts.onReadiness?.();
  };
  const plane = createDataPlane({
    config,
    log,
    env,
    clock,
    metrics,
    reserve: wal?.reserve,
    record: (decision, room, untilMs) => {
      const kept = wal?.record(decision, room, untilMs);
      metrics.decided(decision);
      decisionLog.record(decision);
      return kept;
    },
    onReadiness: readinessChanged,
    holder: parts.holder,
  });
  const tls = createTls(config.postern.tls, { log, metrics, clock });
  const connections = {
    count: () => server?.connections.count() ?? 0,
    sendOneAway: () => server?.connections.sendOneAway(),
  };
  metrics.observeConnections(parts.worker ?? 1, connections.count);
  const canDecide = (): boolean => !isDraining() && plane.isReady();
  return {
    plane,
    tls,
    decisionLog: {
      name: 'decision log',
      start: () => wal?.start(),
      stop: async () => {
        await Promise.all([decisionLog.stop(), wal?.stop()]);
      },
    },
    listener: {
      name: 'ext_authz',
      start: async () => {
        server = await startServer({
          address: plugin.addr,
          check: plane.check,
          clock,
          isReady: canDecide,
          admission: createOverloadAdmission(config, { clock, metrics }),
          onRefused: (reason) => {
            metrics.refused(classOf(refuse(reason)), reasonOf(refuse(reason)));
            if (reason === 'overloaded') turnedAway();
          },
          maxReceiveBytes: plugin['grpc-max-recv-msg-size'],
          maxSendBytes: plugin['grpc-max-send-msg-size'],
          reflection: plugin['enable-reflection'],
          connections: {
            maxAgeMs: config.postern.connections.max_age_seconds * 1000,
            graceMs: config.postern.connections.grace_seconds * 1000,
          },
          tls: tls.extAuthz(),
        });
      },
      stop: () => server?.drain(config.postern.drain.timeout_seconds * 1000),
    },
    address: () => server?.address ?? '',
    isReady: () => server !== undefined && canDecide(),
    readinessChanged,
    connections,
  };
}

function sinksOf(config: Config, worker: number | undefined, onError: (error: unknown) => void): readonly Sink[] {
  const { decision_file: file } = config.postern;
  return [
    ...(config.decision_logs.console ? [createConsoleSink(openStandardOutput())] : []),
    ...(file === undefined
      ? []
      : [
          createFileSink({
            path: worker === undefined ? file.path : `${file.path}.worker-${worker}`,
            maxBytes: file.max_bytes,
            keep: file.keep,
            onError,
          }),
        ]),
  ];
}
