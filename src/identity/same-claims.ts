import type { Json, JsonObject } from '../model/json.ts';
import { isObject, stringify } from '../values/json.ts';
import { numberFromText } from '../values/number.ts';

/** Registered claims (RFC 7519 section 4.1): what tells one token from another. */
const REGISTERED = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'];

/** Whether two sets of claims are of one token, as far as its registered claims tell. */
export const sameToken = (a: JsonObject, b: JsonObject): boolean =>
  REGISTERED.every((name) => sameValue(memberOf(a, name), memberOf(b, name)));

/**
 * Whether `token` says what `payload` says, claim by claim and digit by digit. Of `lists` the payload may have the words
 * of a text as a list.
 */
export function sameClaims(token: JsonObject, payload: JsonObject, lists: readonly string[]): boolean {
  const read = (name: string): Json | undefined => {
    const value = memberOf(token, name);
    const isList = lists.includes(name) && typeof value === 'string' && Array.isArray(payload[name]);
    return isList ? value.split(' ').filter((word) => word !== '') : value;
  };
  return sameMembers(token, payload, read);
}

function sameMembers(a: JsonObject, b: JsonObject, read: (name: string) => Json | undefined): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => sameValue(read(name), memberOf(b, name)));
}

const memberOf = (object: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

function sameValue(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' && typeof a !== 'number') return false;
  if (isObject(a)) return isObject(b) && sameMembers(a, b, (name) => memberOf(a, name));
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item: Json, i) => sameValue(item, b[i] as Json));
  }
  const [left, right] = [digitsOf(a), digitsOf(b)];
  return left !== undefined && left === right;
}

/** One text for each number, however it was spelled; undefined for what is none. */
function digitsOf(value: Json | undefined): string | undefined {
  if (value === undefined || value === null || typeof value === 'string' || typeof value === 'boolean')
    return undefined;
  if (isObject(value) || Array.isArray(value)) return undefined;
  return numberFromText(stringify(value))?.toString();
}
