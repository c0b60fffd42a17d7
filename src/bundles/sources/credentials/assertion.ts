import { createHmac, createPrivateKey, randomUUID, sign } from 'node:crypto';
import type { SigningKeyConfig } from '../../../config/schema.ts';
import { jwsParameters } from '../../../lib/public-key.ts';
import { BundleError } from '../../error.ts';

export type AssertionParts = {
  readonly key: SigningKeyConfig;
  /** SHA-1 of a certificate, hexadecimal (RFC 7515 section 4.1.7). */
  readonly thumbprint: string | undefined;
  readonly claims: { readonly [name: string]: unknown };
  readonly scopes: readonly string[];
  readonly hasId: boolean;
  readonly nowMs: number;
};

const LIFETIME_SECONDS = 600;

const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A signed assertion (RFC 7523 section 3) as OPA makes it. Throws BundleError when the key cannot sign it. */
export function createAssertion({ key, thumbprint, claims, scopes, hasId, nowMs }: AssertionParts): string {
  const issuedAt = Math.floor(nowMs / 1000);
  const header = {
    typ: 'JWT',
    alg: key.algorithm,
    ...(thumbprint === undefined ? {} : { x5t: Buffer.from(thumbprint, 'hex').toString('base64url') }),
  };
  const payload = {
    iat: issuedAt,
    exp: issuedAt + LIFETIME_SECONDS,
    ...claims,
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    ...(hasId ? { jti: randomUUID() } : {}),
  };
  const text = `${base64url(header)}.${base64url(payload)}`;
  return `${text}.${signatureOf(text, key).toString('base64url')}`;
}

function signatureOf(text: string, { algorithm, private_key: secret = '' }: SigningKeyConfig): Buffer {
  if (algorithm.startsWith('HS'))
    return createHmac(`sha${algorithm.slice(2)}`, secret)
      .update(text)
      .digest();
  try {
    const key = createPrivateKey(secret);
    const isCurve = algorithm.startsWith('ES');
    const required = isCurve ? curveOf(algorithm) : 'rsa';
    if ((isCurve ? key.asymmetricKeyDetails?.namedCurve : key.asymmetricKeyType) !== required) {
      throw new Error('of another kind');
    }
    const { digest, options } = jwsParameters(algorithm);
    return sign(digest, Buffer.from(text), { key, ...options });
  } catch {
    // What OpenSSL says could hold a part of the key.
    throw new BundleError(`the signing key cannot sign with ${algorithm}`);
  }
}

const curveOf = (algorithm: string): string =>
  algorithm === 'ES256' ? 'prime256v1' : algorithm === 'ES384' ? 'secp384r1' : 'secp521r1';
