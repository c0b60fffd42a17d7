import type { RequestFacts } from '../model/facts.ts';
import type { Identity } from '../model/identity.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { isObject, stringify } from '../values/json.ts';

export type SanitiseOptions = {
  /** Names of headers that tell an upstream who is calling, or beginnings of names that end in `*` (`x-user-*`). */
  readonly identityHeaders: readonly string[];
  /** Claims with the header that each is passed on in. */
  readonly claimsToHeaders: { readonly [claim: string]: string };
  /** Also what earlier proxies said about the client. */
  readonly removeForwarded: boolean;
};

const FORWARDED = ['x-forwarded-for', 'x-envoy-internal', 'x-forwarded-client-cert'] as const;

/**
 * The headers of the request that claim an identity, in the spelling that came. Names are compared as CGI's descendants
 * read them (RFC 3875 section 4.1.18): without case, and with everything that is no letter or digit as `-`, so that
 * `X_User.Id` is x-user-id. One that the answer sets as well has to be left out of `headers_to_remove`: Envoy removes after
 * it has set, and setting replaces what came.
 */
export function headersToRemove(facts: RequestFacts, options: SanitiseOptions): readonly string[] {
  const names = new Set<string>(options.removeForwarded ? FORWARDED : []);
  const prefixes: string[] = [];
  for (const pattern of [...options.identityHeaders, ...Object.values(options.claimsToHeaders)]) {
    if (pattern.endsWith('*')) prefixes.push(folded(pattern.slice(0, -1)));
    else names.add(folded(pattern));
  }
  const found = new Set<string>();
  for (const { name } of [...facts.headers, ...facts.headerList]) {
    // Pseudo-headers are the request line, which Envoy does not let go.
    if (name.startsWith(':')) continue;
    const plain = folded(name);
    if (names.has(plain) || prefixes.some((prefix) => plain.startsWith(prefix))) found.add(name);
  }
  return [...found];
}

const folded = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '-');

const MAX_VALUE_CHARS = 4096;
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** RFC 9110 section 5.5 without obs-text and tabs; blanks at the ends would be lost on the way. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/**
 * Headers from verified claims: strings, numbers, booleans, and lists of strings joined by commas. A claim is looked up by
 * its whole name, then by its dotted path. What does not fit into a header unchanged is left out: other types, characters
 * that are not visible ASCII, lists with an empty member or a comma in one, more than 4096 characters.
 */
export function claimHeaders(
  identity: Identity | undefined,
  claimsToHeaders: { readonly [claim: string]: string },
): readonly (readonly [name: string, value: string])[] {
  if (identity?.authenticated !== true || identity.claims === undefined) return [];
  const headers: (readonly [string, string])[] = [];
  for (const [claim, name] of Object.entries(claimsToHeaders)) {
    const value = headerValue(claimAt(identity.claims, claim));
    if (value !== undefined && HEADER_NAME.test(name)) headers.push([name, value]);
  }
  return headers;
}

function claimAt(claims: JsonObject, path: string): Json | undefined {
  // Namespaced claims (https://example.com/tenant) have dots in their names.
  if (Object.hasOwn(claims, path)) return claims[path];
  let at: Json | undefined = claims;
  for (const key of path.split('.')) at = isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  return at;
}

function headerValue(value: Json | undefined): string | undefined {
  const text = Array.isArray(value) ? joined(value) : scalarText(value);
  if (text === undefined || text.length > MAX_VALUE_CHARS || !HEADER_VALUE.test(text)) return undefined;
  return text;
}

function scalarText(value: Json | undefined): string | undefined {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null || isObject(value)) return undefined;
  // A number that JavaScript cannot hold keeps its digits; one that JSON cannot hold is written as null.
  const text = stringify(value);
  return text === 'null' ? undefined : text;
}

function joined(list: readonly Json[]): string | undefined {
  if (list.length > MAX_VALUE_CHARS) return undefined;
  const isPlain = (member: Json): member is string =>
    typeof member === 'string' && !member.includes(',') && HEADER_VALUE.test(member);
  return list.length > 0 && list.every(isPlain) ? list.join(',') : undefined;
}
