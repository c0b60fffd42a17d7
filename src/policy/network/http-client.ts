import { createHash, randomInt } from 'node:crypto';
import { type LookupOptions, lookup as lookUp } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { rootCertificates } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { Agent, type Dispatcher, request as sendRequest } from 'undici';
import { backoffMs } from '../../lib/backoff.ts';
import { readBounded } from '../../lib/bounded-body.ts';
import { messageOf } from '../../lib/message.ts';
import { readLimited } from '../../lib/read-limited.ts';
import {
  BuiltinError,
  type HttpRequest,
  type HttpResponse,
  NetworkError,
  type PemSource,
  type TlsOptions,
} from '../builtins/builtin.ts';
import type { AllowList } from './allow-list.ts';

export type HttpClientOptions = {
  readonly allowList: AllowList;
  /** Longest response body, bytes. */
  readonly maxResponseBytes: number;
  /** Requests under way at once. */
  readonly maxInFlight: number;
  /** For `tls_…_env_variable`. */
  readonly env: { readonly [name: string]: string | undefined };
};

const MAX_REDIRECTS = 10;
const MAX_AGENTS = 16;
const MAX_PEM_BYTES = 1_048_576;
const RETRY_BASE_MS = 100;
const RETRY_CAP_MS = 5_000;

/** A client that speaks to the hosts of its list only, redirects included. Rejects with NetworkError, BuiltinError. */
export function createHttpClient(options: HttpClientOptions): (request: HttpRequest) => Promise<HttpResponse> {
  const { allowList } = options;
  const agents = new LRUCache<string, Agent>({ max: MAX_AGENTS, dispose: (agent) => void agent.close() });
  let inFlight = 0;

  async function agentFor(tls: TlsOptions): Promise<Agent> {
    const connect = await connectOptions(tls, options.env);
    const key = createHash('sha256').update(JSON.stringify(connect)).digest('base64');
    const known = agents.get(key);
    if (known !== undefined) return known;
    const agent = new Agent({
      connect: { ...connect, lookup: lookupWithin(allowList) },
      maxResponseSize: options.maxResponseBytes,
    });
    agents.set(key, agent);
    return agent;
  }

  async function once(request: HttpRequest, agent: Agent, signal: AbortSignal): Promise<HttpResponse> {
    let url = urlOf(request.url);
    let hop: Hop = { method: request.method, headers: request.headers, body: request.body };
    for (let redirects = 0; ; redirects++) {
      allowList.requireUrl(url);
      const response = await dispatch(url, hop, agent, signal, options.maxResponseBytes);
      const location = response.headers.get('location')?.[0];
      if (!request.followRedirects || location === undefined || !REDIRECTS.has(response.status)) return response;
      if (redirects === MAX_REDIRECTS) throw new NetworkError(`stopped after ${MAX_REDIRECTS} redirects`);
      const next = urlOf(location, url);
      // Credentials do not go on without encryption either.
      const isSame = next.host === url.host && (next.protocol === 'https:' || url.protocol === 'http:');
      hop = redirected(hop, response.status, isSame);
      url = next;
    }
  }

  async function withRetries(request: HttpRequest): Promise<HttpResponse> {
    allowList.requireUrl(urlOf(request.url));
    const signal = AbortSignal.timeout(request.timeoutMs);
    const agent = await agentFor(request.tls);
    for (let attempt = 0; ; attempt++) {
      try {
        return await once(request, agent, signal);
      } catch (error) {
        if (error instanceof BuiltinError) throw error;
        if (attempt >= request.retries || signal.aborted) throw networkError(request, error, signal.aborted);
        await new Promise((resolve) =>
          setTimeout(
            resolve,
            backoffMs(attempt, RETRY_BASE_MS, RETRY_CAP_MS, () => randomInt(1_000) / 1_000),
          ),
        );
      }
    }
  }

  return async (request) => {
    if (inFlight >= options.maxInFlight) throw new NetworkError('too many requests under way');
    inFlight++;
    try {
      return await withRetries(request);
    } finally {
      inFlight--;
    }
  };
}

type Hop = Pick<HttpRequest, 'method' | 'headers' | 'body'>;

function urlOf(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url === null) throw new BuiltinError('the URL cannot be read');
  return url;
}

