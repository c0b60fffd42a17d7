import { compactVerify, errors } from 'jose';
import type { JsonObject } from '../model/json.ts';
import { TokenError } from './claims.ts';
import { type Jwks, keysFor } from './jwks.ts';
import type { KeySet, PublicKey } from './key-set.ts';

/** No issuer's keys are at hand: a fault of ours, not the caller's. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';
}

export type Verified = { readonly alg: string; readonly kid: string | undefined; readonly keys: KeySet };

/** Keys without `kid` are all tried; more than this many is nobody's key set but an attack on our time. */
const MAX_CANDIDATES = 4;

/**
 * Verifies a compact JWS (RFC 7515 section 5.2) with the issuer's own keys; what its header says about keys elsewhere
 * (jku, x5u, jwk, x5c) is never looked at. Rejects with TokenError or KeysUnavailable.
 */
export async function verifySignature(
  token: string,
  header: JsonObject,
  allowed: readonly string[],
  jwks: Jwks,
): Promise<Verified> {
  const { alg, kid } = header;
  if (typeof alg !== 'string' || !allowed.includes(alg)) {
    throw new TokenError('token_algorithm', 'alg is not accepted for this issuer');
  }
  if (kid !== undefined && typeof kid !== 'string') throw new TokenError('token_malformed', 'kid is no string');
  // RFC 7515 section 4.1.11: no extension is understood here, and a JWT may not have the one of RFC 7797 (its section 7).
  if (Object.hasOwn(header, 'crit') || (header['b64'] ?? true) !== true) {
    throw new TokenError('token_malformed', 'an extension that is not understood');
  }
  const set = await keysOf(kid, alg, jwks);
  if (await isSignedByOne(token, alg, keysFor(set, kid, alg))) return { alg, kid, keys: set };
  // Where keys have no names, only this tells that there is a new one.
  if (kid === undefined && set.keys.some((key) => key.kid === undefined)) {
    const next = (await jwks.lookFor(kid, alg)) === 'there' ? jwks.current() : undefined;
    if (next !== undefined && (await isSignedByOne(token, alg, keysFor(next, kid, alg))))
      return { alg, kid, keys: next };
  }
  throw new TokenError('token_signature', 'the signature does not verify');
}

/** A key set with the key, which is asked for if it is not there. Rejects with TokenError or KeysUnavailable. */
async function keysOf(kid: string | undefined, alg: string, jwks: Jwks): Promise<KeySet> {
  const set = jwks.current();
  if (set !== undefined && keysFor(set, kid, alg).length > 0) return set;
  if (kid !== undefined && set?.keys.some((key) => key.kid === kid) === true) {
    throw new TokenError('token_algorithm', 'the key is for another algorithm');
  }
  const found = await jwks.lookFor(kid, alg);
  if (found === 'absent') throw new TokenError('token_key_unknown', 'the issuer has no such key');
  const next = jwks.current();
  if (next === undefined) throw new KeysUnavailable('no keys of this issuer are at hand');
  if (found === 'unknown') throw new KeysUnavailable('a key is not known, and the issuer cannot be asked for it');
  return next;
}

/** Whether one of the keys verifies the signature. Rejects with TokenError when there is none that could be. */
async function isSignedByOne(token: string, alg: string, candidates: readonly PublicKey[]): Promise<boolean> {
  for (const { key } of candidates.slice(0, MAX_CANDIDATES)) {
    try {
      await compactVerify(token, key, { algorithms: [alg] });
      return true;
    } catch (error) {
      // What is no JOSEError is about a key of another kind.
      if (!(error instanceof errors.JOSEError) || error instanceof errors.JWSSignatureVerificationFailed) continue;
      throw new TokenError('token_malformed', error.code);
    }
  }
  return false;
}
