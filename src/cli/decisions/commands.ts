import { once } from 'node:events';
import { topColumns } from '../../decisions/query/top.ts';
import { messageOf } from '../../lib/message.ts';
import type { Io, OpenDecisions } from '../ports.ts';
import { drawHistogram, drawTop } from './draw.ts';
import { cellsOf, describeEvent, shortColumns } from './events.ts';
import { type Cells, csvLine, type OutputFormat, rendered, table } from './render.ts';
import { askFiles, askServerOver, type DecisionSource, type ServerFlags, type Texts } from './source.ts';

export type SourceFlags = ServerFlags & { readonly path?: string; readonly format: OutputFormat };
export type FilterFlags = {
  readonly since?: string;
  readonly until?: string;
  readonly outcome?: string;
  readonly reason?: string;
  readonly subject?: string;
  readonly method?: string;
  readonly host?: string;
  readonly requestPath?: string;
  readonly route?: string;
  readonly minLatencyUs?: string;
};
export type DecisionsFlags = SourceFlags & FilterFlags & { readonly limit?: string; readonly by?: string };

export type Act = (source: DecisionSource, write: (text: string) => Promise<void>) => Promise<number>;

/** Opens what the flags name, does one thing with it, and closes it. Returns the exit code: 1 when there is no answer. */
export async function withSource(flags: SourceFlags, io: Io, open: OpenDecisions, act: Act): Promise<number> {
  let source: DecisionSource | undefined;
  let gone = false;
  io.stdout.on('error', () => (gone = true));
  const write = async (text: string): Promise<void> => {
    if (!gone && !io.stdout.write(text)) await once(io.stdout, 'drain');
  };
  try {
    source = await sourceOf(flags, io, open);
    return await act(source, write);
  } catch (error) {
    for (const line of messageOf(error).split('\n')) io.stderr.write(`postern: ${line}\n`);
    return source === undefined ? 2 : 1;
  } finally {
    await source?.close();
  }
}

async function sourceOf(flags: SourceFlags, io: Io, open: OpenDecisions): Promise<DecisionSource> {
  if (flags.path === undefined) return askServerOver(flags);
  const { queries, close } = await open(flags.path, io);
  return askFiles(queries, close);
}

export const list =
  (flags: DecisionsFlags, limit: number): Act =>
  async (source, write) => {
    const events: string[] = [];
    for await (const event of source.list(filters(flags), limit)) {
      if (flags.format === 'ndjson') await write(`${event}\n`);
      else events.push(event);
    }
    if (flags.format === 'json') await write(`[${events.join(',')}]\n`);
    if (flags.format === 'table' || flags.format === 'csv') {
      const rows = events.map((event) => cellsOf(event, shortColumns));
      await write(rendered(flags.format, shortColumns, rows));
    }
    return 0;
  };

export const show =
  (flags: DecisionsFlags, id: string): Act =>
  async (source, write) => {
    const event = await source.show(id);
    if (event === undefined) throw new Error('there is no such decision');
    if (flags.format === 'table') await write(describeEvent(event));
    else if (flags.format === 'csv') await write(rendered('csv', shortColumns, [cellsOf(event, shortColumns)]));
    else await write(`${event}\n`);
    return 0;
  };

/** Until it is told to stop. */
export const tail =
  (flags: DecisionsFlags, io: Io): Act =>
  async (source, write) => {
    const stopped = new AbortController();
    void io.stopRequested().then(() => stopped.abort());
    if (flags.format === 'csv') await write(csvLine(shortColumns));
    try {
      for await (const event of source.tail(filters(flags), stopped.signal)) {
        if (typeof event !== 'string') io.stderr.write(`postern: ${event.left} decisions were left out\n`);
        else if (flags.format === 'csv') await write(csvLine(cellsOf(event, shortColumns)));
        else if (flags.format === 'table') await write(lineOf(cellsOf(event, shortColumns)));
        else await write(`${event}\n`);
      }
    } catch (error) {
      if (!stopped.signal.aborted) throw error;
    }
    return 0;
  };

/** Without a head, since there is no end. */
const lineOf = (cells: Cells): string => `${table(shortColumns, [cells]).split('\n')[2] ?? ''}\n`;

export const top =
  (flags: DecisionsFlags): Act =>
  async (source, write) => {
    const by = flags.by ?? topColumns[0];
    const answer = await source.top({ ...filters(flags), by, ...limitOf(flags) });
    if (flags.format === 'table') await write(drawTop(by, answer));
    else if (flags.format === 'json') await write(`${JSON.stringify(answer)}\n`);
    else {
      const rows = answer.rows.map(({ value, count, denied }) => [value, count, denied]);
      await write(rendered(flags.format, [by, 'count', 'denied'], rows));
    }
    return 0;
  };

const seriesColumns = ['phase', 'value', 'count', 'p50', 'p90', 'p99', 'p999', 'max'] as const;

export const histogram =
  (flags: DecisionsFlags): Act =>
  async (source, write) => {
    const by: Texts = flags.by === undefined ? {} : { by: flags.by };
    const answer = await source.histogram({ ...filters(flags), ...by, ...limitOf(flags) });
    if (flags.format === 'table') await write(drawHistogram(answer, flags.by ?? ''));
    else if (flags.format === 'json') await write(`${JSON.stringify(answer)}\n`);
    else {
      const rows = answer.series.map((series) => seriesColumns.map((name) => series[name]));
      await write(rendered(flags.format, seriesColumns, rows));
    }
    return 0;
  };

export const query =
  (flags: DecisionsFlags, sql: string, io: Io): Act =>
  async (source, write) => {
    const { columns, rows, truncated } = await source.query(sql);
    const head = columns.map(({ name }) => name);
    if (flags.format === 'json') await write(`${JSON.stringify({ columns, rows, truncated })}\n`);
    else await write(rendered(flags.format, head, rows as readonly Cells[]));
    if (truncated) io.stderr.write(`postern: there are more rows than these ${rows.length}\n`);
    return 0;
  };

function filters(flags: FilterFlags): Texts {
  const { requestPath: path, minLatencyUs: min_latency_us, since, until, outcome, reason, subject } = flags;
  const { method, host, route } = flags;
  const all = { since, until, outcome, reason, subject, method, host, path, route, min_latency_us };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const limitOf = ({ limit }: DecisionsFlags): Texts => (limit === undefined ? {} : { limit });
