import { Histogram, type Registry } from 'prom-client';
import { instrumentsIn } from './instruments.ts';

export type StatusMetricsOptions = {
  readonly version: string;
  /** Upper bounds, ns. */
  readonly buckets: readonly number[];
};

/** What came of a look at a bundle, in the words of OPA's status API. */
export type LookedAt = {
  readonly name: string;
  readonly active_revision?: string;
  readonly last_request?: string;
  readonly last_successful_request?: string;
  readonly last_successful_download?: string;
  readonly last_successful_activation?: string;
  readonly metrics?: { readonly [timer: string]: number };
  readonly code?: string;
  readonly message?: string;
};

export type StatusMetrics = {
  readonly bundleLooked: (status: LookedAt) => void;
  /** State of each part, at scrape time. */
  readonly observeStates: (states: () => { readonly [part: string]: { readonly state: string } }) => void;
};

/** Of one bundle; further ones are counted as one. */
const MAX_MESSAGES = 20;
const MAX_LABEL = 200;

/**
 * The metrics of OPA's status plugin (https://www.openpolicyagent.org/docs/management-status): names, labels and units as
 * they are there, nanoseconds that is. Times that have not been yet are left out.
 */
export function createStatusMetrics(registry: Registry, { version, buckets }: StatusMetricsOptions): StatusMetrics {
  const { counter, gauge, gaugesOf } = instrumentsIn(registry);
  gauge('opa_info', 'Information about the environment.', ['version']).set({ version }, 1);
  const loaded = counter('bundle_loaded_counter', 'Looks at a bundle after which it was current.', ['name']);
  const failed = counter('bundle_failed_load_counter', 'Looks at a bundle that failed.', ['name', 'code', 'message']);
  const duration = new Histogram({
    name: 'bundle_loading_duration_ns',
    help: 'Time that looking at a bundle took, by stage.',
    labelNames: ['name', 'stage'] as const,
    buckets: [...buckets],
    registers: [registry],
  });
  const activation = gauge('last_success_bundle_activation', 'When a bundle was last activated.', [
    'name',
    'active_revision',
  ]);
  const request = gauge('last_bundle_request', 'When a bundle was last asked for.', ['name']);
  const answer = gauge('last_success_bundle_request', 'When its source last answered.', ['name']);
  const download = gauge('last_success_bundle_download', 'When a bundle last came.', ['name']);
  const revisions = new Map<string, string>();
  const messageFor = createMessages();

  function setActivation(name: string, revision: string, time: string | undefined): void {
    const before = revisions.get(name);
    if (before !== undefined && before !== revision) activation.remove({ name, active_revision: before });
    if (time === undefined) return;
    revisions.set(name, revision);
    activation.set({ name, active_revision: revision }, nanoseconds(time));
  }

  return {
    bundleLooked: (status) => {
      const { name, code, message = '' } = status;
      if (code === undefined) loaded.inc({ name });
      else failed.inc({ name, code, message: messageFor(name, message) });
      for (const [stage, took] of Object.entries(status.metrics ?? {})) duration.observe({ name, stage }, took);
      setActivation(name, (status.active_revision ?? '').slice(0, MAX_LABEL), status.last_successful_activation);
      for (const [when, time] of [
        [request, status.last_request],
        [answer, status.last_successful_request],
        [download, status.last_successful_download],
      ] as const) {
        if (time !== undefined) when.set({ name }, nanoseconds(time));
      }
    },
    observeStates: (states) => {
      gaugesOf('plugin_status_gauge', 'State of each part.', ['name', 'status'], () =>
        Object.entries(states()).map(([name, { state }]) => [{ name, status: state }, 1]),
      );
    },
  };
}

const nanoseconds = (time: string): number => Date.parse(time) * 1e6;

/** Messages as labels: each is a time series for ever, so that there are only so many of them. */
function createMessages(): (bundle: string, message: string) => string {
  const known = new Map<string, Set<string>>();
  return (bundle, message) => {
    const messages = known.get(bundle) ?? new Set<string>();
    known.set(bundle, messages);
    const label = message.slice(0, MAX_LABEL);
    if (!messages.has(label) && messages.size >= MAX_MESSAGES) return 'other';
    messages.add(label);
    return label;
  };
}
