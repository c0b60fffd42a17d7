import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';

export type Signer = {
  /** The public key set, as a JWKS document. */
  readonly jwks: { readonly keys: readonly object[] };
  readonly sign: (claims: JWTPayload, lifetimeSeconds?: number) => Promise<string>;
};

/** An issuer with one key. */
export async function createSigner(issuer: string, kid = 'k1', alg = 'RS256'): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
  return {
    jwks: { keys: [jwk] },
    sign: (claims, lifetimeSeconds = 600) => {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({
        iss: issuer,
        iat: Math.min(now, now + lifetimeSeconds - 600),
        exp: now + lifetimeSeconds,
        ...claims,
      })
        .setProtectedHeader({ alg, kid, typ: 'JWT' })
        .sign(privateKey);
    },
  };
}
