import type { IncomingHttpHeaders } from 'node:http';
import type { Scope } from './scope.ts';
import { serve } from './web.ts';

type BundleReport = { readonly [key: string]: unknown };
/** What OPA's status API is sent. */
export type Report = {
  readonly labels: { readonly [label: string]: string };
  readonly bundles?: { readonly [name: string]: BundleReport };
  readonly discovery?: BundleReport;
  readonly plugins: { readonly [name: string]: { readonly state: string } };
  readonly metrics: { readonly prometheus: { readonly [name: string]: Family } };
};
export type Family = { readonly name: string; readonly type: string; readonly metric: readonly object[] };

export type Sent = {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly report: Report;
};

/** What bundles and reports are answered with. */
type Served = {
  status: number;
  bundle: { readonly status: number; readonly etag: string; body: Buffer };
};

/** A bundle server that is told how things are as well. `bundle` is what it answers with, by its etag. */
export async function startStatusServer(scope: Scope) {
  const sent: Sent[] = [];
  const served: Served = { status: 200, bundle: { status: 200, etag: '"1"', body: Buffer.alloc(0) } };
  const url = await serve(scope, (request, response) => {
    const { method, url: path, headers } = request;
    if (method === 'GET') {
      const { status, etag, body } = served.bundle;
      if (status === 200 && headers['if-none-match'] === etag) response.writeHead(304).end();
      else response.writeHead(status, { etag }).end(status === 200 ? body : '');
      return;
    }
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      sent.push({ method, path, headers, report: JSON.parse(text) as Report });
      response.writeHead(served.status).end('{}');
    });
  });
  return { url, sent, served };
}
