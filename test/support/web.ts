import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import type { Pair } from './certificates.ts';
import type { Scope } from './scope.ts';

/** A web server on loopback until the scope ends; with a certificate it speaks TLS. Returns its origin. */
export async function serve(
  scope: Scope,
  listener: RequestListener,
  tls?: Pair,
  options: ServerOptions = {},
): Promise<string> {
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key), ...options }, listener);
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${await listen(server)}`;
}

/** Listens on a free port of the loopback interface, and returns it. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
