import type { ColumnName } from '../store/columns.ts';
import { conditionOf, type Filters } from './filters.ts';
import { type Asked, askOfView, filesWithin } from './source.ts';

export const topColumns = [
  'subject',
  'route',
  'reason',
  'outcome',
  'method',
  'host',
  'path',
  'issuer',
  'tenant',
  'spiffe_id',
  'client_ip',
  'http_status',
  'revision',
] as const satisfies readonly ColumnName[];
export type TopQuestion = {
  readonly filters: Filters;
  readonly by: (typeof topColumns)[number];
  readonly limit: number;
};

/** `denied`: how many of them were not let through. Null stands for decisions without such a value. */
export type TopRow = { readonly value: string | null; readonly count: number; readonly denied: number };
export type TopAnswer = { readonly total: number; readonly rows: readonly TopRow[] };

/** What occurs most. */
export async function top(asked: Asked, { filters, by, limit }: TopQuestion): Promise<TopAnswer> {
  const condition = conditionOf(filters);
  const rows = await askOfView(asked, (view, ask) =>
    ask(
      filesWithin(view.files, filters),
      view.segments,
      (source) =>
        `WITH counted AS MATERIALIZED (SELECT ${by}::VARCHAR AS value, count(*) AS n, count(*) FILTER (outcome IS DISTINCT FROM 'allow') AS denied FROM ${source} WHERE ${condition.sql} GROUP BY 1)
        SELECT value, n, denied, (SELECT coalesce(sum(n), 0)::BIGINT FROM counted) FROM counted ORDER BY n DESC, value LIMIT ${limit}`,
      condition.values,
    ),
  );
  return {
    total: Number(rows[0]?.[3] ?? 0),
    rows: rows.map(([value, n, denied]) => ({
      value: value === null ? null : String(value),
      count: Number(n),
      denied: Number(denied),
    })),
  };
}
