import type { Value } from '../store/database.ts';
import { conditionOf, type Filters } from './filters.ts';
import { type Asked, askOfView, filesWithin } from './source.ts';

export const histogramGroups = ['none', 'route', 'outcome', 'reason', 'method', 'host'] as const;
export type HistogramQuestion = {
  readonly filters: Filters;
  readonly by: (typeof histogramGroups)[number];
  /** Most series of each phase. */
  readonly limit: number;
};

export const phases = ['total', 'identity', 'eval'] as const;
export type Phase = (typeof phases)[number];

/** Latencies of one phase; µs. */
export type Series = {
  readonly phase: Phase;
  /** Of the group; null for all decisions, or those without such a value. */
  readonly value: string | null;
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** How many per bucket, and one more for those above the last bound; only of all decisions, not of groups. */
  readonly counts?: readonly number[];
};
export type HistogramAnswer = { readonly bounds: readonly number[]; readonly series: readonly Series[] };

/** Upper bounds of buckets, µs; fine where the objective is. */
const bounds: readonly number[] = [
  50, 100, 150, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];
const columns = { total: 'latency_us', identity: 'identity_us', eval: 'eval_us' } as const;
/** In the identity and the evaluation, 0 means that they did not take place. */
const reached = { total: 'latency_us >= 0', identity: 'identity_us > 0', eval: 'eval_us > 0' } as const;
const QUANTILES = [0.5, 0.9, 0.99, 0.999];
/** More than half an hour is as good as half an hour, and takes half the memory. */
const MAX_US = 2_147_483_647;

/** How long decisions took, exactly. Groups with the most decisions first; phases that were not reached do not count. */
export function histogram(asked: Asked, { filters, by, limit }: HistogramQuestion): Promise<HistogramAnswer> {
  const condition = conditionOf(filters);
  const group = by === 'none' ? 'NULL::VARCHAR' : by;
  const summaries = phases.map((phase) => {
    const [column, where] = [columns[phase], reached[phase]];
    const quantiles = `quantile_disc(least(${column}, ${MAX_US})::INTEGER, [${QUANTILES.join(', ')}]) FILTER (${where})`;
    return `count(*) FILTER (${where}), max(${column}), array_to_string(${quantiles}, ' ')`;
  });
  return askOfView(asked, async (view, ask) => {
    const files = filesWithin(view.files, filters);
    const groups = await ask(
      files,
      view.segments,
      (source) =>
        `SELECT ${group}, ${summaries.join(', ')} FROM ${source} WHERE ${condition.sql} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT ${limit}`,
      condition.values,
    );
    const counts =
      by === 'none'
        ? await ask(
            files,
            view.segments,
            (source) =>
              `SELECT ${phases.map(bucketOf).join(', ')}, count(*) FROM ${source} WHERE ${condition.sql} GROUP BY 1, 2, 3`,
            condition.values,
          )
        : undefined;
    const series = phases.flatMap((phase, i) => groups.flatMap((row) => seriesOf(phase, i, row, counts)));
    return { bounds, series };
  });
}

/** The number of the bucket; null where the phase was not reached. */
function bucketOf(phase: Phase): string {
  const column = columns[phase];
  const cases = bounds.map((bound, i) => `WHEN ${column} <= ${bound} THEN ${i}`);
  return `(CASE WHEN NOT coalesce(${reached[phase]}, false) THEN NULL ${cases.join(' ')} ELSE ${bounds.length} END)::UTINYINT`;
}

function seriesOf(
  phase: Phase,
  at: number,
  row: readonly Value[],
  buckets: readonly (readonly Value[])[] | undefined,
): readonly Series[] {
  const [count, max, quantiles] = row.slice(1 + 3 * at);
  if (Number(count) === 0) return [];
  const [p50 = 0, p90 = 0, p99 = 0, p999 = 0] = String(quantiles).split(' ').map(Number);
  const value = row[0] === null || row[0] === undefined ? null : String(row[0]);
  const summary = { phase, value, count: Number(count), p50, p90, p99, p999, max: Number(max) };
  if (buckets === undefined) return [summary];
  const counts = new Array<number>(bounds.length + 1).fill(0);
  for (const bucket of buckets) {
    const number = bucket[at];
    if (number !== null) counts[Number(number)] = (counts[Number(number)] ?? 0) + Number(bucket[phases.length]);
  }
  return [{ ...summary, counts }];
}
