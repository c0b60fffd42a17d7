import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import type { Scope } from './scope.ts';
import { listen } from './web.ts';

export type ForwardProxy = {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  /** What it was asked: `CONNECT host:port` or `GET http://…`, with the headers. */
  readonly asked: (readonly [what: string, headers: IncomingHttpHeaders])[];
  /** What it answers instead of doing it; `hang`: nothing. */
  fault: number | 'hang' | undefined;
};

/** A forward proxy to servers on loopback, whatever the host is called (RFC 9112 section 3.2.2, RFC 9110 section 9.3.6). */
export async function startForwardProxy(scope: Scope): Promise<ForwardProxy> {
  const asked: ForwardProxy['asked'] = [];
  const server = createServer((incoming, response) => {
    asked.push([`${incoming.method} ${incoming.url}`, incoming.headers]);
    if (proxy.fault === 'hang') return;
    if (proxy.fault !== undefined) return void response.writeHead(proxy.fault).end();
    const { port, pathname, search } = new URL(incoming.url ?? '');
    const onward = request({ host: '127.0.0.1', port, path: pathname + search, headers: incoming.headers });
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end();
  });
  server.on('connect', (incoming, socket) => {
    asked.push([`CONNECT ${incoming.url}`, incoming.headers]);
    socket.on('error', () => {});
    if (proxy.fault === 'hang') return;
    if (proxy.fault !== undefined) return void socket.end(`HTTP/1.1 ${proxy.fault} No\r\n\r\n`);
    const onward = connect(Number(incoming.url?.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      onward.pipe(socket);
      socket.pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    scope.after(() => {
      onward.destroy();
      socket.destroy();
    });
  });
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const proxy: ForwardProxy = { address: `127.0.0.1:${await listen(server)}`, asked, fault: undefined };
  return proxy;
}
