import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readPublicKey, type SignatureAlgorithm } from './public-key.ts';

/** A pair: what signs, and the public key of it in PEM. */
export type SigningKey = { readonly key: KeyObject; readonly publicPem: string };

/**
 * The private key that a PEM text (PKCS #1, PKCS #8 or SEC 1, not encrypted) begins with, for one algorithm. Throws Error,
 * which says what is wrong with it and quotes nothing.
 */
export function readPrivateKey(pem: string, algorithm: SignatureAlgorithm): SigningKey {
  const [, type] = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem) ?? [];
  if (type === undefined) throw new Error('no key in PEM');
  if (!type.endsWith('PRIVATE KEY')) throw new Error('no private key');
  if (type.startsWith('ENCRYPTED') || pem.includes('Proc-Type: 4,ENCRYPTED')) {
    throw new Error('a private key that is encrypted; decrypt it first, with `openssl pkey`');
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Error('a private key that cannot be read');
  }
  const publicPem = String(createPublicKey(key).export({ type: 'spki', format: 'pem' }));
  readPublicKey(publicPem, algorithm);
  return { key, publicPem };
}
