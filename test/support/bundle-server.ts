import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Scope } from './scope.ts';

/** What a bundle server answers, to be changed by the test; `seen` are the tags that it was asked with. */
export type Served = {
  body: Buffer;
  etag: string | undefined;
  status: number;
  readonly seen: (string | undefined)[];
};

/** A bundle server that wants the token `bundle-secret`; other requests are answered 401. */
export async function startBundleServer(
  scope: Scope,
  first: Buffer,
): Promise<{ readonly url: string; readonly served: Served }> {
  const served: Served = { body: first, etag: '"1"', status: 200, seen: [] };
  const server = createServer((request, response) => {
    served.seen.push(request.headers['if-none-match']);
    if (request.headers.authorization !== 'Bearer bundle-secret') {
      response.writeHead(401).end();
      return;
    }
    if (served.etag !== undefined) response.setHeader('etag', served.etag);
    if (served.status === 200 && served.etag !== undefined && request.headers['if-none-match'] === served.etag) {
      response.writeHead(304).end();
      return;
    }
    response.statusCode = served.status;
    if (served.status === 302) response.setHeader('location', 'http://127.0.0.1:1/');
    response.end(served.body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, served };
}

/** Configuration of one bundle, `main`, that is asked for again and again. */
export const polled = (url: string): { readonly [key: string]: unknown } => ({
  services: { ci: { url, credentials: { bearer: { token: 'bundle-secret' } } } },
  bundles: { main: { polling: { min_delay_seconds: 0.02, max_delay_seconds: 0.05 } } },
});
