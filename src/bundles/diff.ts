import type { Json, JsonObject } from '../model/json.ts';
import { isObject, stringify } from '../values/json.ts';
import { compareNumbers, numberFromText } from '../values/number.ts';

/** What one list of names has and the other lacks, in order. */
export function diffNames(
  before: readonly string[],
  after: readonly string[],
): { readonly added: readonly string[]; readonly removed: readonly string[] } {
  const without = (list: readonly string[], other: readonly string[]): readonly string[] => {
    const known = new Set(other);
    return [...new Set(list)].filter((name) => !known.has(name)).sort();
  };
  return { added: without(after, before), removed: without(before, after) };
}

/** The same for what has a digest, or anything else that tells one version from another. */
export function diffDigests(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): ReturnType<typeof diffNames> & { readonly changed: readonly string[] } {
  const changed = [...before].filter(([name, digest]) => after.has(name) && after.get(name) !== digest);
  return { ...diffNames([...before.keys()], [...after.keys()]), changed: changed.map(([name]) => name).sort() };
}

/** A change at a JSON pointer (RFC 6901); what is there before and after. */
export type Change = { readonly path: string } & (
  | { readonly kind: 'added'; readonly after: Json }
  | { readonly kind: 'removed'; readonly before: Json }
  | { readonly kind: 'changed'; readonly before: Json; readonly after: Json }
);

/**
 * Tells `found` of each change of a document, deepest first in what both have: members that came and went, and values that
 * are others. Lists are compared item by item. Numbers that are spelled differently are the same.
 */
export function diffJson(before: Json, after: Json, found: (change: Change) => void, path = ''): void {
  if (before === after) return;
  if (isObject(before) && isObject(after)) diffMembers(before, after, found, path);
  else if (Array.isArray(before) && Array.isArray(after)) diffItems(before, after, found, path);
  else if (!isSameScalar(before, after)) found({ kind: 'changed', path, before, after });
}

function diffMembers(before: JsonObject, after: JsonObject, found: (change: Change) => void, path: string): void {
  for (const key of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
    const at = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    diffAt(memberOf(before, key), memberOf(after, key), found, at);
  }
}

function diffItems(
  before: readonly Json[],
  after: readonly Json[],
  found: (change: Change) => void,
  path: string,
): void {
  const length = Math.max(before.length, after.length);
  for (let i = 0; i < length; i++) diffAt(before[i], after[i], found, `${path}/${i}`);
}

function diffAt(
  before: Json | undefined,
  after: Json | undefined,
  found: (change: Change) => void,
  path: string,
): void {
  if (before === undefined && after !== undefined) found({ kind: 'added', path, after });
  else if (before !== undefined && after === undefined) found({ kind: 'removed', path, before });
  else if (before !== undefined && after !== undefined) diffJson(before, after, found, path);
}

/** What is parsed may have a prototype, and members of that are none of its. */
const memberOf = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined;

const isScalar = (value: Json): boolean => !Array.isArray(value) && !isObject(value);

function isSameScalar(before: Json, after: Json): boolean {
  if (!isScalar(before) || !isScalar(after)) return false;
  const [left, right] = [stringify(before), stringify(after)];
  if (left === right) return true;
  const numbers = [left, right].map((text) => (/^-?[0-9]/.test(text) ? numberFromText(text) : undefined));
  return numbers[0] !== undefined && numbers[1] !== undefined && compareNumbers(numbers[0], numbers[1]) === 0;
}
