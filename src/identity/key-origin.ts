import { readFile } from 'node:fs/promises';
import { request } from 'undici';
import type { IssuerConfig } from '../config/schema.ts';
import { readBounded } from '../lib/bounded-body.ts';
import { isLoopback } from '../lib/loopback.ts';
import { KeySetError, MAX_KEY_SET_BYTES } from './key-set.ts';

/** Text of a key set, and how long it may be called fresh (ms), when its origin says so. */
export type FetchedKeys = { readonly text: string; readonly freshMs: number | undefined };
export type KeyOrigin = (signal: AbortSignal) => Promise<FetchedKeys>;

/** The server has nothing at this address. */
class NothingThere extends KeySetError {}

const TIMEOUT_MS = 5000;

/**
 * Where an issuer's keys come from, in the order in which to ask. Throws when an address would be asked without
 * encryption.
 */
export function keyOriginsOf(issuer: IssuerConfig): readonly KeyOrigin[] {
  const { jwks_file: file, jwks_uri: uri, jwks, allow_http: allowHttp } = issuer;
  if (jwks !== undefined) return [async () => ({ text: JSON.stringify(jwks), freshMs: undefined })];
  if (file !== undefined) return [async () => ({ text: await readFile(file, 'utf8'), freshMs: undefined })];
  const mirrors = issuer.jwks_mirrors.map((mirror) => downloadFrom(mirror, allowHttp));
  return [uri === undefined ? discover(issuer) : downloadFrom(uri, allowHttp), ...mirrors];
}

/** Throws when the address would be asked without encryption though it must not be. */
export function downloadFrom(address: string, allowHttp: boolean): KeyOrigin {
  requireSafe(address, allowHttp);
  return (signal) => download(address, signal);
}

/** OpenID Connect Discovery 1.0 section 4, and for issuers that have none RFC 8414 section 3. */
function discover({ issuer, allow_http: allowHttp }: IssuerConfig): KeyOrigin {
  requireSafe(issuer, allowHttp);
  const path = new URL(issuer).pathname.replace(/\/$/, '');
  const openId = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const oauth = new URL(`/.well-known/oauth-authorization-server${path}`, issuer).href;
  return async (signal) => {
    const { text } = await download(openId, signal).catch((error: unknown) => {
      if (error instanceof NothingThere) return download(oauth, signal);
      throw error;
    });
    return download(jwksUriOf(text, issuer, allowHttp), signal);
  };
}

function requireSafe(address: string, allowHttp: boolean): void {
  const { protocol, hostname } = new URL(address);
  if (protocol === 'https:' || (protocol === 'http:' && (allowHttp || isLoopback(hostname)))) return;
  throw new KeySetError(`${address}: https is needed, except on loopback (or allow_http)`);
}

/** OpenID Connect Discovery 1.0 section 4.3: the document must speak of the issuer that was asked for. */
function jwksUriOf(text: string, issuer: string, allowHttp: boolean): string {
  const document = JSON.parse(text) as { readonly issuer?: unknown; readonly jwks_uri?: unknown } | null;
  if (document?.issuer !== issuer) throw new KeySetError('the discovery document is of another issuer');
  if (typeof document.jwks_uri !== 'string') throw new KeySetError('the discovery document has no jwks_uri');
  requireSafe(document.jwks_uri, allowHttp);
  return document.jwks_uri;
}

async function download(address: string, signal: AbortSignal): Promise<FetchedKeys> {
  // A redirect is an answer like any other that is not 200: undici follows none unless told to.
  const { statusCode, headers, body } = await request(address, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    headers: { accept: 'application/json, application/jwk-set+json', 'accept-encoding': 'identity' },
  });
  const bytes = await readBounded(body, MAX_KEY_SET_BYTES);
  if (statusCode === 404) throw new NothingThere('the server answered 404');
  if (statusCode !== 200) throw new KeySetError(`the server answered ${statusCode}`);
  const maxAge = /(?:^|[\s,])max-age=([0-9]{1,9})/i.exec(String(headers['cache-control'] ?? ''));
  return { text: bytes.toString('utf8'), freshMs: maxAge === null ? undefined : Number(maxAge[1]) * 1000 };
}
