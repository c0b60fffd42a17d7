import { reported } from '../bundles/bundle-status.ts';
import { version } from '../cli/version.ts';
import type { Config } from '../config/schema.ts';
import { statusService } from '../config/status.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { Logger } from '../telemetry/logger.ts';
import { metricFamilies } from '../telemetry/metric-families.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createStatusReporter } from '../telemetry/status-reporter.ts';
import type { Discovery } from './discovery.ts';
import type { Front } from './front.ts';
import type { PolicySource } from './policy-source.ts';

export type StatusParts = {
  readonly config: Config;
  /** Of the whole server. */
  readonly instanceId: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly front: Front;
  readonly source: Pick<PolicySource, 'status' | 'ages' | 'clientOf'>;
  /** Where the configuration comes from, if it does from there. */
  readonly discovery: Discovery | undefined;
  /** What is to be said of decisions on their way to a service, if they are sent to one. */
  readonly decisionLogs: (() => object) | undefined;
};

/** How a part is, in OPA's words. */
export type PartState = { readonly state: 'OK' | 'NOT_READY' };

export type Status = {
  /** OPA's status report, and what we know besides: workers, callers' keys, ages of bundles (seconds). */
  readonly current: () => object;
  readonly states: () => { readonly [part: string]: PartState };
  /** Something may have changed. */
  readonly changed: () => void;
  /** Somebody has asked for a look at bundles. */
  readonly looked: () => void;
  readonly part: Part;
};

/** What is reported of this server, to those who ask and to the service that wants to know. */
export function createStatus(parts: StatusParts): Status {
  const { config, instanceId, log, metrics, front, source, discovery } = parts;
  const { status, decision_logs: logs } = config;
  const service = statusService(status, Object.keys(config.services));
  const states = (): { readonly [part: string]: PartState } => ({
    bundle: stateOf(front.pin() !== undefined),
    ...(discovery === undefined ? {} : { discovery: stateOf(discovery.isReady()) }),
    ...(logs.console || logs.service !== undefined ? { decision_logs: stateOf(true) } : {}),
    envoy_ext_authz_grpc: stateOf(front.address() !== ''),
    ...(config.postern.identity === undefined ? {} : { identity: stateOf(front.hasKeys()) }),
    ...(status === undefined ? {} : { status: stateOf(true) }),
  });
  const bundles = (): object => {
    const ages = new Map(source.ages());
    return Object.fromEntries(
      Object.entries(source.status()).map(([name, each]) => [name, { ...reported(each), ...ageOf(ages.get(name)) }]),
    );
  };
  const labels = { id: instanceId, version, ...config.labels };
  const current = (): object => ({
    ...{ labels, bundles: bundles() },
    ...(discovery === undefined ? {} : { discovery: discovery.status() }),
    ...parts.decisionLogs?.(),
    ...{ plugins: states(), ...front.status() },
  });
  const reporter =
    status === undefined
      ? undefined
      : createStatusReporter({
          report: async () => ({ ...current(), metrics: { prometheus: metricFamilies(await metrics.gather()) } }),
          write: status.console ? (report) => log.info(lineOf(report), 'Status Log') : undefined,
          send: service === undefined ? undefined : (report, signal) => post(service, report, signal),
          periodic: status.trigger === 'periodic',
          random: Math.random,
          onSent: metrics.statusSent,
          log,
        });

  async function post(name: string, report: object, signal: AbortSignal): Promise<void> {
    const url = addressOf(config.services[name]?.url ?? '', status?.partition_name ?? '');
    const headers = { 'content-type': 'application/json' };
    const answer = await source.clientOf(name).post({ url, headers, body: JSON.stringify(report), signal });
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`POST ${url.origin}${url.pathname}: the server answered ${answer.status}`);
    }
  }

  metrics.observeStates(states);
  return {
    current,
    states,
    changed: () => reporter?.changed(),
    looked: () => {
      if (status?.trigger === 'manual') void reporter?.flush();
    },
    part: {
      name: 'status',
      start: () => {
        reporter?.changed();
        reporter?.start();
      },
      stop: () => reporter?.stop(),
    },
  };
}

const stateOf = (isUp: boolean): PartState => ({ state: isUp ? 'OK' : 'NOT_READY' });

/** Of a bundle from the command line there is none, null of one that has never come. */
const ageOf = (seconds: number | undefined): object =>
  seconds === undefined ? {} : { age_seconds: Number.isFinite(seconds) ? seconds : null };

/** As OPA logs it; its metrics would fill the log, and are at /metrics. */
function lineOf(report: object): object {
  const { metrics: _metrics, ...rest } = report as { readonly metrics?: unknown };
  return { type: 'openpolicyagent.org/status', ...rest };
}

/** `/status/PARTITION` below the service. */
function addressOf(service: string, partition: string): URL {
  const path = partition.split('/').filter(Boolean).map(encodeURIComponent);
  return new URL(`${service.replace(/\/+$/, '')}/${['status', ...path].join('/')}`);
}
