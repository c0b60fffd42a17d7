import { constants, type X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import { messageOf } from './message.ts';
import type { Certificates } from './watched-certificates.ts';

export type TlsRules = {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** URI and DNS names (RFC 5280 section 4.2.1.6), one of which a client's certificate must have. Empty: any. */
  readonly allowedClientSans: readonly string[];
};

/** Why a connection came to nothing: no handshake, a client certificate that is not verified, one that is not allowed. */
export type TlsRefusal = 'handshake' | 'client_unverified' | 'client_not_allowed';

/** Why a client whose certificate one of the authorities vouches for is turned away, and in which words. */
export type ClientRefusal = readonly [Exclude<TlsRefusal, 'handshake'>, string];

export type ServerTlsParts = {
  readonly rules: TlsRules;
  /** Judges clients instead of `allowedClientSans`. */
  readonly judge?: ((client: X509Certificate) => ClientRefusal | undefined) | undefined;
  readonly current: () => Certificates;
  readonly onRefused: (reason: TlsRefusal, cause: string) => void;
};

/** TLS for any number of servers of one listener. */
export type ServerTls = {
  /** What a server is created with. */
  readonly options: () => TlsOptions;
  /** Lets in only whom the rules allow. To be called once, before the server listens. */
  readonly guard: (server: Server) => void;
  /** Puts the current certificates into the guarded servers. Throws when one does not take them; it keeps its own. */
  readonly refresh: () => void;
};

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** TLS 1.3's, and of TLS 1.2's those with forward secrecy and authenticated encryption (RFC 9113 appendix A bars the rest). */
const CIPHERS = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  ...['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
].join(':');

/** Everything that belongs to a secure context: what is left out when it is replaced falls back to Node's defaults. */
function contextOf({ cert, key, ca }: Certificates, { minVersion }: TlsRules): SecureContextOptions {
  return {
    cert,
    key,
    ...(ca === undefined ? {} : { ca: [...ca] }),
    minVersion,
    ciphers: CIPHERS,
    // A ticket would let a client in after its certificate has ended or its authority was withdrawn, and a renegotiation
    // would change the certificate after it was looked at.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

/** Throws when OpenSSL does not take these certificates (too small a key, too weak a signature). */
export function tryCertificates(certificates: Certificates, rules: TlsRules): void {
  createSecureContext(contextOf(certificates, rules));
}

export function createServerTls({ rules, judge, current, onRefused }: ServerTlsParts): ServerTls {
  const judged = judge ?? ((client) => nameRefusal(client, rules.allowedClientSans));
  const servers = new Set<Server>();
  const needsClient = current().ca !== undefined;
  return {
    options: () => ({
      ...contextOf(current(), rules),
      requestCert: needsClient,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    }),
    guard: (server) => {
      servers.add(server);
      server.once('close', () => servers.delete(server));
      server.on('tlsClientError', (error, socket) => {
        const { authorizationError: cause } = socket as { readonly authorizationError?: unknown };
        if (cause) onRefused('client_unverified', messageOf(cause));
        else onRefused('handshake', messageOf(error));
      });
      if (needsClient) screen(server, judged, onRefused);
    },
    refresh: () => {
      const context = contextOf(current(), rules);
      let failure: unknown;
      for (const server of servers) {
        try {
          server.setSecureContext(context);
        } catch (error) {
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
    },
  };
}

type SecureListener = (socket: TLSSocket) => void;
type Judge = NonNullable<ServerTlsParts['judge']>;

/** Stands before all who wait for connections, so that no byte of a client that is turned away is read. */
function screen(server: Server, judge: Judge, onRefused: ServerTlsParts['onRefused']): void {
  const listeners = server.listeners('secureConnection') as SecureListener[];
  server.removeAllListeners('secureConnection');
  server.on('secureConnection', (socket: TLSSocket) => {
    const refusal = refusalOf(socket, judge);
    if (refusal === undefined) {
      for (const listener of listeners) listener.call(server, socket);
      return;
    }
    socket.on('error', () => {});
    socket.destroy();
    onRefused(...refusal);
  });
}

function refusalOf(socket: TLSSocket, judge: Judge): ClientRefusal | undefined {
  const client = socket.getPeerX509Certificate();
  if (!socket.authorized || client === undefined) return ['client_unverified', messageOf(socket.authorizationError)];
  try {
    return judge(client);
  } catch (error) {
    return ['client_unverified', messageOf(error)];
  }
}

function nameRefusal(client: X509Certificate, allowed: readonly string[]): ClientRefusal | undefined {
  if (allowed.length === 0) return undefined;
  const names = alternativeNames(client.subjectAltName);
  if (names.some(({ kind, value }) => allowed.includes(value) && kind === kindOf(value))) return undefined;
  return ['client_not_allowed', names.map(({ value }) => value).join(', ') || 'no names'];
}

/** A host name has no colon, a URI has its scheme's. */
const kindOf = (name: string): string => (name.includes(':') ? 'URI' : 'DNS');

type AlternativeName = { readonly kind: string; readonly value: string };

/**
 * The names in Node's text of a subjectAltName. A value with anything in it that could be taken for the text's own
 * punctuation stands there as a JSON string; one that cannot be read ends the list.
 */
export function alternativeNames(text: string | undefined): readonly AlternativeName[] {
  const names: AlternativeName[] = [];
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
  for (let match = entry.exec(text ?? ''); match !== null; match = entry.exec(text ?? '')) {
    const [, kind = '', value = ''] = match;
    try {
      names.push({ kind, value: value.startsWith('"') ? (JSON.parse(value) as string) : value });
    } catch {
      break;
    }
  }
  return names;
}
