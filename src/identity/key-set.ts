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

export type KeySet = {
  readonly keys: readonly PublicKey[];
  readonly fingerprint: string;
  /** Of a SPIFFE bundle: grows with each change (Trust Domain and Bundle specification, section 4.1.1). */
  readonly sequence?: number;
};

const MAX_KEYS = 100;
export const MAX_KEY_SET_BYTES = 262_144;
const MIN_RSA_BITS = 2048;
const curves = new Set(['P-256', 'P-384', 'P-521', 'Ed25519']);

/** Values of `use` (RFC 7517 section 4.2) that are taken; undefined: also keys that have none. */
type Uses = readonly (string | undefined)[];

/** A JWK Set (RFC 7517 section 5) to its usable public signature keys. Throws KeySetError when there are none. */
export function parseKeySet(text: string): KeySet {
  const keys = keysIn(documentOf(text), [undefined, 'sig']);
  if (keys.length === 0) throw new KeySetError('no usable public key');
  return { keys, fingerprint: text };
}

/**
 * A SPIFFE bundle to its JWT authorities (JWT-SVID specification, section 6). One without any is valid: it revokes all
 * that were there (Trust Domain and Bundle specification, section 4.1.3). Throws KeySetError.
 */
export function parseSpiffeBundle(text: string): KeySet {
  const document = documentOf(text);
  const { spiffe_sequence: sequence } = document;
  return {
    keys: keysIn(document, ['jwt-svid']).filter(({ kid }) => kid !== undefined),
    fingerprint: text,
    ...(typeof sequence === 'number' ? { sequence } : {}),
  };
}

/**
 * A trust domain's JWT bundle as the Workload API gives it (section 6.2.2): it has JWT authorities only, and SPIRE's
 * agent leaves out their `use`. Throws KeySetError.
 */
export function parseJwtBundle(text: string): KeySet {
  const keys = keysIn(documentOf(text), [undefined, 'jwt-svid']);
  return { keys: keys.filter(({ kid }) => kid !== undefined), fingerprint: text };
}

type Document = { readonly keys?: unknown; readonly spiffe_sequence?: unknown };

function documentOf(text: string): Document {
  if (text.length > MAX_KEY_SET_BYTES) throw new KeySetError(`more than ${MAX_KEY_SET_BYTES} bytes`);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new KeySetError('no JSON');
  }
  if (typeof document !== 'object' || document === null) throw new KeySetError('no JSON object');
  return document;
}

function keysIn({ keys: list }: Document, uses: Uses): readonly PublicKey[] {
  if (!Array.isArray(list)) throw new KeySetError('no list of keys');
  if (list.length > MAX_KEYS) throw new KeySetError(`more than ${MAX_KEYS} keys`);
  return list.map((jwk) => publicKeyOf(jwk, uses)).filter((key) => key !== undefined);
}

/** The key when it is one that signatures may be verified with; private and weak ones are left out. */
function publicKeyOf(jwk: unknown, uses: Uses): PublicKey | undefined {
  if (typeof jwk !== 'object' || jwk === null) return undefined;
  const { kty, use, key_ops: operations, crv, d, k, kid, alg } = jwk as { readonly [name: string]: unknown };
  if (d !== undefined || k !== undefined || !uses.some((accepted) => accepted === use)) return undefined;
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
