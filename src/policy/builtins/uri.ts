import { type Entry, RegoObject, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { stringAt } from './operands.ts';
import { fromBytes, parseUrl, splitHostPort, type Url, UrlError } from './uri/url.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/uri; URIs as Go's net/url has them.
 */

function parseUri(text: string): RegoObject {
  const url = urlOf(text);
  const { hostname, port } = splitHostPort(url);
  const parts = {
    scheme: url.scheme,
    hostname,
    port,
    path: url.path,
    raw_path: url.rawPath === '' ? url.path : url.rawPath,
    raw_query: url.rawQuery,
    fragment: url.fragment,
  };
  const entries: Entry[] = [];
  for (const [name, part] of Object.entries(parts)) if (part !== '') entries.push([name, fromBytes(part)]);
  return new RegoObject(entries);
}

/** Throws BuiltinError. */
function urlOf(text: string): Url {
  try {
    return parseUrl(text);
  } catch (error) {
    if (error instanceof UrlError) throw new BuiltinError(error.message);
    throw error;
  }
}

/** Nothing at all is a good reference, but not for a policy. */
function isValid(value: Value): boolean {
  if (typeof value !== 'string' || value === '') return false;
  try {
    parseUrl(value);
    return true;
  } catch (error) {
    if (error instanceof UrlError) return false;
    throw error;
  }
}

export const uriBuiltins: readonly Builtin[] = [
  { name: 'uri.parse', arity: 1, run: (_ctx, text) => parseUri(stringAt(1, text)) },
  { name: 'uri.is_valid', arity: 1, run: (_ctx, text = null) => isValid(text) },
];
