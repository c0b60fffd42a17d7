import { encodeRequest } from '../../test/support/grpc.ts';
import { createSigner } from '../../test/support/tokens.ts';

export const benchIssuer = 'https://idp.bench/';

/** Of every so many callers, one may not do what it asks for. */
const DENIED_EVERY = 10;
const TOKENS = 1000;
const PATHS = 1000;
const LIFETIME_SECONDS = 6 * 3600;

/** One question in both shapes: what Envoy is asked, and what Envoy asks about it. */
export type BenchRequest = {
  readonly path: string;
  readonly token: string;
  /** CheckRequest bytes, about 1.4 KB. The 12 digits behind `idPrefix` may be changed. */
  readonly check: Buffer;
  readonly isAllowed: boolean;
};

export type Callers = {
  /** Their issuer's keys. */
  readonly jwks: object;
  /**
   * CheckRequests as Envoy sends them, with 1,000 paths (of another kind with `pathOf`). All differ, also when there are more
   * than tokens; a tenth is to be denied.
   */
  readonly requests: (count: number, pathOf?: (n: number) => string) => readonly BenchRequest[];
};

/** What a request's id begins with. */
export const idPrefix = '00000000-0000-4000-8000-';

const itemPath = (n: number): string => `/v1/items/${n % PATHS}?page=${n % 7}`;

/** 1,000 callers, each with a token of its own. */
export async function createCallers(): Promise<Callers> {
  const signer = await createSigner(benchIssuer);
  const tokens = await Promise.all(
    Array.from({ length: TOKENS }, (_, caller) => signer.sign(claimsOf(caller), LIFETIME_SECONDS)),
  );
  return {
    jwks: signer.jwks,
    requests: (count, pathOf = itemPath) =>
      Array.from({ length: count }, (_, n): BenchRequest => {
        const caller = n % TOKENS;
        const token = tokens[caller] ?? '';
        // Moved on by one each time all callers have been there, so that they ask for something else.
        const path = pathOf(n + Math.floor(n / TOKENS));
        return { path, token, check: checkOf(n, path, token), isAllowed: isAnalyst(caller) };
      }),
  };
}

const isAnalyst = (caller: number): boolean => caller % DENIED_EVERY !== 0;

const claimsOf = (caller: number): { readonly [claim: string]: unknown } => ({
  sub: `user-${caller}`,
  roles: [isAnalyst(caller) ? 'analyst' : 'auditor', 'viewer'],
  tenant: `tenant-${caller % 50}`,
  region: 'eu',
  jti: `j-${caller}`,
  email: `user-${caller}@bench.example`,
  scope: 'openid profile email read:items write:items',
  azp: 'web-frontend',
  sid: `s-${caller * 7919}`,
});

/** Headers as Envoy sends them along, of the n-th request. */
export const headersOf = (n: number, path: string, token: string): { readonly [name: string]: string } => ({
  ':authority': 'api.bench',
  ':method': 'GET',
  ':path': path,
  ':scheme': 'https',
  accept: 'application/json',
  'accept-encoding': 'gzip, br',
  authorization: `Bearer ${token}`,
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36',
  'x-forwarded-for': '203.0.113.9',
  'x-forwarded-proto': 'https',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'x-request-id': `${idPrefix}${String(n).padStart(12, '0')}`,
});

function checkOf(n: number, path: string, token: string): Buffer {
  return Buffer.from(
    encodeRequest({
      attributes: {
        source: {
          address: { socketAddress: { address: '10.0.0.7', portValue: 40_000 + (n % 1000) } },
          principal: 'spiffe://cluster.local/ns/web/sa/frontend',
        },
        destination: { address: { socketAddress: { address: '10.0.0.9', portValue: 8080 } } },
        request: {
          time: '2026-01-02T03:04:05.678Z',
          http: {
            id: String(1_000_000 + n),
            method: 'GET',
            path,
            host: 'api.bench',
            scheme: 'https',
            protocol: 'HTTP/1.1',
            headers: headersOf(n, path, token),
          },
        },
        metadataContext: {},
        routeMetadataContext: {},
      },
    }),
  );
}
