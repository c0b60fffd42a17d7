import { membersOf } from '../store/top-level.ts';

/** A decision on its way to a service. */
export type Event = {
  /** JSON, as OPA's receivers know it. */
  readonly text: string;
  /** When it was decided, ms since the epoch. */
  readonly timeMs: number;
};

/** What a line of the write-ahead log is: a decision; something for others, such as a gap; or torn. */
export type Read = Event | 'other' | 'unreadable';

/** The number that the log puts behind each decision. */
const SEQ = /,"seq":\d+\}$/;
const CACHE = 'nd_builtin_cache';

export function readEvent(line: string): Read {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'unreadable';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'unreadable';
  const { timestamp, gap } = value as { readonly timestamp?: unknown; readonly gap?: unknown };
  if (gap !== undefined) return 'other';
  const timeMs = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return { text: line.replace(SEQ, '}'), timeMs };
}

/** Without the answers of built-in functions, which may be large; undefined when it has none. */
export function withoutCache(text: string): string | undefined {
  const members = membersOf(text);
  const kept = members.filter(({ key }) => key !== CACHE);
  return kept.length === members.length ? undefined : `{${kept.map(({ whole }) => whole).join(',')}}`;
}
