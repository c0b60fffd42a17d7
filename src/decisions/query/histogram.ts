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

/** Latencies of one phase; µs. `counts` has one more than `bounds`: what is above the last. */
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
  readonly counts: readonly number[];
};
export type HistogramAnswer = { readonly bounds: readonly number[]; readonly series: readonly Series[] };

/** Upper bounds of buckets, µs; fine where the objective is. */
const bounds: readonly number[] = [
  50, 100, 150, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];
const columns = { total: 'latency_us', identity: 'identity_us', eval: 'eval_us' } as const;

/** Values are counted by their first nine binary digits, which is less than half a per cent off. */
const coarse = (column: string): string =>
  `CASE WHEN ${column} < 512 THEN ${column} ELSE (${column} >> (floor(log2(${column}))::BIGINT - 8)) << (floor(log2(${column}))::BIGINT - 8) END`;

/** How long decisions took. Series with the most decisions first; a phase that was not reached does not count. */
export async function histogram(asked: Asked, { filters, by, limit }: HistogramQuestion): Promise<HistogramAnswer> {
  const condition = conditionOf(filters);
  const group = by === 'none' ? 'NULL::VARCHAR' : by;
  const parts = phases.map((phase) => {
    const column = columns[phase];
    // In the identity and the evaluation, 0 means that they did not take place.
    const reached = phase === 'total' ? `${column} >= 0` : `${column} > 0`;
    return `SELECT '${phase}' AS phase, grp, ${coarse(column)} AS us, sum(n) AS n, max(${column}) AS top FROM base WHERE ${reached} GROUP BY ALL`;
  });
  const rows = await askOfView(asked, (view, ask) =>
    ask(
      filesWithin(view.files, filters),
      view.segments,
      (source) =>
        `WITH base AS MATERIALIZED (SELECT ${group} AS grp, latency_us, identity_us, eval_us, count(*) AS n FROM ${source} WHERE ${condition.sql} GROUP BY ALL),
        largest AS (SELECT grp FROM base GROUP BY grp ORDER BY sum(n) DESC, grp LIMIT ${limit})
        SELECT * FROM (${parts.join(' UNION ALL ')}) WHERE grp IN (FROM largest) OR (grp IS NULL AND EXISTS (FROM largest WHERE grp IS NULL)) ORDER BY us`,
      condition.values,
    ),
  );
  const counted = new Map<string, { phase: Phase; value: string | null; us: number[]; n: number[]; max: number }>();
  for (const [phase, value, us, n, top] of rows) {
    const key = JSON.stringify([phase, value]);
    const series = counted.get(key) ?? { phase: phase as Phase, value: value as string | null, us: [], n: [], max: 0 };
    counted.set(key, series);
    series.us.push(Number(us));
    series.n.push(Number(n));
    series.max = Math.max(series.max, Number(top));
  }
  const series = [...counted.values()].map(({ phase, value, us, n, max }) => summary(phase, value, us, n, max));
  return {
    bounds,
    series: series.sort((a, b) => phases.indexOf(a.phase) - phases.indexOf(b.phase) || b.count - a.count),
  };
}

function summary(phase: Phase, value: string | null, us: readonly number[], n: readonly number[], max: number): Series {
  const count = n.reduce((sum, each) => sum + each, 0);
  const quantile = (q: number): number => {
    let left = Math.ceil(q * count);
    for (let i = 0; i < us.length; i++) {
      left -= n[i] ?? 0;
      if (left <= 0) return us[i] ?? 0;
    }
    return max;
  };
  const counts = new Array<number>(bounds.length + 1).fill(0);
  us.forEach((each, i) => {
    const at = bounds.findIndex((bound) => each <= bound);
    const bucket = at < 0 ? bounds.length : at;
    counts[bucket] = (counts[bucket] ?? 0) + (n[i] ?? 0);
  });
  return {
    phase,
    value,
    count,
    p50: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    p999: quantile(0.999),
    max,
    counts,
  };
}
