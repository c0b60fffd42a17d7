import { createHash } from 'node:crypto';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { Agent, type Dispatcher, Pool, ProxyAgent } from 'undici';
import { readAuthorities } from './certificates.ts';
import { proxyFor } from './proxy.ts';

/**
 * Whom a request is for: the service itself, an authority that vouches for us towards it (a token endpoint), or a
 * stranger that it refers to. Only the service sees the client certificate, and strangers are always verified.
 */
export type Peer = 'service' | 'authority' | 'stranger';

/** PEM, and what changes when it changes. */
export type ClientCertificate = { readonly cert: string; readonly key: string; readonly digest: string };

export type TransportOptions = {
  /** PEM file of the authorities that are trusted; undefined: the system's. */
  readonly caFile: string | undefined;
  /** Trust the system's authorities beside those of the file. */
  readonly withSystemCa: boolean;
  /** Asked for before each connection that may need it. */
  readonly certificate: (() => Promise<ClientCertificate>) | undefined;
  /** Take whatever certificate service and authority have. */
  readonly skipVerification: boolean;
  /** For proxies. */
  readonly env: { readonly [name: string]: string | undefined };
};

export type Transport = {
  /** What sends requests to `url`. Rejects with an error that names the file or variable which cannot be used. */
  readonly to: (url: URL, peer: Peer) => Promise<Dispatcher>;
  /** Ends all connections. */
  readonly close: () => Promise<void>;
};

/** Of one service: several origins by redirects, and what was there before certificates changed. */
const MAX_DISPATCHERS = 8;
const CONNECT_MS = 10_000;

type Trust = { readonly ca: readonly string[]; readonly digest: string };

/** Connections to one service and to whom it refers: its authorities, our certificate, proxies; TLS 1.2 or newer. */
export function createTransport(options: TransportOptions): Transport {
  const dispatchers = new LRUCache<string, Dispatcher>({
    max: MAX_DISPATCHERS,
    dispose: (dispatcher) => void dispatcher.close().catch(() => {}),
  });
  let isClosed = false;

  async function to(url: URL, peer: Peer): Promise<Dispatcher> {
    const proxy = proxyFor(url, options.env);
    const isSecure = url.protocol === 'https:' || proxy?.protocol === 'https:';
    const trust = isSecure ? await readTrust(options) : undefined;
    const certificate = isSecure && peer === 'service' ? await options.certificate?.() : undefined;
    if (isClosed) throw new Error('the transport is closed');
    const key = JSON.stringify([peer, url.protocol, proxy?.href, trust?.digest, certificate?.digest]);
    const known = dispatchers.get(key);
    if (known !== undefined) return known;
    const rejectUnauthorized = peer === 'stranger' || !options.skipVerification;
    const target =
      trust === undefined
        ? {}
        : { secureContext: contextOf(trust, certificate), rejectUnauthorized, timeout: CONNECT_MS };
    const dispatcher =
      proxy === undefined
        ? new Agent({ connect: { timeout: CONNECT_MS, ...target } })
        : throughProxy(proxy, target, trust === undefined ? {} : { secureContext: contextOf(trust, undefined) });
    dispatchers.set(key, dispatcher);
    return dispatcher;
  }

  return {
    to,
    close: async () => {
      isClosed = true;
      const open = [...dispatchers.values()];
      await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
    },
  };
}

/** Requests without encryption are the proxy's to make (RFC 9112 section 3.2.2); the others go through a tunnel. */
const throughProxy = (proxy: URL, requestTls: object, proxyTls: object): Dispatcher =>
  new ProxyAgent({
    uri: proxy.href,
    proxyTunnel: false,
    requestTls,
    proxyTls: { ...proxyTls, timeout: CONNECT_MS },
    // A tunnel that is never answered would hold up all that wait for it.
    clientFactory: (origin, given) => new Pool(origin, { ...given, headersTimeout: CONNECT_MS }),
  });

function contextOf({ ca }: Trust, certificate: ClientCertificate | undefined): SecureContext {
  return createSecureContext({
    ca: [...ca],
    minVersion: 'TLSv1.2',
    ...(certificate === undefined ? {} : { cert: certificate.cert, key: certificate.key }),
  });
}

async function readTrust({ caFile, withSystemCa }: TransportOptions): Promise<Trust> {
  if (caFile === undefined) return systemTrust();
  const own = await readAuthorities(caFile);
  const ca = withSystemCa ? [...own, ...systemTrust().ca] : own;
  return { ca, digest: createHash('sha256').update(own.join('')).digest('hex') };
}

let system: Trust | undefined;

/** Node's own authorities, those of NODE_EXTRA_CA_CERTS, and the machine's. Read once; it takes about 50 ms. */
function systemTrust(): Trust {
  system ??= { ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system')])], digest: 'system' };
  return system;
}
