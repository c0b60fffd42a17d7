import type { JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, stringify } from '../values/json.ts';

/** Text whose percent-escapes cannot be undone. */
export class EscapeError extends Error {
  override readonly name = 'EscapeError';
}

/** Percent-decodes a path segment or, with `plus`, a query component (RFC 3986 section 2.1; Go's net/url). */
export function percentDecode(text: string, plus: boolean): string {
  if (plus && text.includes('+')) text = text.replaceAll('+', ' ');
  if (!text.includes('%')) return text;
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw new EscapeError('bad escape');
  try {
    return decodeURIComponent(text);
  } catch {
    // Escaped bytes that are no UTF-8: JSON cannot hold them, so each becomes U+FFFD.
    const bytes = Buffer.from(
      text.replace(/%([0-9A-Fa-f]{2})|[^%]+/g, (all, hex: string | undefined) =>
        hex === undefined ? Buffer.from(all).toString('latin1') : String.fromCharCode(Number.parseInt(hex, 16)),
      ),
      'latin1',
    );
    return bytes.toString('utf8');
  }
}

/** The path's segments, decoded, without leading slashes. Throws EscapeError. */
export function parsePath(target: string): string[] {
  const cut = target.indexOf('?');
  const decoded = percentDecode(cut < 0 ? target : target.slice(0, cut), false);
  let start = 0;
  while (decoded.charCodeAt(start) === 0x2f) start++;
  return decoded.slice(start).split('/');
}

const MAX_PARAMETERS = 10_000;

/** A query string or form body: every name with the list of its values (Go's url.ParseQuery). Throws EscapeError. */
export function parseQuery(query: string): JsonObject {
  const values: MutableJsonObject = emptyObject();
  eachParameter(query, (name, value) => {
    const list = values[name];
    if (Array.isArray(list)) (list as string[]).push(value);
    else values[name] = [value];
  });
  return values;
}

/** The query of a request target, parsed as `parseQuery` does, as JSON text. Throws EscapeError. */
export function queryText(target: string): string {
  const cut = target.indexOf('?');
  if (cut < 0) return '{}';
  // An object of names that nobody has seen before, and its text, take three times as long as this.
  const lists = new Map<string, string>();
  eachParameter(target.slice(cut + 1), (name, value) => {
    const list = lists.get(name);
    lists.set(name, list === undefined ? stringify(value) : `${list},${stringify(value)}`);
  });
  let members = '';
  for (const [name, list] of lists) members += `${members === '' ? '' : ','}${stringify(name)}:[${list}]`;
  return `{${members}}`;
}

/** Shows `see` each name and value, decoded, in their order. */
function eachParameter(query: string, see: (name: string, value: string) => void): void {
  if (query === '') return;
  const pairs = query.includes('&') ? query.split('&') : [query];
  if (pairs.length > MAX_PARAMETERS) throw new EscapeError(`more than ${MAX_PARAMETERS} parameters`);
  for (const pair of pairs) {
    if (pair.includes(';')) throw new EscapeError('semicolon as a separator');
    if (pair === '') continue;
    const cut = pair.indexOf('=');
    const name = percentDecode(cut < 0 ? pair : pair.slice(0, cut), true);
    see(name, cut < 0 ? '' : percentDecode(pair.slice(cut + 1), true));
  }
}
