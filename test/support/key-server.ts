import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Scope } from './scope.ts';

export type Fault = 'ok' | 'status' | 'cut' | 'slow' | 'empty' | 'page' | 'refused';

export type KeyServer = {
  readonly uri: string;
  /** What it publishes; also what a slow answer that is under way has published before. */
  keys: readonly { readonly kid?: unknown }[];
  /** How it answers the next request. */
  fault: () => Fault;
  readonly requests: () => number;
  /** When a good answer with this key had first been sent, on the monotonic clock (ms). */
  readonly givenAt: (kid: string) => number | undefined;
};

const SLOW_MS = 1_500;

/** An issuer's key set over HTTP, which fails as it is told to. */
export async function startKeyServer(scope: Scope): Promise<KeyServer> {
  const given = new Map<string, number>();
  let requests = 0;
  const server = createServer((_request, response) => {
    requests++;
    const { keys } = self;
    const text = JSON.stringify({ keys });
    const give = (): void => {
      response.on('finish', () => {
        for (const { kid } of keys) if (!given.has(String(kid))) given.set(String(kid), performance.now());
      });
      response.end(text);
    };
    fail(self.fault(), response, text, give);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const self: KeyServer = {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
    keys: [],
    fault: () => 'ok',
    requests: () => requests,
    givenAt: (kid) => given.get(kid),
  };
  return self;
}

function fail(fault: Fault, response: ServerResponse, text: string, give: () => void): void {
  switch (fault) {
    case 'ok':
      give();
      return;
    case 'slow':
      setTimeout(give, SLOW_MS);
      return;
    case 'status':
      response.writeHead(500).end(text);
      return;
    case 'empty':
      response.end('{"keys":[]}');
      return;
    case 'page':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>Down for maintenance</body></html>');
      return;
    case 'cut':
      response.writeHead(200, { 'content-length': text.length });
      response.write(text.slice(0, text.length / 2), () => response.destroy());
      return;
    case 'refused':
      response.destroy();
  }
}
