import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

/** A part of a token: a document, JSON text as it is, or bytes. */
export type Part = object | string | Buffer;

export const part = (value: Part): string =>
  (typeof value === 'string' || Buffer.isBuffer(value)
    ? Buffer.from(value as string)
    : Buffer.from(JSON.stringify(value))
  ).toString('base64url');

export type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

export const rsaPair = (): Pair => generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ecPair = (namedCurve = 'P-256'): Pair => generateKeyPairSync('ec', { namedCurve });
export const edPair = (): Pair => generateKeyPairSync('ed25519');

export const jwkOf = ({ publicKey }: Pair, more: object = {}): { readonly [name: string]: unknown } => ({
  ...publicKey.export({ format: 'jwk' }),
  ...more,
});

const hashOf = (alg: string): string => `sha${alg.slice(2)}`;

/** The signature that an algorithm of RFC 7518 makes, whatever is signed. */
export function signatureOf(alg: string, text: string, { privateKey }: Pair): Buffer {
  const bytes = Buffer.from(text);
  if (alg.startsWith('RS')) return sign(hashOf(alg), bytes, privateKey);
  if (alg.startsWith('PS')) return sign(hashOf(alg), bytes, { key: privateKey, padding: 6, saltLength: -1 });
  if (alg.startsWith('ES')) return sign(hashOf(alg), bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return sign(null, bytes, privateKey);
}

/** A token whose signature is right, however odd its parts are. */
export function forge(header: Part, claims: Part, pair: Pair, alg: string): string {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${signatureOf(alg, text, pair).toString('base64url')}`;
}

/** A token with the HMAC of a key that was meant to be public. */
export function forgeHmac(header: Part, claims: Part, secret: string | Buffer): string {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
