import { createHash, createHmac } from 'node:crypto';
import { isRegoObject, RegoObject, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { marshalJson } from './go-json.ts';
import { integerAt, objectAt, wrongType } from './operands.ts';
import { textOf } from './x509/text.ts';
import { escapedPath, type Url, urlFrom } from './x509/url.ts';

/*
 * Requests to AWS, signed. https://www.openpolicyagent.org/docs/policy-reference/builtins/providers.aws and
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */

/** What an `http.send` request may have. */
const REQUEST_MEMBERS: ReadonlySet<Value> = new Set([
  'method',
  'url',
  'body',
  'enable_redirect',
  'force_json_decode',
  'force_yaml_decode',
  'headers',
  'raw_body',
  'tls_use_system_certs',
  'tls_ca_cert',
  'tls_ca_cert_file',
  'tls_ca_cert_env_variable',
  'tls_client_cert',
  'tls_client_cert_file',
  'tls_client_cert_env_variable',
  'tls_client_key',
  'tls_client_key_file',
  'tls_client_key_env_variable',
  'tls_insecure_skip_verify',
  'tls_server_name',
  'timeout',
  'cache',
  'force_cache',
  'force_cache_duration_seconds',
  'raise_error',
  'caching_mode',
  'max_retry_attempts',
  'cache_ignored_headers',
]);
const REQUIRED_MEMBERS = ['method', 'url'];
const REQUIRED_CONFIG = ['aws_access_key', 'aws_region', 'aws_secret_access_key', 'aws_service'];
/** Headers that a proxy may change. */
const UNSIGNED_HEADERS: ReadonlySet<string> = new Set(['authorization', 'user-agent', 'x-amzn-trace-id']);
/** Services that want the hash of the body in a header. */
const HASHED_SERVICES: ReadonlySet<string> = new Set(['s3', 'glacier']);

const stringOf = (value: Value | undefined): string => (typeof value === 'string' ? value : '');

const invalid = (position: number, problem: string): BuiltinError =>
  new BuiltinError(`operand ${position} ${problem}`, 'eval_type_error');

const listed = (names: readonly string[]): string => `{${names.map((name) => JSON.stringify(name)).join(', ')}}`;

type Config = {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
  readonly service: string;
  /** Empty without one. */
  readonly sessionToken: string;
};

function configOf(config: RegoObject): Config {
  const missing = REQUIRED_CONFIG.filter((name) => !config.has(name));
  if (missing.length > 0) throw invalid(2, `missing required AWS config parameters(s): ${listed(missing)}`);
  const mistyped = REQUIRED_CONFIG.filter((name) => typeof config.get(name) !== 'string');
  if (mistyped.length > 0)
    throw invalid(2, `invalid values for required AWS config parameters(s): ${listed(mistyped)}`);
  return {
    accessKey: stringOf(config.get('aws_access_key')),
    secretKey: stringOf(config.get('aws_secret_access_key')),
    region: stringOf(config.get('aws_region')),
    service: stringOf(config.get('aws_service')),
    sessionToken: stringOf(config.get('aws_session_token')),
  };
}

const NS_PER_MS = 1_000_000n;
const MAX_TIME_NS = 2n ** 63n - 1n;

/** `YYYYMMDDTHHMMSSZ`. Refuses what is before 1970, which no signature can be of. */
function timestampOf(ns: bigint): string {
  if (ns < 0n || ns > MAX_TIME_NS) throw invalid(3, 'could not convert time_ns value into a unix timestamp');
  return `${new Date(Number(ns / NS_PER_MS)).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
}

function checkRequest(request: RegoObject): RegoObject {
  const unknown = [...request].map(([name]) => name).filter((name) => !REQUEST_MEMBERS.has(name));
  if (unknown.length > 0) throw invalid(1, 'invalid request parameters(s)');
  const missing = REQUIRED_MEMBERS.filter((name) => !request.has(name));
  if (missing.length > 0) throw invalid(1, `missing required request parameters(s): ${listed(missing)}`);
  const given = request.get('headers');
  const headers = given === undefined ? new RegoObject() : given;
  if (!isRegoObject(headers)) throw wrongType(1, 'object', headers);
  const mistyped = REQUIRED_MEMBERS.filter((name) => typeof request.get(name) !== 'string');
  if (mistyped.length > 0) {
    throw invalid(1, `invalid values for required request parameters(s): ${listed(mistyped)}`);
  }
  return headers;
}

/** The bytes that are sent: `raw_body` as it is, `body` as JSON. */
function bodyOf(request: RegoObject): string {
  if (request.has('raw_body')) return stringOf(request.get('raw_body'));
  const body = request.get('body');
  return body === undefined ? '' : marshalJson(body);
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const mac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Lower case without regard to what follows, as a header's name is compared. */
const lowerCase = (name: string): string => [...name].map((character) => character.toLowerCase()).join('');

const inByteOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

type Signing = {
  readonly method: string;
  readonly url: Url;
  readonly headers: ReadonlyMap<string, string>;
  readonly payloadHash: string;
  readonly timestamp: string;
};

/** The headers that AWS asks for, `Authorization` among them (Signature Version 4). */
function signedHeaders(config: Config, signing: Signing): ReadonlyMap<string, string> {
  const { method, url, payloadHash, timestamp } = signing;
  const added = new Map([
    ['host', textOf(url.host)],
    ['x-amz-date', timestamp],
  ]);
  if (HASHED_SERVICES.has(config.service)) added.set('x-amz-content-sha256', payloadHash);
  if (config.sessionToken !== '') added.set('x-amz-security-token', config.sessionToken);
  const signed = new Map(added);
  for (const [name, value] of signing.headers) {
    const lower = lowerCase(name);
    if (!UNSIGNED_HEADERS.has(lower)) signed.set(lower, value);
  }
  const names = [...signed.keys()].sort(inByteOrder);
  const canonical = [
    method,
    escapedPath(url),
    textOf(url.rawQuery),
    ...names.map((name) => `${name}:${signed.get(name)}`),
    '',
    names.join(';'),
    payloadHash,
  ].join('\n');
  const date = timestamp.slice(0, 8);
  const scope = `${date}/${config.region}/${config.service}/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`;
  const key = [date, config.region, config.service, 'aws4_request'].reduce<string | Buffer>(
    mac,
    `AWS4${config.secretKey}`,
  );
  const authorization = [
    `AWS4-HMAC-SHA256 Credential=${config.accessKey}/${scope}`,
    `SignedHeaders=${names.join(';')}`,
    `Signature=${mac(key, toSign).toString('hex')}`,
  ].join(',');
  return new Map([['Authorization', authorization], ...added]);
}

function signRequest(request: RegoObject, awsConfig: RegoObject, ns: Value | undefined): Value {
  const config = configOf(awsConfig);
  const timestamp = timestampOf(integerAt(3, ns));
  const given = checkRequest(request);
  const url = urlFrom(stringOf(request.get('url')));
  const unsignedPayload = awsConfig.get('disable_payload_signing');
  if (unsignedPayload !== undefined && typeof unsignedPayload !== 'boolean') {
    throw invalid(2, "invalid value for 'disable_payload_signing' in AWS config");
  }
  const headers = new Map([...given].map(([name, value]) => [stringOf(name), stringOf(value)]));
  const added = signedHeaders(config, {
    method: stringOf(request.get('method')),
    url,
    headers,
    payloadHash: unsignedPayload === true ? 'UNSIGNED-PAYLOAD' : sha256(bodyOf(request)),
    timestamp,
  });
  return new RegoObject([...request, ['headers', new RegoObject([...headers, ...added])]]);
}

export const awsBuiltins: readonly Builtin[] = [
  {
    name: 'providers.aws.sign_req',
    arity: 3,
    run: (_ctx, request, config, ns) => signRequest(objectAt(1, request), objectAt(2, config), ns),
  },
];
