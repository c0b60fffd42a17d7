import { Decimal } from './decimal.ts';
import { dump } from './dump.ts';
import type { Value } from './value.ts';

/** What a Map finds a value by: equal values have equal keys, others do not. */
export type Key = string | number | boolean | null;

// Strings are their own keys, so what stands for other values starts with a character that strings get doubled.
const MARK = '\u0000';

export function keyOf(value: Value): Key {
  if (typeof value === 'string') return value.charCodeAt(0) === 0 ? MARK + value : value;
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value;
  return `${MARK}:${value instanceof Decimal ? value.toString() : dump(value)}`;
}