async function dispatch(
  url: URL,
  { method, headers, body }: Hop,
  dispatcher: Dispatcher,
  signal: AbortSignal,
  maxBytes: number,
): Promise<HttpResponse> {
  const sent = new Map([['user-agent', 'postern'], ['accept-encoding', 'identity'], ...credentialsOf(url), ...headers]);
  const response = await sendRequest(url, {
    dispatcher,
    signal,
    method: method as Dispatcher.HttpMethod,
    headers: Object.fromEntries(sent),
    ...(body === undefined ? {} : { body }),
  });
  const bytes = await readBounded(response.body, maxBytes);
  return {
    status: response.statusCode,
    statusText: response.statusText,
    headers: new Map(
      Object.entries(response.headers)
        .filter(([name]) => !OF_THE_TRANSFER.has(name))
        .map(([name, value = []]) => [name, typeof value === 'string' ? [value] : value]),
    ),
    body: bytes.toString('utf8'),
  };
}

function credentialsOf({ username, password }: URL): readonly (readonly [string, string])[] {
  if (username === '' && password === '') return [];
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return [['authorization', `Basic ${Buffer.from(text).toString('base64')}`]];
}

/** Headers that Go's client keeps to itself. */
const OF_THE_TRANSFER: ReadonlySet<string> = new Set(['transfer-encoding', 'trailer']);

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'cookie2',
  'proxy-authorization',
  'www-authenticate',
]);
const OF_THE_BODY: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'content-language',
]);

/** The request that follows a redirect: 307 and 308 keep method and body; credentials stay with their host. */
function redirected({ method, headers, body }: Hop, status: number, sameHost: boolean): Hop {
  const keepsBody = status === 307 || status === 308;
  const kept = headers.filter(
    ([name]) => name !== 'host' && (sameHost || !CREDENTIALS.has(name)) && (keepsBody || !OF_THE_BODY.has(name)),
  );
  if (keepsBody) return { method, headers: kept, body };
  return { method: method === 'HEAD' ? 'HEAD' : 'GET', headers: kept, body: undefined };
}

function networkError({ method, url }: HttpRequest, cause: unknown, isLate: boolean): NetworkError {
  if (cause instanceof NetworkError) return cause;
  const where = `${method} ${url.slice(0, 500)}`;
  return new NetworkError(isLate ? `${where}: request timed out` : `${where}: ${messageOf(cause)}`);
}

/** Looks names up and keeps the addresses that are allowed; so a name cannot lead to where its list would not. */
function lookupWithin(allowList: AllowList): LookupFunction {
  return (hostname, given, callback) => {
    const wanted: LookupOptions = given;
    lookUp(hostname, { ...wanted, all: true }, (error, addresses) => {
      const allowed = error === null ? addresses.filter(({ address }) => allowList.allowsAddress(address)) : [];
      const [first] = allowed;
      if (error !== null || first === undefined) {
        callback(
          error ?? Object.assign(new Error('the host has no address that is allowed'), { code: 'EACCES' }),
          '',
          0,
        );
      } else if (wanted.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

/** https://www.openpolicyagent.org/docs/policy-reference/builtins/http: the system's authorities unless others are named. */
async function connectOptions(tls: TlsOptions, env: HttpClientOptions['env']): Promise<object> {
  const authorities = await Promise.all(tls.authorities.map((source) => readPem(source, env)));
  const ca = tls.useSystemAuthorities ? [...rootCertificates, ...authorities] : authorities;
  const hasCertificate = tls.certificate !== undefined && tls.key !== undefined;
  return {
    ...(ca.length === 0 ? {} : { ca }),
    ...(hasCertificate ? { cert: await readPem(tls.certificate, env), key: await readPem(tls.key, env) } : {}),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
    ...(tls.skipVerification ? { rejectUnauthorized: false } : {}),
  };
}

/** Empty for what is no file, or too large a one. */
const readPemFile = async (file: string): Promise<string> => {
  const bytes = await readLimited(file, MAX_PEM_BYTES).catch(() => Buffer.alloc(0));
  return bytes.toString('utf8');
};

async function readPem(source: PemSource, env: HttpClientOptions['env']): Promise<string> {
  if ('text' in source) return source.text;
  const text = 'file' in source ? await readPemFile(source.file) : (env[source.variable] ?? '');
  if (text === '' || text.length > MAX_PEM_BYTES) throw new BuiltinError('a certificate or key cannot be read');
  return text;
}
