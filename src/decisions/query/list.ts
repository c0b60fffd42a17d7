import { eventText } from '../store/columns.ts';
import type { Value } from '../store/database.ts';
import type { StoredFile } from '../store/parquet.ts';
import { conditionOf, type Filters } from './filters.ts';
import { type Ask, type Asked, askOfView, filesWithin } from './source.ts';

/** Of a decision: µs since the epoch, and its id. */
export type Position = { readonly time: number; readonly id: string };

export type ListQuestion = {
  readonly filters: Filters;
  readonly limit: number;
  /** Only what comes after this, which is older. */
  readonly after?: Position;
};

export type Page = {
  /** Events as JSON, newest first. */
  readonly events: readonly string[];
  /** Where it ended; undefined when there is no more. */
  readonly last?: Position;
};

/** Most text of events in one page, characters; at least one event is there. */
const MAX_PAGE = 8_388_608;
/** How many files are looked at first; each further look takes four times as many. */
const FIRST_FILES = 8;

type Hit = Position & { readonly file: string | undefined };

/** The newest decisions that were asked for. */
export async function list(asked: Asked, question: ListQuestion): Promise<Page> {
  return askOfView(asked, async (view, ask) => {
    // One more tells whether there is a next page.
    const hits = await newest(ask, view.files, view.segments, question);
    const chosen = hits.slice(0, question.limit);
    const texts = await eventsOf(ask, view.files, view.segments, chosen);
    const events: string[] = [];
    let size = 0;
    for (const hit of chosen) {
      const text = texts.get(keyOf(hit)) ?? '{}';
      if (events.length > 0 && size + text.length > MAX_PAGE) break;
      events.push(text);
      size += text.length;
    }
    const last = chosen[events.length - 1];
    const hasMore = hits.length > events.length;
    return { events, ...(hasMore && last !== undefined ? { last: { time: last.time, id: last.id } } : {}) };
  });
}

async function newest(
  ask: Ask,
  all: readonly StoredFile[],
  segments: readonly string[],
  { filters, limit, after }: ListQuestion,
): Promise<readonly Hit[]> {
  const condition = conditionOf(filters);
  const values = { ...condition.values };
  let where = condition.sql;
  if (after !== undefined) {
    where += ' AND (time, decision_id) < (make_timestamptz($after_time::BIGINT), $after_id)';
    Object.assign(values, { after_time: BigInt(after.time), after_id: after.id });
  }
  const until = Math.min(filters.until ?? Number.POSITIVE_INFINITY, (after?.time ?? Number.POSITIVE_INFINITY) + 1);
  const files = [...filesWithin(all, { ...filters, until })].sort((a, b) => b.max - a.max);
  let hits: readonly Hit[] = [];
  let from = 0;
  for (let count = FIRST_FILES; from === 0 || from < files.length; count *= 4) {
    const rows = await ask(
      files.slice(from, from + count),
      from === 0 ? segments : [],
      (source) =>
        `SELECT epoch_us(time), decision_id, file FROM ${source} WHERE ${where} ORDER BY time DESC, decision_id DESC LIMIT ${limit + 1}`,
      values,
    );
    hits = [...hits, ...rows.map(hitOf)].sort(newestFirst).slice(0, limit + 1);
    from += count;
    // All that is left is older than what there is.
    if (hits.length > limit && (hits[limit]?.time ?? 0) > (files[from]?.max ?? Number.NEGATIVE_INFINITY)) break;
  }
  return hits;
}

const hitOf = ([time, id, file]: readonly Value[]): Hit => ({
  time: Number(time),
  id: String(id),
  file: file === null || file === undefined ? undefined : String(file),
});

const newestFirst = (a: Hit, b: Hit): number => b.time - a.time || Buffer.compare(Buffer.from(b.id), Buffer.from(a.id));
const keyOf = ({ time, id }: Position): string => `${time} ${id}`;

/** The wide columns, of these decisions only. */
async function eventsOf(
  ask: Ask,
  all: readonly StoredFile[],
  segments: readonly string[],
  hits: readonly Hit[],
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  if (hits.length === 0) return texts;
  const named = new Set(hits.map(({ file }) => file));
  const times = hits.map(({ time }) => time);
  const ids = Object.fromEntries(hits.map(({ id }, i) => [`id${i}`, id]));
  const rows = await ask(
    all.filter(({ file }) => named.has(file)),
    named.has(undefined) ? segments : [],
    (source) =>
      `SELECT epoch_us(time), decision_id, rest, input, result FROM ${source} WHERE time >= make_timestamptz($min::BIGINT) AND time <= make_timestamptz($max::BIGINT) AND decision_id IN (${Object.keys(ids).map((name) => `$${name}`)})`,
    { ...ids, min: BigInt(Math.min(...times)), max: BigInt(Math.max(...times)) },
  );
  for (const [time, id, rest, input, result] of rows) {
    texts.set(keyOf({ time: Number(time), id: String(id) }), eventFrom(rest, input, result));
  }
  return texts;
}

const eventFrom = (rest: Value | undefined, input: Value | undefined, result: Value | undefined): string =>
  eventText({ rest: String(rest), input: textOrNull(input), result: textOrNull(result) });
const textOrNull = (value: Value | undefined): string | null => (typeof value === 'string' ? value : null);

/** A UUIDv7 begins with its ms since the epoch (RFC 9562 section 5.7). */
const UUID7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const NEAR_US = 3_600_000_000;

/** One event, or undefined. */
export async function show(asked: Asked, id: string): Promise<string | undefined> {
  return askOfView(asked, async (view, ask) => {
    const [, high, low] = UUID7.exec(id) ?? [];
    const madeUs = high === undefined ? undefined : Number.parseInt(`${high}${low}`, 16) * 1000;
    const near =
      madeUs === undefined ? view.files : filesWithin(view.files, { since: madeUs - NEAR_US, until: madeUs + NEAR_US });
    const far = view.files.filter((file) => !near.includes(file));
    for (const [files, segments] of [[near, view.segments] as const, [far, []] as const]) {
      if (files.length === 0 && segments.length === 0) continue;
      const [row] = await ask(
        files,
        segments,
        (source) => `SELECT rest, input, result FROM ${source} WHERE decision_id = $id LIMIT 1`,
        { id },
      );
      if (row !== undefined) return eventFrom(...(row as [Value, Value, Value]));
    }
    return undefined;
  });
}
