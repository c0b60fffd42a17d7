import { request } from 'undici';
import type { ServiceConfig } from '../../../config/schema.ts';
import { BodyTooLarge, readBounded } from '../../../lib/bounded-body.ts';
import { networkFailure } from '../../../lib/network-failure.ts';
import { readLimited } from '../../../lib/read-limited.ts';
import { SourceError } from '../source.ts';
import { createAssertion } from './assertion.ts';
import type { Credentials, CredentialsParts } from './credentials.ts';

type OAuth2Config = NonNullable<NonNullable<ServiceConfig['credentials']>['oauth2']>;
type Token = { readonly value: string; readonly endsMs: number };

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 262_144;
const MAX_ASSERTION_BYTES = 65_536;
/** A token that ends sooner may end on its way (OPA has the same margin). */
const MARGIN_MS = 10_000;
/** RFC 6749 section 5.2. Any other text could be anything. */
const ERRORS: readonly unknown[] = [
  'invalid_request',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_scope',
];

/**
 * Access tokens by the client credentials grant (RFC 6749 section 4.4) or a signed assertion (RFC 7523): one request at a
 * time, the token used until shortly before its end, and asked for anew when the service does not take it.
 */
export function createOAuth2(config: OAuth2Config, parts: CredentialsParts): Credentials {
  let token: Token | undefined;
  let asking: Promise<Token> | undefined;

  const ask = (): Promise<Token> => {
    asking ??= requestToken(config, parts).finally(() => {
      asking = undefined;
    });
    return asking;
  };

  return async ({ headers, wasRefused }) => {
    const isUsed = token !== undefined && headers['authorization'] === `Bearer ${token.value}`;
    const isFresh = token !== undefined && token.endsMs - parts.clock.monotonicMs() >= MARGIN_MS;
    if (token === undefined || !isFresh || (wasRefused && isUsed)) token = await ask();
    return { authorization: `Bearer ${token.value}` };
  };
}

async function requestToken(config: OAuth2Config, parts: CredentialsParts): Promise<Token> {
  const url = new URL(config.token_url);
  const where = `POST ${url.origin}${url.pathname} (token_url)`;
  const body = (await formOf(config, parts)).toString();
  const headers = { 'content-type': 'application/x-www-form-urlencoded', ...basicOf(config), ...lower(config) };
  const dispatcher = await parts.transport.to(url, 'authority');
  const askedMs = parts.clock.monotonicMs();
  let status: number;
  let bytes: Buffer;
  try {
    const answer = await request(url, {
      method: 'POST',
      dispatcher,
      headers: { accept: 'application/json', 'accept-encoding': 'identity', ...headers },
      body,
      // A redirect is not followed: what proves who we are would go with it.
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    status = answer.statusCode;
    bytes = await readBounded(answer.body, MAX_ANSWER_BYTES);
  } catch (error) {
    const text = error instanceof BodyTooLarge ? `the answer has ${error.message}` : networkFailure(error);
    throw new SourceError(`${where}: ${text}`);
  }
  const answer = parse(bytes);
  if (status !== 200) {
    const error = ERRORS.includes(answer['error']) ? ` (${answer['error']})` : '';
    throw new SourceError(`${where}: the server answered ${status}${error}`);
  }
  return tokenIn(answer, where, askedMs);
}

function tokenIn(answer: { readonly [key: string]: unknown }, where: string, askedMs: number): Token {
  const { access_token: value, token_type: type, expires_in: seconds } = answer;
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    throw new SourceError(`${where}: the answer has no token of type bearer`);
  }
  // RFC 6750 section 2.1, and nothing that could end a header.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value.trim())) {
    throw new SourceError(`${where}: the answer has no access_token that can be sent`);
  }
  const lifetime = Number(seconds ?? 0);
  return { value: value.trim(), endsMs: askedMs + (Number.isFinite(lifetime) ? lifetime * 1000 : 0) };
}

function parse(bytes: Buffer): { readonly [key: string]: unknown } {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

const lower = ({ additional_headers: headers }: OAuth2Config): { readonly [name: string]: string } =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** RFC 6749 section 2.3.1, without its encoding of both halves, as OPA sends it. */
function basicOf({ client_id: id = '', client_secret: secret, grant_type: grant }: OAuth2Config): object {
  if (secret === undefined || grant !== 'client_credentials') return {};
  return { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

async function formOf(config: OAuth2Config, { keys, clock }: CredentialsParts): Promise<URLSearchParams> {
  const { scopes, signing_key: name, client_id: id } = config;
  const form = new URLSearchParams(scopes.length === 0 ? {} : { scope: scopes.join(' ') });
  for (const [key, value] of Object.entries(config.additional_parameters)) form.set(key, value);
  const assertion = (): string => {
    const key = name === undefined ? undefined : keys[name];
    if (key === undefined) throw new SourceError('signing_key names no key');
    return createAssertion({
      key,
      thumbprint: config.thumbprint,
      claims: config.additional_claims,
      scopes,
      hasId: config.include_jti_claim,
      nowMs: clock.wallMs(),
    });
  };
  if (config.grant_type === 'jwt_bearer') {
    form.append('grant_type', 'urn:ietf:params:oauth:grant-type:jwt-bearer');
    form.append('assertion', assertion());
    return form;
  }
  form.append('grant_type', 'client_credentials');
  const proof = name === undefined ? await givenAssertion(config) : assertion();
  if (proof !== undefined) {
    form.append('client_assertion_type', config.client_assertion_type);
    form.append('client_assertion', proof);
    if (id !== undefined) form.append('client_id', id);
  }
  return form;
}

async function givenAssertion({
  client_assertion: given,
  client_assertion_path: path,
}: OAuth2Config): Promise<string | undefined> {
  if (path === undefined) return given;
  return (await readLimited(path, MAX_ASSERTION_BYTES)).toString('utf8').trim();
}
