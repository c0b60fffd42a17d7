import { gunzip } from 'node:zlib';
import { type Dispatcher, request as sendRequest } from 'undici';
import type { ServiceConfig } from '../../config/schema.ts';
import { BodyTooLarge, readBounded } from '../../lib/bounded-body.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Transport } from '../../lib/http-transport.ts';
import { networkFailure } from '../../lib/network-failure.ts';
import { bundleLimits } from '../unpack.ts';
import type { Credentials, Headers } from './credentials/credentials.ts';
import { SourceError } from './source.ts';

/** ms. */
export type TransferLimits = {
  /** From the beginning to a request that is sent. */
  readonly connectMs: number;
  /** From the response headers to the end of the body. */
  readonly downloadMs: number;
  /** Between two pieces of the body. */
  readonly stallMs: number;
};
export const transferLimits: TransferLimits = { connectMs: 10_000, downloadMs: 120_000, stallMs: 15_000 };

export type ServiceClientParts = {
  readonly headers: ServiceConfig['headers'];
  readonly headersTimeoutMs: number;
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly limits: TransferLimits;
  readonly clock: Clock;
};

export type GetRequest = {
  readonly url: URL;
  /** In lower case; they go before those of the service. */
  readonly headers: Headers;
  /** How long the server was asked to wait, ms. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
};

export type PostRequest = {
  readonly url: URL;
  /** In lower case; they go before those of the service. */
  readonly headers: Headers;
  readonly body: string | Uint8Array;
  readonly signal: AbortSignal;
};

export type Answer = {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  /** Of an answer with status 200; else empty. */
  readonly body: Buffer;
};

/** Asks a service. Rejects with SourceError, which says where and what, when there is no answer. */
export type ServiceClient = {
  /**
   * Follows redirects, on which neither credentials nor headers of the service leave its origin. Any answer that is not a
   * redirect is one.
   */
  readonly get: (request: GetRequest) => Promise<Answer>;
  /** Sends something to the service, and to nobody else: a redirect is an answer. Of the answer nothing counts but its head. */
  readonly post: (request: PostRequest) => Promise<Answer>;
};

/** A request to the service or to whom it refers. */
type Request = Omit<GetRequest, 'waitMs'> & { readonly waitMs?: number; readonly body?: PostRequest['body'] };
const methodOf = ({ body }: Request): 'GET' | 'POST' => (body === undefined ? 'GET' : 'POST');

const MAX_REDIRECTS = 5;
const MAX_SKIPPED_BYTES = 16_384;
const SKIP_MS = 1000;
const MAX_TIMER_MS = 2_147_483_647;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export function createServiceClient(parts: ServiceClientParts): ServiceClient {
  const own = lowerCase(parts.headers);

  async function send(request: Request, url: URL, headers: Headers, isHome: boolean): Promise<Dispatcher.ResponseData> {
    const dispatcher = await parts.transport.to(url, isHome ? 'service' : 'stranger');
    const headersTimeout = Math.min(parts.headersTimeoutMs + (request.waitMs ?? 0), MAX_TIMER_MS);
    // undici begins to count anew with each interim response (RFC 9110 section 15.2), which may go on for ever.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), Math.min(parts.limits.connectMs + headersTimeout, MAX_TIMER_MS));
    try {
      return await sendRequest(url, {
        dispatcher,
        method: methodOf(request),
        ...(request.body === undefined ? {} : { body: request.body }),
        headers: { 'user-agent': 'postern', ...headers },
        headersTimeout,
        bodyTimeout: parts.limits.stallMs,
        signal: AbortSignal.any([request.signal, late.signal]),
      });
    } catch (error) {
      const what = late.signal.aborted ? 'no response headers in time' : networkFailure(error);
      throw at(url, what, {}, methodOf(request));
    } finally {
      clearTimeout(timer);
    }
  }

  /** To the service itself: with what is its own, and once more with other credentials when it refuses the first. */
  async function sendHome(request: Request, url: URL): Promise<Dispatcher.ResponseData> {
    const plain = { ...basicOf(url), ...own, ...request.headers };
    const proofOf = (headers: Headers, wasRefused: boolean): Promise<Headers> =>
      unlessAborted(
        parts.credentials({ method: methodOf(request), url, headers, body: request.body, wasRefused }),
        request.signal,
      );
    const proof = await proofOf(plain, false);
    const first = await send(request, url, { ...plain, ...proof }, true);
    if (first.statusCode !== 401) return first;
    const other = await proofOf({ ...plain, ...proof }, true);
    if (JSON.stringify(other) === JSON.stringify(proof)) return first;
    discard(first);
    return send(request, url, { ...plain, ...other }, true);
  }

  async function get(request: GetRequest): Promise<Answer> {
    let url = request.url;
    let isHome = true;
    for (let redirects = 0; ; redirects++) {
      const response = isHome ? await sendHome(request, url) : await send(request, url, request.headers, false);
      const { location } = response.headers;
      if (!REDIRECTS.has(response.statusCode) || typeof location !== 'string') {
        return readAnswer(response, url, isHome);
      }
      discard(response);
      if (redirects === MAX_REDIRECTS) throw at(request.url, `more than ${MAX_REDIRECTS} redirects`);
      const next = nextUrl(url, location);
      // For good: what another origin refers to is its choice, not the service's.
      isHome &&= next.origin === url.origin;
      url = next;
    }
  }

  async function readAnswer(response: Dispatcher.ResponseData, url: URL, isHome: boolean): Promise<Answer> {
    const { statusCode: status, headers } = response;
    if (status !== 200) {
      discard(response);
      if ((status === 401 || status === 403) && !isHome) {
        throw at(url, `the server answered ${status}; credentials stay with the origin that redirected here`, {
          status,
        });
      }
      return { status, headers, body: Buffer.alloc(0) };
    }
    return { status, headers, body: await decoded(await download(response, url, parts.limits), headers, url) };
  }

  async function post(request: PostRequest): Promise<Answer> {
    const response = await sendHome(request, request.url);
    skip(response);
    return { status: response.statusCode, headers: response.headers, body: Buffer.alloc(0) };
  }

  return { get, post };
}

