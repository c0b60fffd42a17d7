import { type ColumnName, columnNames } from '../../decisions/store/columns.ts';
import { readLine } from '../../decisions/store/line.ts';
import type { Cells } from './render.ts';
import { table } from './render.ts';

/** What is told of each decision where there is little room. */
export const shortColumns: readonly ColumnName[] = [
  'time',
  'outcome',
  'reason',
  'http_status',
  'method',
  'host',
  'path',
  'subject',
  'latency_us',
  'decision_id',
];
const wide: readonly ColumnName[] = columnNames.filter(
  (name) => !['input', 'result', 'rest', 'process', 'seq', 'route'].includes(name),
);

/** Columns of an event. */
export function cellsOf(event: string, columns: readonly ColumnName[]): Cells {
  // The route is a matter of all decisions, which are not here.
  const line = readLine(event, { process: '', createdMs: 0 }, { routeOf: () => '' });
  if (line.kind !== 'row') return columns.map(() => null);
  return columns.map((name) => (name === 'time' ? timeOf(line.row.time) : line.row[name]));
}

const timeOf = (us: number): string =>
  `${new Date(us / 1000).toISOString().slice(0, 19)}.${String(us % 1_000_000).padStart(6, '0')}Z`;

/** One event, a line for each column, and then itself. */
export function describeEvent(event: string): string {
  const cells = cellsOf(event, wide);
  const rows = wide.flatMap((name, i) => (cells[i] === null ? [] : [[name, String(cells[i])]]));
  return `${table(['', ''], rows).split('\n').slice(2).join('\n')}${JSON.stringify(JSON.parse(event), null, 2)}\n`;
}
