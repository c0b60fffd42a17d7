import { createPublicKey, type KeyObject } from 'node:crypto';

/** What came is no key set that could be used. */
export class KeySetError extends Error {
  override readonly name = 'KeySetError';
}

export type PublicKey = {
  readonly kid: string | undefined;
  /** The only algorithm the key is for, when it says so. */
  readonly alg: string | undefined;
  readonly key: KeyObject;
};

export type KeySet = { readonly keys: readonly PublicKey[]; readonly fingerprint: string };

const MAX_KEYS = 100;
export const MAX_KEY_SET_BYTES = 262_144;
const MIN_RSA_BITS = 2048;
const curves = new Set(['P-256', 'P-384', 'P-521', 'Ed25519']);

/** A JWK Set (RFC 7517 section 5) to its usable public signature keys. Throws KeySetError when there are none. */
export function parseKeySet(text: string): KeySet {
  if (text.length > MAX_KEY_SET_BYTES) throw new KeySetError(`more than ${MAX_KEY_SET_BYTES} bytes`);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new KeySetError('no JSON');
  }
  const list = (document as { readonly keys?: unknown } | null)?.keys;
  if (!Array.isArray(list)) throw new KeySetError('no list of keys');
  if (list.length > MAX_KEYS) throw new KeySetError(`more than ${MAX_KEYS} keys`);
  const keys = list.map(publicKeyOf).filter((key) => key !== undefined);
  if (keys.length === 0) throw new KeySetError('no usable public key');
  return { keys, fingerprint: text };
}

/** The key when it is one that signatures may be verified with; private and weak ones are left out. */
function publicKeyOf(jwk: unknown): PublicKey | undefined {
  if (typeof jwk !== 'object' || jwk === null) return undefined;
  const { kty, use, key_ops: operations, crv, d, k, kid, alg } = jwk as { readonly [name: string]: unknown };
  if (d !== undefined || k !== undefined || (use !== undefined && use !== 'sig')) return undefined;
  // RFC 7517 section 4.3.
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined;
  if (kty !== 'RSA' && !(typeof crv === 'string' && curves.has(crv))) return undefined;
  try {
    const key = createPublicKey({ key: jwk as { kty: string }, format: 'jwk' });
    if (kty === 'RSA' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) return undefined;
    return { kid: typeof kid === 'string' ? kid : undefined, alg: typeof alg === 'string' ? alg : undefined, key };
  } catch {
    return undefined;
  }
}
