import type { MetricValues } from './metrics.ts';

type Labels = { readonly [name: string]: unknown };
type Sample = { readonly value: number; readonly labels: Labels; readonly metricName?: string };

/**
 * Metrics as OPA's status reports have them: `MetricFamily` of Prometheus' client model (io.prometheus.client) in
 * ProtoJSON, where 64-bit numbers are texts.
 */
export const metricFamilies = (metrics: readonly MetricValues[]): { readonly [name: string]: object } =>
  Object.fromEntries(metrics.map((metric) => [metric.name, familyOf(metric)]));

function familyOf({ name, help, type, values }: MetricValues): object {
  // prom-client calls kinds by name, and declares them as numbers.
  const kind = String(type);
  const samples: readonly Sample[] = values;
  const metric =
    kind === 'histogram' || kind === 'summary'
      ? distributionsOf(name, kind, samples)
      : samples.map(({ labels, value }) => ({ ...labelled(labels), [kind]: { value: numberOf(value) } }));
  return { name, help, type: kind.toUpperCase(), metric };
}

function distributionsOf(name: string, kind: 'histogram' | 'summary', samples: readonly Sample[]): readonly object[] {
  const bound = kind === 'histogram' ? 'le' : 'quantile';
  const groups = new Map<string, { readonly labels: Labels; readonly samples: Sample[] }>();
  for (const sample of samples) {
    const labels = Object.fromEntries(Object.entries(sample.labels).filter(([label]) => label !== bound));
    const key = JSON.stringify(Object.entries(labels).sort());
    const group = groups.get(key) ?? { labels, samples: [] };
    group.samples.push(sample);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ labels, samples: own }) => {
    const last = (suffix: string): number => own.find(({ metricName }) => metricName === name + suffix)?.value ?? 0;
    const at = own.filter(({ labels: all }) => all[bound] !== undefined && all[bound] !== '+Inf');
    const sums = { sampleCount: String(last('_count')), sampleSum: numberOf(last('_sum')) };
    const steps =
      kind === 'histogram'
        ? { bucket: at.map(({ labels: all, value }) => ({ cumulativeCount: String(value), upperBound: all[bound] })) }
        : { quantile: at.map(({ labels: all, value }) => ({ quantile: all[bound], value: numberOf(value) })) };
    return { ...labelled(labels), [kind]: { ...sums, ...steps } };
  });
}

const labelled = (labels: Labels): object => {
  const label = Object.entries(labels).map(([name, value]) => ({ name, value: String(value) }));
  return label.length === 0 ? {} : { label };
};

const numberOf = (value: number): number | string => {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
};
