import type { Http2SecureServer, Http2Server } from 'node:http2';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerTls } from '../lib/tls-server.ts';

/**
 * grpc-js's own credentials leave minimum version and handshake time to Node, and a reload through its certificate
 * providers that fails drops every new connection. These only say what a server is created with.
 */
class TlsCredentials extends ServerCredentials {
  constructor({ options }: ServerTls) {
    super({}, options());
  }
  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

export const credentialsOf = (tls: ServerTls | undefined): ServerCredentials =>
  tls === undefined ? ServerCredentials.createInsecure() : new TlsCredentials(tls);

type Maker = { createHttp2Server?: (credentials: ServerCredentials) => Http2Server | Http2SecureServer };

/**
 * Has a look at each HTTP/2 server that grpc-js makes, before it listens: one address may become several, and later
 * would be too late for the first connection. grpc-js offers no other place. Throws when there is no such place.
 */
export function beforeListening(server: Server, look: (http2: Http2Server | Http2SecureServer) => void): void {
  const maker = server as unknown as Maker;
  const make = maker.createHttp2Server;
  if (typeof make !== 'function') throw new Error('this version of grpc-js makes its HTTP/2 servers elsewhere');
  maker.createHttp2Server = (credentials) => {
    const http2 = make.call(server, credentials);
    look(http2);
    return http2;
  };
}
