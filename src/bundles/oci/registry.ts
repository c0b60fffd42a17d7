import { type Dispatcher, request } from 'undici';
import { readBounded } from '../../lib/bounded-body.ts';
import { isLoopback } from '../../lib/loopback.ts';
import { BundleError } from '../error.ts';
import { type Challenge, readChallenge } from './challenge.ts';

type Headers = Readonly<Record<string, string>>;

/** Headers with which Postern identifies itself. */
export type Credentials = (request: {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly wasRefused: boolean;
}) => Promise<Headers>;

/** What sends requests to the registry, to where it has its tokens, or to where it redirects. */
export type DispatcherFor = (url: URL, peer: 'service' | 'authority' | 'stranger') => Promise<Dispatcher>;

export type RegistryOptions = {
  /** Origin of the registry. */
  readonly url: string;
  readonly credentials: Credentials;
  /** Sent to the registry, and nowhere else. */
  readonly headers: Headers;
  readonly headersMs: number;
  /** For connections with settings of their own. */
  readonly dispatcherFor?: DispatcherFor | undefined;
};

export type Ask = {
  readonly method: 'GET' | 'HEAD';
  /** Below `/v2/`. */
  readonly path: string;
  readonly repository: string;
  readonly accept: string;
  readonly maxBytes: number;
};

type Answer = { readonly status: number; readonly digest: string | undefined; readonly body: Buffer };
export type Registry = (ask: Ask, signal: AbortSignal) => Promise<Answer>;

const MAX_REDIRECTS = 5;
const MAX_TOKEN_BYTES = 65_536;
const MAX_ERROR_BYTES = 65_536;

/**
 * Asks a registry (OCI distribution specification), fetching a token where it names the place of tokens. Credentials go
 * to the registry itself and to that place, tokens to the registry; wherever a redirect leads, neither does. Rejects
 * with BundleError; an answer that is none of 200, 404 and 405 is an error as well.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const { credentials, headersMs, dispatcherFor } = options;
  const { origin, protocol, hostname } = new URL(options.url);
  const isLocal = isLoopback(hostname);
  let token: string | undefined;

  async function send(
    target: URL,
    peer: Parameters<DispatcherFor>[1],
    method: 'GET' | 'HEAD',
    headers: Headers,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    return request(target, {
      method,
      headers: { ...headers, 'accept-encoding': 'identity' },
      headersTimeout: headersMs,
      signal,
      ...(dispatcherFor === undefined ? {} : { dispatcher: await dispatcherFor(target, peer) }),
    });
  }

  async function ownHeaders(method: string, url: URL, accept: string): Promise<Headers> {
    const headers = { ...options.headers, accept };
    const ask = { method, url, headers, wasRefused: false };
    return { ...headers, ...(token === undefined ? await credentials(ask) : bearer(token)) };
  }

  /** The answer after redirects, and whether it is still the registry's. */
  async function follow(
    ask: Ask,
    signal: AbortSignal,
  ): Promise<{ response: Dispatcher.ResponseData; isOurs: boolean }> {
    const { method, accept } = ask;
    let target = new URL(`/v2/${ask.path}`, origin);
    let isOurs = true;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const headers = isOurs ? await ownHeaders(method, target, accept) : { accept };
      const response = await send(target, isOurs ? 'service' : 'stranger', method, headers, signal);
      const { location } = response.headers;
      if (response.statusCode < 300 || response.statusCode >= 400 || typeof location !== 'string') {
        return { response, isOurs };
      }
      await response.body.dump({ limit: MAX_ERROR_BYTES, signal });
      target = redirected(target, location);
      // For good: what another origin refers to is its choice, not the registry's.
      isOurs &&= target.origin === origin;
    }
    throw new BundleError('the registry redirects without an end');
  }

  async function fetchToken(
    { realm, service, scope }: Challenge,
    repository: string,
    signal: AbortSignal,
  ): Promise<string> {
    realm.username = '';
    realm.password = '';
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', scope ?? `repository:${repository}:pull`);
    const headers = { accept: 'application/json' };
    const own = await credentials({ method: 'GET', url: realm, headers, wasRefused: false });
    // Only what nobody on the way could have written may send credentials elsewhere, and only to where nobody reads them.
    const isSafe =
      realm.origin === origin ||
      (realm.protocol === 'https:' && (protocol === 'https:' || isLocal)) ||
      (isLocal && isLoopback(realm.hostname));
    if (!isSafe && Object.keys(own).length > 0) {
      throw new BundleError(`tokens are at ${realm.host}, to which credentials could not be sent safely`);
    }
    const peer = realm.origin === origin ? 'service' : 'authority';
    const { statusCode, body } = await send(realm, peer, 'GET', { ...headers, ...own }, signal);
    const bytes = await readBounded(body, MAX_TOKEN_BYTES);
    if (statusCode !== 200) throw new BundleError(`${realm.host} gave no token (${statusCode}); check the credentials`);
    return readToken(bytes, realm.host);
  }

  return async (ask, signal) => {
    let { response, isOurs } = await follow(ask, signal);
    if (response.statusCode === 401 && isOurs) {
      const challenge = readChallenge(response.headers['www-authenticate']);
      await response.body.dump({ limit: MAX_ERROR_BYTES, signal });
      if (challenge !== undefined) {
        // A token that is over looks the same as one that was never there.
        token = undefined;
        token = await fetchToken(challenge, ask.repository, signal);
        ({ response, isOurs } = await follow(ask, signal));
      }
    }
    const { statusCode: status, headers, body } = response;
    const digest = headers['docker-content-digest'];
    if (status === 200) {
      const bytes = await readBounded(body, ask.maxBytes);
      return { status, digest: typeof digest === 'string' ? digest : undefined, body: bytes };
    }
    if (status === 401) token = undefined;
    await body.dump({ limit: MAX_ERROR_BYTES, signal });
    if (status === 404 || status === 405) return { status, digest: undefined, body: Buffer.alloc(0) };
    throw new BundleError(refusal(status, isOurs));
  };
}

const bearer = (token: string): Headers => ({ authorization: `Bearer ${token}` });

function redirected(from: URL, location: string): URL {
  const target = URL.parse(location, from.href);
  const isSafe = target?.protocol === 'https:' || (target?.protocol === 'http:' && from.protocol === 'http:');
  if (target === null || !isSafe) throw new BundleError('the registry redirects to where it is not safe to go');
  target.username = '';
  target.password = '';
  return target;
}

function readToken(bytes: Buffer, host: string): string {
  let answer: unknown;
  try {
    answer = JSON.parse(bytes.toString('utf8'));
  } catch {
    // Without the parser's message, which quotes what it has read.
  }
  const { token, access_token: access } = (typeof answer === 'object' && answer !== null ? answer : {}) as {
    readonly token?: unknown;
    readonly access_token?: unknown;
  };
  const found = [token, access].find((value) => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value));
  if (typeof found !== 'string') throw new BundleError(`${host} answered without a token`);
  return found;
}

function refusal(status: number, isOurs: boolean): string {
  const who = isOurs ? 'the registry' : 'the server to which the registry redirects';
  if (status === 401) return `${who} wants credentials, or others than these (401)`;
  if (status === 403) return `${who} does not allow these credentials to pull (403)`;
  if (status === 429) return `${who} has had too many requests (429)`;
  return `${who} answered ${status}`;
}
