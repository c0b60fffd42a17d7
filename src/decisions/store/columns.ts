/*
 * The table `decisions`, once: names and types as they are in Parquet files, and in what people ask. `rest` is the event
 * without `input` and `result`, which have columns of their own; together they are the event again.
 */

type ColumnType = 'TIMESTAMPTZ' | 'VARCHAR' | 'INTEGER' | 'BIGINT' | 'JSON';

const types = {
  time: 'TIMESTAMPTZ',
  decision_id: 'VARCHAR',
  outcome: 'VARCHAR',
  reason: 'VARCHAR',
  http_status: 'INTEGER',
  method: 'VARCHAR',
  host: 'VARCHAR',
  path: 'VARCHAR',
  route: 'VARCHAR',
  subject: 'VARCHAR',
  issuer: 'VARCHAR',
  tenant: 'VARCHAR',
  spiffe_id: 'VARCHAR',
  client_ip: 'VARCHAR',
  entrypoint: 'VARCHAR',
  revision: 'VARCHAR',
  latency_us: 'BIGINT',
  identity_us: 'BIGINT',
  eval_us: 'BIGINT',
  trace_id: 'VARCHAR',
  input: 'JSON',
  result: 'JSON',
  process: 'VARCHAR',
  seq: 'BIGINT',
  rest: 'VARCHAR',
} as const satisfies { readonly [name: string]: ColumnType };

export type ColumnName = keyof typeof types;
/** `time` is in µs since the epoch. */
export type Row = {
  readonly [Name in ColumnName]: (typeof types)[Name] extends 'VARCHAR' | 'JSON' ? string | null : number | null;
} & { readonly time: number; readonly decision_id: string; readonly rest: string };

export const columnNames = Object.keys(types) as readonly ColumnName[];
export const columnType = (name: ColumnName): ColumnType => types[name];
export const columnList = columnNames.join(', ');
/** Those that statements in SQL see. */
export const publicColumns: readonly ColumnName[] = columnNames.filter((name) => name !== 'rest');

/** The event that a row was made of, as JSON. */
export function eventText({ rest, input, result }: Pick<Row, 'rest' | 'input' | 'result'>): string {
  const more = [
    ...(input === null ? [] : [`"input":${input}`]),
    ...(result === null ? [] : [`"result":${result}`]),
  ].join(',');
  if (more === '') return rest;
  const head = rest.slice(0, -1);
  return head === '{' ? `{${more}}` : `${head},${more}}`;
}
