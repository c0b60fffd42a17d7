import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, createSecureContext, type PeerCertificate, type SecureContext } from 'node:tls';
import { type CallCredentials, ChannelCredentials, credentials } from '@grpc/grpc-js';
import { messageOf } from '../lib/message.ts';
import { alternativeNames } from '../lib/tls-server.ts';
import type { ClientTls } from '../model/question.ts';

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/** Credentials for one server, and why its last connection came to nothing. */
export type ClientCredentials = { readonly channel: ChannelCredentials; readonly failure: () => string | undefined };

/**
 * TLS 1.2 or later to the server of `host`, whose certificate must be of `tls.serverName`, or of the host if there is none.
 * Throws when OpenSSL does not take what is to be shown or trusted.
 */
export function clientCredentials(tls: ClientTls, host: string): ClientCredentials {
  const context = createSecureContext({
    minVersion: 'TLSv1.2',
    ...(tls.ca === undefined ? {} : { ca: [...tls.ca] }),
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate.cert, key: tls.certificate.key }),
  });
  const name = tls.serverName ?? host;
  let failure: string | undefined;
  const connectTo = async (socket: Socket): ReturnType<Connector['connect']> => {
    try {
      const secure = await handshake(socket, context, name, host);
      failure = undefined;
      // In TLS 1.3 the client is done before the server has looked at its certificate.
      const refused = (what: string): void => {
        failure ??= `${what} after the handshake; does the server accept the client's certificate?`;
      };
      secure.on('error', (error) => refused(reasonOf(error)));
      secure.once('close', () => refused('the connection ended'));
      return { socket: secure, secure: true };
    } catch (error) {
      failure = reasonOf(error);
      throw error;
    }
  };
  return { channel: new TlsCredentials(connectTo), failure: () => failure };
}

/** What OpenSSL says has its own file names in it, and more than one line. */
function reasonOf(error: unknown): string {
  const { reason } = error as { readonly reason?: unknown };
  return typeof reason === 'string' ? reason : messageOf(error);
}

/** grpc-js's own ask for an address as a server name too, which Node refuses, and leave the oldest version to Node. */
class TlsCredentials extends ChannelCredentials {
  readonly #connect: Connector['connect'];
  constructor(connect: Connector['connect']) {
    super();
    this.#connect = connect;
  }
  override _isSecure(): boolean {
    return true;
  }
  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }
  override _createSecureConnector(_target: unknown, _options: unknown, calls?: CallCredentials): Connector {
    const callCredentials = calls ?? credentials.createEmpty();
    return {
      connect: this.#connect,
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }
}

function handshake(socket: Socket, secureContext: SecureContext, name: string, host: string): Promise<Socket> {
  const isUri = name.includes('://');
  const hostName = isUri ? host : name;
  return new Promise((resolve, reject) => {
    const secure = connect({
      socket,
      secureContext,
      // Not Node's default, which the environment can turn off.
      rejectUnauthorized: true,
      ALPNProtocols: ['h2'],
      ...(isIP(hostName) === 0 ? { servername: hostName } : {}),
      checkServerIdentity: (_host, certificate) =>
        isUri ? uriMismatch(name, certificate) : checkServerIdentity(name, certificate),
    });
    secure.on('error', reject);
    secure.once('close', () => reject(new Error('the server ended the connection during the handshake')));
    secure.once('secureConnect', () => {
      if (secure.alpnProtocol === 'h2') resolve(secure);
      else secure.destroy(new Error('the server does not speak HTTP/2'));
    });
  });
}

/** X509-SVID specification, section 5: a workload's certificate is known by its URI, and need not have a host name. */
function uriMismatch(name: string, { subjectaltname }: PeerCertificate): Error | undefined {
  const uris = alternativeNames(subjectaltname).filter(({ kind }) => kind === 'URI');
  if (uris.some(({ value }) => value === name)) return undefined;
  return new Error(
    `the server's certificate is not of ${name}; its URIs: ${uris.map((u) => u.value).join(', ') || 'none'}`,
  );
}
