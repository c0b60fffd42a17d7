import type { ColumnName, Row } from '../store/columns.ts';
import type { Values } from '../store/database.ts';

/** Which decisions are asked for. Times in µs since the epoch; `until` itself is not meant any more. */
export type Filters = {
  readonly since?: number;
  readonly until?: number;
  readonly outcome?: string;
  readonly reason?: string;
  readonly subject?: string;
  readonly method?: string;
  readonly host?: string;
  /** A prefix. */
  readonly path?: string;
  readonly route?: string;
  readonly min_latency_us?: number;
};

/** Filters that a column must equal. */
const equal = ['outcome', 'reason', 'subject', 'method', 'host', 'route'] as const satisfies readonly ColumnName[];

export type Condition = { readonly sql: string; readonly values: Values };

/** The filters as a condition. Names come from the list above; what was asked for goes in as values. */
export function conditionOf(filters: Filters): Condition {
  const terms: string[] = [];
  const values: { [name: string]: string | bigint } = {};
  const add = (term: string, name: string, value: string | bigint): void => {
    terms.push(term);
    values[name] = value;
  };
  const { since, until, path, min_latency_us: latency } = filters;
  if (since !== undefined) add('time >= make_timestamptz($since::BIGINT)', 'since', BigInt(since));
  if (until !== undefined) add('time < make_timestamptz($until::BIGINT)', 'until', BigInt(until));
  for (const name of equal) {
    const value = filters[name];
    if (value !== undefined) add(`${name} = $${name}`, name, value);
  }
  if (path !== undefined) add('starts_with(path, $path)', 'path', path);
  if (latency !== undefined) add('latency_us >= $latency::BIGINT', 'latency', BigInt(latency));
  return { sql: terms.length === 0 ? 'true' : terms.join(' AND '), values };
}

/** The same, for one row. */
export function matches(row: Row, filters: Filters): boolean {
  const { since, until, path, min_latency_us: latency } = filters;
  return (
    (since === undefined || row.time >= since) &&
    (until === undefined || row.time < until) &&
    equal.every((name) => filters[name] === undefined || row[name] === filters[name]) &&
    (path === undefined || row.path?.startsWith(path) === true) &&
    (latency === undefined || (row.latency_us ?? -1) >= latency)
  );
}
