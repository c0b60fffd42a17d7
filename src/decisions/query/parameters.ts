import Type from 'typebox';
import { Value } from 'typebox/value';
import type { Filters } from './filters.ts';
import { type HistogramQuestion, histogramGroups, type Phase, phases } from './histogram.ts';
import { type TopQuestion, topColumns } from './top.ts';

/*
 * Questions as they stand in a URL or on the command line: texts, each of a shape. What is unknown, there twice, or of
 * another shape is refused; nothing is rounded, cut or left out.
 */

const time = Type.String({ maxLength: 64, description: 'RFC 3339, or an age: `15m`, `24h`, `7d`.' });
const filters = {
  since: time,
  until: time,
  outcome: Type.Enum(['allow', 'deny', 'fault']),
  reason: Type.String({ pattern: '^[a-z_]{1,64}$' }),
  subject: Type.String({ minLength: 1, maxLength: 2048 }),
  method: Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$" }),
  host: Type.String({ minLength: 1, maxLength: 512 }),
  path: Type.String({ pattern: '^/', maxLength: 2048, description: 'A prefix.' }),
  route: Type.String({ pattern: '^/', maxLength: 2048 }),
  min_latency_us: Type.String({ pattern: '^(?:0|[1-9][0-9]{0,11})$' }),
};
const limit = (most: number) => Type.String({ pattern: '^[1-9][0-9]{0,3}$', description: `1 to ${most}.` });
const closed = { additionalProperties: false } as const;

const schemas = {
  list: Type.Partial(
    Type.Object({ ...filters, limit: limit(1000), cursor: Type.String({ minLength: 1, maxLength: 8192 }) }, closed),
    closed,
  ),
  histogram: Type.Partial(
    Type.Object(
      { ...filters, by: Type.Enum([...histogramGroups]), phase: Type.Enum([...phases]), limit: limit(100) },
      closed,
    ),
    closed,
  ),
  top: Type.Partial(Type.Object({ ...filters, by: Type.Enum([...topColumns]), limit: limit(1000) }, closed), closed),
  gaps: Type.Partial(Type.Object({ since: time, until: time }, closed), closed),
  tail: Type.Partial(Type.Object(filters, closed), closed),
};
export type QuestionKind = keyof typeof schemas;

/** A question that is none; the message names the parameter and never its value. */
export class BadQuestion extends Error {}

type Texts = { readonly [name: string]: string };

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const AGE = /^([1-9][0-9]{0,5})(s|m|h|d)$/;
const UNIT_MS: { readonly [unit: string]: number } = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DAY = '24h';

/** Parameters that are of the shape of their kind. Throws BadQuestion. */
export function readParameters(kind: QuestionKind, given: unknown): Texts {
  const schema = schemas[kind];
  const entries = { ...(given as object) };
  if (Value.Check(schema, entries)) return entries as Texts;
  for (const name of Object.keys(entries)) {
    const property = (schema.properties as { readonly [name: string]: Type.TSchema })[name];
    if (property === undefined) throw new BadQuestion(`${name.slice(0, 64)}: unknown parameter`);
    const value = (entries as { readonly [name: string]: unknown })[name];
    if (Array.isArray(value)) throw new BadQuestion(`${name}: it is there more than once`);
    if (!Value.Check(property, value)) throw new BadQuestion(`${name}: it is not of the right form`);
  }
  throw new BadQuestion('it is not of the right form');
}

/** Throws BadQuestion. */
export function filtersOf(texts: Texts, nowMs: number): Filters {
  const { since, until, min_latency_us: latency } = texts;
  const chosen: { [name: string]: string | number } = {};
  for (const name of ['outcome', 'reason', 'subject', 'method', 'host', 'path', 'route']) {
    const value = texts[name];
    if (value !== undefined) chosen[name] = value;
  }
  if (since !== undefined) chosen['since'] = microsOf('since', since, nowMs);
  if (until !== undefined) chosen['until'] = microsOf('until', until, nowMs);
  if (latency !== undefined) chosen['min_latency_us'] = Number(latency);
  const read = chosen as Filters;
  if (read.since !== undefined && read.until !== undefined && read.since >= read.until) {
    throw new BadQuestion('since: it is not before until');
  }
  return read;
}

/** Throws BadQuestion. */
export function limitOf(texts: Texts, fallback: number, most: number): number {
  const limit = Number(texts['limit'] ?? fallback);
  if (limit > most) throw new BadQuestion(`limit: at most ${most}`);
  return limit;
}

export const histogramOf = (texts: Texts, nowMs: number): HistogramQuestion => ({
  filters: filtersOf(withSince(texts), nowMs),
  by: (texts['by'] ?? 'none') as HistogramQuestion['by'],
  phases: texts['phase'] === undefined ? phases : [texts['phase'] as Phase],
  limit: limitOf(texts, 20, 100),
});

export const topOf = (texts: Texts, nowMs: number): TopQuestion => ({
  filters: filtersOf(withSince(texts), nowMs),
  by: (texts['by'] ?? 'reason') as TopQuestion['by'],
  limit: limitOf(texts, 10, 1000),
});

/** The last day, unless a time is asked for. */
const withSince = (texts: Texts): Texts =>
  texts['since'] === undefined && texts['until'] === undefined ? { ...texts, since: DAY } : texts;

/** µs since the epoch. */
function microsOf(name: string, text: string, nowMs: number): number {
  const [, count, unit = ''] = AGE.exec(text) ?? [];
  if (count !== undefined) return Math.floor((nowMs - Number(count) * (UNIT_MS[unit] ?? 0)) * 1000);
  const [, year, month, day, hour, minute, second, fraction = ''] = RFC3339.exec(text) ?? [];
  const ms = Date.parse(text.toUpperCase().replace(/\.\d+/, ''));
  // Date.parse takes the 30th of February for the 2nd of March.
  const last = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  const exists = Number(day) >= 1 && Number(day) <= last && Number(month) <= 12;
  if (Number.isNaN(ms) || !exists || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) {
    throw new BadQuestion(`${name}: a time (RFC 3339) or an age such as 15m or 24h is expected`);
  }
  return ms * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6));
}

/** What a page's cursor is bound to: the same parameters, but for the cursor itself and the size of the page. */
export function questionText(texts: Texts): string {
  const entries = Object.entries(texts).filter(([name]) => name !== 'cursor' && name !== 'limit');
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** An id of a decision, as far as its form goes. */
export const isDecisionId = (text: string): boolean => /^[A-Za-z0-9._:-]{1,128}$/.test(text);