async function download(response: Dispatcher.ResponseData, url: URL, limits: TransferLimits): Promise<Buffer> {
  const { body, headers } = response;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    body.destroy();
  }, limits.downloadMs);
  try {
    const bytes = await readBounded(body, bundleLimits.packed);
    const announced = headers['content-length'];
    if (typeof announced === 'string' && Number(announced) !== bytes.length) throw at(url, 'the download is short');
    return bytes;
  } catch (error) {
    if (isLate) throw at(url, `the download took longer than ${limits.downloadMs / 1000} s`);
    if (error instanceof BodyTooLarge) throw at(url, `the answer has ${error.message}`);
    throw error instanceof SourceError ? error : failed(url, error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * RFC 9110 section 8.4. Nothing but `identity` was asked for; a server that calls a gzipped archive's own compression an
 * encoding means the archive as it is.
 */
async function decoded(bytes: Buffer, headers: Answer['headers'], url: URL): Promise<Buffer> {
  const encoding = String(headers['content-encoding'] ?? 'identity')
    .trim()
    .toLowerCase();
  if (encoding === 'identity' || encoding === '') return bytes;
  if (encoding !== 'gzip' && encoding !== 'x-gzip') throw at(url, 'the answer has a content encoding other than gzip');
  const plain = await new Promise<Buffer>((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: bundleLimits.packed }, (error, result) => {
      if (error === null) resolve(result);
      else if ('code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') resolve(bytes);
      else reject(at(url, 'the answer is not the gzip that it is called'));
    });
  });
  return plain[0] === 0x1f && plain[1] === 0x8b ? plain : bytes;
}

function nextUrl(url: URL, location: string): URL {
  const next = URL.parse(location, url.href);
  if (next === null || (next.protocol !== 'https:' && next.protocol !== 'http:')) {
    throw at(url, 'a redirect to what is no HTTP address');
  }
  if (url.protocol === 'https:' && next.protocol === 'http:') throw at(url, 'a redirect from https to http');
  return next;
}

/** Leaves an answer unread, and its connection for the next request, unless it is long or slow. */
function skip({ body }: Dispatcher.ResponseData): void {
  body.dump({ limit: MAX_SKIPPED_BYTES, signal: AbortSignal.timeout(SKIP_MS) }).catch(() => {});
}

/** Ends an answer that nobody reads. */
function discard({ body }: Dispatcher.ResponseData): void {
  body.on('error', () => {});
  body.destroy();
}

/** What a server may say of itself is not repeated; where it is, is: without what may be secret in an address. */
const at = (
  url: URL,
  what: string,
  told: ConstructorParameters<typeof SourceError>[1] = {},
  method: 'GET' | 'POST' = 'GET',
): SourceError => new SourceError(`${method} ${url.origin}${url.pathname}: ${what}`, told);

const failed = (url: URL, error: unknown): SourceError => at(url, networkFailure(error));

function basicOf({ username, password }: URL): Headers {
  if (username === '' && password === '') return {};
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` };
}

const lowerCase = (headers: Headers): Headers =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return Promise.race([promise, aborted]);
}
