import { isNumber, toBigInt } from '../../../values/number.ts';
import { RegoObject, type Value } from '../../../values/value.ts';
import { BuiltinError, type Header, type HttpRequest, type PemSource, type TlsOptions } from '../builtin.ts';
import { marshalJson } from '../go-json.ts';
import { parseDuration } from '../time/duration.ts';

/*
 * The object that http.send takes. https://www.openpolicyagent.org/docs/policy-reference/builtins/http
 */

const MEMBERS: ReadonlySet<Value> = new Set([
  ...['method', 'url', 'body', 'raw_body', 'headers', 'timeout', 'enable_redirect', 'max_retry_attempts'],
  ...['force_json_decode', 'force_yaml_decode', 'raise_error'],
  ...['cache', 'force_cache', 'force_cache_duration_seconds', 'caching_mode', 'cache_ignored_headers'],
  ...['tls_use_system_certs', 'tls_insecure_skip_verify', 'tls_server_name'],
  ...['tls_ca_cert', 'tls_client_cert', 'tls_client_key'].flatMap((name) => [
    name,
    `${name}_file`,
    `${name}_env_variable`,
  ]),
]);

const DEFAULT_TIMEOUT_MS = 5_000;
const MAX_TIMEOUT_MS = 60_000;
const MAX_RETRIES = 10;
const NS_PER_MS = 1_000_000n;

/** What the object says of the response. */
export type Decoding = { readonly json: boolean; readonly yaml: boolean };

/** Throws BuiltinError. */
export function readRequest(object: RegoObject): HttpRequest & { readonly decoding: Decoding } {
  const unknown = object.sorted().find(([name]) => !MEMBERS.has(name));
  if (unknown !== undefined) throw new BuiltinError('invalid request parameter');
  const url = textAt(object, 'url');
  const method = textAt(object, 'method');
  if (url === undefined || method === undefined) throw new BuiltinError('missing required request parameters');
  const headers = headersAt(object);
  return {
    method: method.toUpperCase(),
    url,
    headers,
    body: bodyAt(object),
    followRedirects: switchAt(object, 'enable_redirect'),
    timeoutMs: timeoutAt(object),
    retries: Math.min(countAt(object, 'max_retry_attempts'), MAX_RETRIES),
    tls: tlsAt(object, headers),
    reuse: reuseAt(object),
    ignoredHeaders: ignoredAt(object),
    decoding: { json: booleanAt(object, 'force_json_decode'), yaml: booleanAt(object, 'force_yaml_decode') },
  };
}

/** A text; OPA takes quotes around it away. */
function textAt(object: RegoObject, name: string): string | undefined {
  const value = object.get(name);
  if (value !== undefined && typeof value !== 'string') throw new BuiltinError(`${name} must be a string`);
  return value?.replace(/^"+|"+$/g, '');
}

export function booleanAt(object: RegoObject, name: string, fallback = false): boolean {
  const value = object.get(name) ?? fallback;
  if (typeof value !== 'boolean') throw new BuiltinError(`invalid value for ${name} field`);
  return value;
}

/** Where OPA also takes 1 and 0. */
function switchAt(object: RegoObject, name: string): boolean {
  const value = object.get(name) ?? false;
  if (value === 1 || value === 0) return value === 1;
  return booleanAt(object, name);
}

function countAt(object: RegoObject, name: string): number {
  const value = object.get(name) ?? 0;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw new BuiltinError(`invalid value for field ${name}`);
  }
  return value;
}

function bodyAt(object: RegoObject): string | undefined {
  const body = object.get('body');
  return textAt(object, 'raw_body') ?? (body === undefined ? undefined : marshalJson(body));
}

/** A name or a value that could end a header is refused (RFC 9110 section 5.5). */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a header
const HEADER_BREAK = /[\u0000-\u0008\u000a-\u001f\u007f]/;

function headersAt(object: RegoObject): readonly Header[] {
  const headers = object.get('headers') ?? new RegoObject();
  if (!(headers instanceof RegoObject)) throw new BuiltinError('invalid type for headers key');
  return headers.sorted().map(([name, value]) => {
    if (typeof name !== 'string' || typeof value !== 'string') throw new BuiltinError('invalid type for headers value');
    if (!HEADER_NAME.test(name) || HEADER_BREAK.test(value)) throw new BuiltinError('invalid header');
    return [name.toLowerCase(), value];
  });
}

/** A number of ns, or a duration as Go spells it (`500ms`); 0 and less, which is endless in OPA, is the longest here. */
function timeoutAt(object: RegoObject): number {
  const value = object.get('timeout');
  if (value === undefined) return DEFAULT_TIMEOUT_MS;
  const ns = isNumber(value) ? toBigInt(value) : typeof value === 'string' ? durationOf(value) : undefined;
  if (ns === undefined) throw new BuiltinError('invalid timeout value');
  const ms = Number(ns / NS_PER_MS);
  return ns <= 0n ? MAX_TIMEOUT_MS : Math.max(1, Math.min(ms, MAX_TIMEOUT_MS));
}

const durationOf = (text: string): bigint => (/^[+-]?\d{1,18}$/.test(text) ? BigInt(text) : parseDuration(text));

function pemAt(object: RegoObject, name: string): PemSource | undefined {
  const text = textAt(object, name);
  if (text !== undefined && text !== '') return { text: text.replaceAll('\\n', '\n') };
  const file = textAt(object, `${name}_file`);
  if (file !== undefined && file !== '') return { file };
  const variable = textAt(object, `${name}_env_variable`);
  return variable === undefined || variable === '' ? undefined : { variable };
}

function tlsAt(object: RegoObject, headers: readonly Header[]): TlsOptions {
  const authority = pemAt(object, 'tls_ca_cert');
  const host = headers.find(([name]) => name === 'host')?.[1];
  return {
    authorities: authority === undefined ? [] : [authority],
    certificate: pemAt(object, 'tls_client_cert'),
    key: pemAt(object, 'tls_client_key'),
    serverName: textAt(object, 'tls_server_name') ?? host?.replace(/:\d+$/, ''),
    useSystemAuthorities: switchAt(object, 'tls_use_system_certs'),
    skipVerification: switchAt(object, 'tls_insecure_skip_verify'),
  };
}

function reuseAt(object: RegoObject): HttpRequest['reuse'] {
  const mode = object.get('caching_mode') ?? 'serialized';
  if (mode !== 'serialized' && mode !== 'deserialized') throw new BuiltinError('invalid value for caching_mode field');
  const byHeaders = booleanAt(object, 'cache');
  if (!booleanAt(object, 'force_cache')) return byHeaders ? 'by headers' : 'never';
  const seconds = object.get('force_cache_duration_seconds');
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || Math.abs(seconds) > 0x7fff_ffff) {
    throw new BuiltinError('force_cache needs force_cache_duration_seconds');
  }
  return seconds > 0 ? seconds : 'by headers';
}

function ignoredAt(object: RegoObject): readonly string[] {
  const ignored = object.get('cache_ignored_headers');
  if (ignored === undefined || ignored === null) return [];
  if (!Array.isArray(ignored)) throw new BuiltinError('cache_ignored_headers must be an array of strings');
  return ignored.map((name: Value) => {
    if (typeof name !== 'string') throw new BuiltinError('cache_ignored_headers must be an array of strings');
    return name.toLowerCase();
  });
}
