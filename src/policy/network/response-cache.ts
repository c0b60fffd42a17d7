import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Header, HttpRequest, HttpResponse } from '../builtins/builtin.ts';

/*
 * Responses that are used again by later evaluations, by OPA's rules
 * (https://www.openpolicyagent.org/docs/policy-reference/builtins/http) and HTTP's (RFC 9111).
 */

type Send = (request: HttpRequest) => Promise<HttpResponse>;
type Stored = { readonly response: HttpResponse; readonly expiresAtMs: number };

const CACHEABLE: ReadonlySet<number> = new Set([200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501]);
const ENTRY_BYTES = 500;

/** `send`, with responses used again for requests that allow it; at most `maxBytes` of them are kept. */
export function withResponseCache(
  send: Send,
  maxBytes: number,
): (request: HttpRequest, nowNs: bigint) => Promise<HttpResponse> {
  const entries = new LRUCache<string, Stored>({
    maxSize: maxBytes,
    sizeCalculation: ({ response }) => sizeOf(response),
  });
  const underWay = new Map<string, Promise<HttpResponse>>();

  async function fetchInto(key: string, request: HttpRequest, nowMs: number): Promise<HttpResponse> {
    const stale = entries.get(key);
    const revalidated = stale === undefined ? undefined : await revalidate(stale.response, request);
    entries.delete(key);
    const response = revalidated ?? (await send(request));
    const expiresAtMs = expiryOf(response, request, nowMs);
    if (expiresAtMs !== undefined) entries.set(key, { response, expiresAtMs });
    return response;
  }

  /** What is valid now, if the stored response has something to ask with and the server answers to the point. */
  async function revalidate(stored: HttpResponse, request: HttpRequest): Promise<HttpResponse | undefined> {
    const etag = stored.headers.get('etag')?.[0];
    const modified = stored.headers.get('last-modified')?.[0];
    if (etag === undefined && modified === undefined) return undefined;
    const answer = await send({
      ...request,
      headers: [
        ...request.headers,
        ...(etag === undefined ? [] : [['if-none-match', etag] as const]),
        ...(modified === undefined ? [] : [['if-modified-since', modified] as const]),
      ],
    });
    if (answer.status === 200) return answer;
    return answer.status === 304 ? { ...stored, headers: new Map([...stored.headers, ...answer.headers]) } : undefined;
  }

  return (request, nowNs) => {
    if (request.reuse === 'never') return send(request);
    const key = keyOf(request);
    const nowMs = Number(nowNs / 1_000_000n);
    const stored = entries.get(key);
    if (stored !== undefined && nowMs < stored.expiresAtMs) return Promise.resolve(stored.response);
    const known = underWay.get(key);
    if (known !== undefined) return known;
    const fetched = fetchInto(key, request, nowMs).finally(() => underWay.delete(key));
    underWay.set(key, fetched);
    return fetched;
  };
}

/** What is left out is told by name, so that a request without such a header does not get what one with it was answered. */
function keyOf(request: HttpRequest): string {
  const isIgnored = ([name]: Header): boolean => request.ignoredHeaders.includes(name);
  const told = {
    ...request,
    headers: request.headers.filter((header) => !isIgnored(header)),
    ignoredHeaders: request.headers.filter(isIgnored).map(([name]) => name),
  };
  return createHash('sha256').update(JSON.stringify(told)).digest('base64');
}

const sizeOf = ({ body, headers }: HttpResponse): number =>
  ENTRY_BYTES + body.length + [...headers].reduce((sum, [name, values]) => sum + name.length + values.join().length, 0);

/** When it may no longer be used as it is, ms since the epoch; undefined when it must not be kept. */
function expiryOf({ status, headers }: HttpResponse, request: HttpRequest, nowMs: number): number | undefined {
  if (!CACHEABLE.has(status) || !isSameForAll(headers, request)) return undefined;
  if (typeof request.reuse === 'number') return nowMs + request.reuse * 1_000;
  const directives = new Map(
    (headers.get('cache-control')?.join() ?? '').split(',').map((directive) => {
      const [name = '', value = ''] = directive.trim().toLowerCase().split('=', 2);
      return [name, value];
    }),
  );
  if (directives.has('no-store')) return undefined;
  // RFC 9111 section 5.2.2.4: to be asked about before each use.
  if (directives.has('no-cache')) return 0;
  const maxAge = directives.get('max-age');
  // What is kept without being valid is only asked with.
  if (maxAge === undefined) return dateOf(headers.get('expires')?.[0]) ?? 0;
  const date = dateOf(headers.get('date')?.[0]);
  return date === undefined || !/^\d{1,10}$/.test(maxAge) ? undefined : date + Number(maxAge) * 1_000;
}

/** RFC 9111 section 4.1: a response that depends on a header which the key leaves out is of no use to others. */
function isSameForAll(headers: HttpResponse['headers'], { ignoredHeaders }: HttpRequest): boolean {
  const names = (headers.get('vary')?.join() ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  return names.every((name) => name !== '*' && !ignoredHeaders.includes(name));
}

function dateOf(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}
