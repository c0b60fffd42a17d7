import {
  AggregatorRegistry,
  type Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import type { DecisionRecord, OutcomeClass, ReasonLabel } from '../model/record.ts';
import { instrumentsIn } from './instruments.ts';
import { createStatusMetrics, type StatusMetrics, type StatusMetricsOptions } from './status-metrics.ts';
import { createStoreMetrics, type StoreMetrics } from './store-metrics.ts';
import { distributionsIn, talliesIn } from './tallies.ts';
import { createUploadMetrics, type UploadMetrics } from './upload-metrics.ts';
import { createWalMetrics, type WalMetrics } from './wal-metrics.ts';

/** 50 µs to 25 ms closely, where the objective is, then coarsely. Seconds. */
const LATENCY_BUCKETS = [
  0.00005, 0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05,
  0.1, 0.25, 1,
];

export type MetricsOptions = {
  /** Also opa-envoy-plugin's two metrics. */
  readonly peerMetrics: boolean;
  /** Upper bounds, seconds. */
  readonly peerBuckets: readonly number[];
  /** Also those of OPA's status plugin; undefined: not. */
  readonly status?: StatusMetricsOptions | undefined;
};

export type Observed = {
  readonly isReady: () => boolean;
  readonly wasmMemoryBytes: () => number;
  /** Seconds since each issuer's keys were fetched; Infinity where there are none. */
  readonly keyAges: () => readonly (readonly [issuer: string, seconds: number])[];
  /** Seconds since each bundle was last confirmed; Infinity where it never was. */
  readonly bundleAges: () => readonly (readonly [bundle: string, seconds: number])[];
  /** Of the discovery bundle, if there is one; `waiting` are sections of the configuration that need a start. */
  readonly discovery?: { readonly isFailing: () => boolean; readonly waiting: () => readonly string[] } | undefined;
};

/** Every metric, label and bucket of Postern; what is counted elsewhere is reported through these functions. */
export type Metrics = StatusMetrics &
  StoreMetrics & {
    readonly decided: (record: DecisionRecord) => void;
    readonly refused: (outcome: OutcomeClass, reason: ReasonLabel) => void;
    /** A call's turn has come, so long after the event loop turned to what it came with. */
    readonly waited: (delayMs: number) => void;
    readonly bundleActivated: (bundle: string, atMs: number) => void;
    readonly bundleFailed: (bundle: string) => void;
    /** A status report has arrived, or has not. */
    readonly statusSent: (ok: boolean) => void;
    readonly tokenLookedUp: (hit: boolean) => void;
    readonly keysFetched: (issuer: string, ok: boolean) => void;
    /** Lines that one sink has written. */
    readonly logWritten: (count: number, sink: string) => void;
    /** Decisions lost for one sink; without a name, for all. */
    readonly logDropped: (count: number, sink?: string) => void;
    readonly logFailed: () => void;
    readonly logDroppedByPolicy: () => void;
    /** A policy's rule about the log could not be asked, or followed. */
    readonly logRuleFailed: (rule: 'drop' | 'mask') => void;
    /** Of the log on the disk; made when there is one. */
    readonly wal: () => WalMetrics;
    /** Of decisions that are sent to a service; made when they are. `wallMs`: the time of now. */
    readonly upload: (wallMs: () => number) => UploadMetrics;
    /** When the server's certificate ends, ms since the epoch. */
    readonly tlsExpires: (atMs: number) => void;
    readonly tlsReloadFailed: () => void;
    readonly tlsRefused: (listener: string, reason: string) => void;
    /** A database is in use that was built then, ms since the epoch. */
    readonly geoipLoaded: (file: string, builtMs: number) => void;
    readonly geoipReloadFailed: (file: string) => void;
    readonly geoipLookupFailed: (file: string) => void;
    /** How many connections of this worker carry checks. */
    readonly observeConnections: (worker: number, count: () => number) => void;
    /** Values read at scrape time. */
    readonly observe: (sources: Observed) => void;
    readonly contentType: string;
    /** The Prometheus text exposition of now. */
    readonly expose: () => Promise<string>;
    /** What `expose` tells, of all processes. */
    readonly gather: () => Promise<readonly MetricValues[]>;
    /** Of this process, in a form that crosses processes. */
    readonly values: () => Promise<readonly MetricValues[]>;
    /** From now on the exposition has the values of other processes added; `read` never rejects. */
    readonly include: (read: () => Promise<readonly (readonly MetricValues[])[]>) => void;
    readonly workerLost: () => void;
  };

/** One metric with its values. */
export type MetricValues = MetricObjectWithValues<MetricValue<string>>;

const sumOf = (processes: readonly (readonly MetricValues[])[]): Registry =>
  AggregatorRegistry.aggregate(processes.map((metrics) => [...metrics]));

/** What processes have counted, without what they were at the time: so much stays when they are gone. */
export const totalsOf = async (processes: readonly (readonly MetricValues[])[]): Promise<readonly MetricValues[]> =>
  sumOf(
    processes.map((metrics) =>
      metrics.filter(({ type }) => String(type) === 'counter' || String(type) === 'histogram'),
    ),
  ).getMetricsAsJSON();

/** What was made for each key; there are few. */
function perKey<K, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) {
      value = make(key);
      made.set(key, value);
    }
    return value;
  };
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const { counter, gaugeOf, gaugesOf } = instrumentsIn(registry);
  collectDefaultMetrics({ register: registry });
  // Gauges that end in _total, which promtool refuses.
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`);

  const checksOf = distributionsIn(registry, {
    name: 'postern_check_duration_seconds',
    help: 'Time from the decoded request to the decision.',
    labelNames: ['outcome'],
    buckets: LATENCY_BUCKETS,
  });
  const checks = perKey((outcome: OutcomeClass) => checksOf({ outcome }));
  const phase = distributionsIn(registry, {
    name: 'postern_check_phase_duration_seconds',
    help: 'Time spent in one phase of a check.',
    labelNames: ['phase'],
    buckets: LATENCY_BUCKETS,
  });
  const phases = {
    identity: phase({ phase: 'identity' }),
    input: phase({ phase: 'input' }),
    evaluation: phase({ phase: 'evaluation' }),
  };
  const waits = distributionsIn(registry, {
    name: 'postern_queue_delay_seconds',
    help: 'Time that calls which were let in waited for their turn.',
    labelNames: [],
    buckets: LATENCY_BUCKETS,
  })({});
  const decisionsOf = talliesIn(registry, {
    name: 'postern_decisions_total',
    help: 'Decisions by outcome and reason.',
    labelNames: ['outcome', 'reason'],
  });
  const decisions = perKey((outcome: OutcomeClass) =>
    perKey((reason: ReasonLabel) => decisionsOf({ outcome, reason })),
  );
  const bundleTime = new Gauge({
    name: 'postern_bundle_last_activation_timestamp_seconds',
    help: 'When a bundle was last activated.',
    labelNames: ['bundle'] as const,
    aggregator: 'max',
    registers,
  });
  const bundleFailures = counter(
    'postern_bundle_failures_total',
    'Bundles that could not be fetched, read or activated.',
    ['bundle'],
  );
  const reports = counter('postern_status_reports_total', 'Status reports that arrived or failed.', ['result']);
  const tokens = talliesIn(registry, {
    name: 'postern_token_cache_lookups_total',
    help: 'Look-ups in the cache of verified tokens.',
    labelNames: ['result'],
  });
  const [tokenHits, tokenMisses] = [tokens({ result: 'hit' }), tokens({ result: 'miss' })];
  const keys = counter('postern_key_set_fetches_total', "Fetches of an issuer's key set.", ['issuer', 'result']);
  const logLines = counter(
    'postern_decision_log_records_total',
    'Decision log records that were written or dropped, by sink.',
    ['result', 'sink'],
  );
  const logErrors = counter('postern_decision_log_errors_total', 'Failures to write the decision log.');
  const droppedByPolicy = counter(
    'postern_decision_log_dropped_by_policy_total',
    "Decisions that are not logged because the policy's drop rule says so.",
  );
  const ruleFailures = counter(
    'postern_decision_log_rule_failures_total',
    'Decisions whose mask or drop rule could not be asked or followed.',
    ['rule'],
  );
  for (const rule of ['drop', 'mask']) ruleFailures.inc({ rule }, 0);
  const tls = createTlsMetrics(registry);
  const geoip = createGeoipMetrics(registry);
  const status = options.status === undefined ? undefined : createStatusMetrics(registry, options.status);
  const peer = options.peerMetrics ? createPeerMetrics(registry, options.peerBuckets) : undefined;
  logLines.inc({ result: 'dropped', sink: 'all' }, 0);

  let others: (() => Promise<readonly (readonly MetricValues[])[]>) | undefined;
  let lost: Counter | undefined;

  const seconds = (ms: number): number => ms / 1000;
  return {
    decided: (record) => {
      const { timings, outcome, reason } = record;
      decisions(outcome)(reason).value++;
      checks(outcome)(seconds(timings.totalMs));
      phases.identity(seconds(timings.identityMs));
      phases.input(seconds(timings.inputMs));
      phases.evaluation(seconds(timings.evaluationMs));
      peer?.decided(record);
    },
    refused: (outcome, reason) => {
      decisions(outcome)(reason).value++;
    },
    waited: (delayMs) => waits(seconds(delayMs)),
    bundleActivated: (bundle, atMs) => bundleTime.set({ bundle }, seconds(atMs)),
    bundleFailed: (bundle) => bundleFailures.inc({ bundle }),
    bundleLooked: (looked) => status?.bundleLooked(looked),
    observeStates: (states) => status?.observeStates(states),
    statusSent: (ok) => reports.inc({ result: ok ? 'sent' : 'failed' }),
    tokenLookedUp: (hit) => {
      (hit ? tokenHits : tokenMisses).value++;
    },
    keysFetched: (issuer, ok) => keys.inc({ issuer, result: ok ? 'ok' : 'failed' }),
    logWritten: (count, sink) => logLines.inc({ result: 'written', sink }, count),
    logDropped: (count, sink = 'all') => logLines.inc({ result: 'dropped', sink }, count),
    logFailed: () => logErrors.inc(),
    logDroppedByPolicy: () => droppedByPolicy.inc(),
    logRuleFailed: (rule) => ruleFailures.inc({ rule }),
    upload: (wallMs) => createUploadMetrics(registry, wallMs),
    wal: () => createWalMetrics(registry, ['overflow', 'error', 'disk_full']),
    ...tls,
    ...geoip,
    ...createStoreMetrics(registry),
    observe: ({ isReady, wasmMemoryBytes, keyAges, bundleAges, discovery }) => {
      const ready = 'Whether requests can be decided (1) or are all refused (0).';
      gaugeOf('postern_ready', ready, 'max', () => Number(isReady()));
      if (discovery !== undefined) {
        const failing = 'Whether the last look at the discovery bundle failed (1).';
        gaugeOf('postern_discovery_failing', failing, 'max', () => Number(discovery.isFailing()));
        const waits = 'Whether a discovered configuration waits for a start (1).';
        gaugeOf('postern_discovery_waiting', waits, 'max', () => Number(discovery.waiting().length > 0));
      }
      gaugeOf('postern_wasm_memory_bytes', 'Linear memory of the active policy.', 'sum', wasmMemoryBytes);
      const bundles = 'Time since the source of a bundle last said that it is current; +Inf when it never did.';
      gaugesOf('postern_bundle_age_seconds', bundles, ['bundle'], () =>
        bundleAges().map(([bundle, seconds]) => [{ bundle }, seconds]),
      );
      const keys = "Time since an issuer's keys were fetched; +Inf when there are none.";
      gaugesOf('postern_jwks_age_seconds', keys, ['issuer'], () =>
        keyAges().map(([issuer, seconds]) => [{ issuer }, seconds]),
      );
    },
    observeConnections: (worker, count) => {
      const help =
        'Connections that carry checks, by worker; those of probes, and those that were sent away, are left out.';
      gaugesOf('postern_connections', help, ['worker'], () => [[{ worker: String(worker) }, count()]]);
    },
    contentType: registry.contentType,
    expose: async () => {
      if (others === undefined) return registry.metrics();
      return sumOf([await registry.getMetricsAsJSON(), ...(await others())]).metrics();
    },
    gather: async () => {
      const own = await registry.getMetricsAsJSON();
      return others === undefined ? own : sumOf([own, ...(await others())]).getMetricsAsJSON();
    },
    values: () => registry.getMetricsAsJSON(),
    include: (read) => {
      others = read;
      lost = counter('postern_workers_lost_total', 'Workers that ended, or had to be ended, and were replaced.');
    },
    workerLost: () => lost?.inc(),
  };
}

function createTlsMetrics(registry: Registry): Pick<Metrics, 'tlsExpires' | 'tlsReloadFailed' | 'tlsRefused'> {
  const { counter } = instrumentsIn(registry);
  const failures = counter(
    'postern_tls_reload_failures_total',
    'Changed certificate files, or answers of the Workload API, that could not be used or had; what was before serves.',
  );
  const refused = counter(
    'postern_tls_refused_connections_total',
    'Connections that were refused in or after the TLS handshake.',
    ['listener', 'reason'],
  );
  let expiry: Gauge | undefined;
  return {
    tlsExpires: (atMs) => {
      // Made late: without a certificate it would say 1970, which is an alert.
      expiry ??= new Gauge({
        name: 'postern_tls_certificate_expiry_timestamp_seconds',
        help: "When the server's TLS certificate expires.",
        aggregator: 'min',
        registers: [registry],
      });
      expiry.set(atMs / 1000);
    },
    tlsReloadFailed: () => failures.inc(),
    tlsRefused: (listener, reason) => refused.inc({ listener, reason }),
  };
}

function createGeoipMetrics(
  registry: Registry,
): Pick<Metrics, 'geoipLoaded' | 'geoipReloadFailed' | 'geoipLookupFailed'> {
  const labelNames = ['file'] as const;
  const { counter, gauge } = instrumentsIn(registry);
  const built = gauge(
    'postern_geoip_database_build_timestamp_seconds',
    'When the geo database in use was built.',
    labelNames,
  );
  const reloads = counter(
    'postern_geoip_reload_failures_total',
    'Looks at changed geo databases that could not be used; the database before keeps serving.',
    labelNames,
  );
  const lookups = counter(
    'postern_geoip_lookup_failures_total',
    'Look-ups of addresses whose record in the geo database could not be read.',
    labelNames,
  );
  return {
    geoipLoaded: (file, builtMs) => {
      built.set({ file }, builtMs / 1000);
      // So that the first failure is an increase.
      for (const failures of [reloads, lookups]) failures.inc({ file }, 0);
    },
    geoipReloadFailed: (file) => reloads.inc({ file }),
    geoipLookupFailed: (file) => lookups.inc({ file }),
  };
}

/** Codes that opa-envoy-plugin counts errors by (internal/errors.go). */
const peerErrors: { readonly [reason in ReasonLabel]?: string } = {
  request_unreadable: 'request_parse_error',
  path_ambiguous: 'request_parse_error',
  query_unreadable: 'request_parse_error',
  body_unreadable: 'request_parse_error',
  deadline_expired: 'check_request_timeout',
  evaluation_timeout: 'check_request_timeout',
  evaluation_error: 'envoyauth_eval_error',
  evaluation_trap: 'envoyauth_eval_error',
  out_of_memory: 'envoyauth_eval_error',
  decision_undefined: 'envoyauth_eval_error',
  decision_invalid: 'envoyauth_result_error',
  log_unavailable: 'start_check_error',
};

function createPeerMetrics(registry: Registry, buckets: readonly number[]): Pick<Metrics, 'decided'> {
  const duration = new Histogram({
    name: 'grpc_request_duration_seconds',
    help: 'Time a check took, as opa-envoy-plugin names it.',
    labelNames: ['handler'] as const,
    buckets: [...buckets],
    registers: [registry],
  });
  const errors = instrumentsIn(registry).counter(
    'error_counter',
    'Checks that ended in an error, as opa-envoy-plugin names it.',
    ['reason'],
  );
  return {
    decided: ({ reason, timings }) => {
      duration.observe({ handler: 'check' }, timings.totalMs / 1000);
      const error = peerErrors[reason];
      if (error !== undefined) errors.inc({ reason: error });
    },
  };
}
