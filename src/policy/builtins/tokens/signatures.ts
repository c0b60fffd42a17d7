import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
  X509Certificate,
} from 'node:crypto';
import { parseJson } from '../../../values/parse.ts';
import { isArray, isRegoObject, type RegoObject, type Value } from '../../../values/value.ts';
import { BuiltinError } from '../builtin.ts';

/*
 * Signatures of tokens (RFC 7518 section 3, RFC 8037) and the keys for them, as PEM text or JSON Web Keys (RFC 7517).
 */

type Family = 'HS' | 'RS' | 'PS' | 'ES' | 'EdDSA';
type Scheme = { readonly family: Family; readonly digest: string | null };

const DIGESTS = { 256: 'sha256', 384: 'sha384', 512: 'sha512' };

/** By the names that the header `alg` has. */
export const schemes: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  ...(['HS', 'RS', 'PS', 'ES'] as const).flatMap((family) =>
    Object.entries(DIGESTS).map(([bits, digest]): [string, Scheme] => [`${family}${bits}`, { family, digest }]),
  ),
  ['EdDSA', { family: 'EdDSA', digest: null }],
]);

const KEY_TYPES: { readonly [F in Exclude<Family, 'HS'>]: string } = {
  RS: 'rsa',
  PS: 'rsa',
  ES: 'ec',
  EdDSA: 'ed25519',
};

/** A key with what its JSON Web Key says of it; an empty string where it says nothing. */
export type TokenKey = { readonly alg: string; readonly kid: string; readonly key: KeyObject | Buffer };

const ARMOR = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----[ \t]*\r?\n?/;

/** Public keys of a certificate, a public key (PEM), a JSON Web Key or a set of them. Throws BuiltinError. */
export function verificationKeys(text: string): readonly TokenKey[] {
  const armor = ARMOR.exec(text);
  if (armor === null) return webKeys(text).flatMap(publicKey);
  if (text.length > armor.index + armor[0].length) throw new BuiltinError('extra data after a PEM certificate block');
  return [{ alg: '', kid: '', key: readKey(() => pemKey(armor[1], armor[0])) }];
}

function pemKey(type: string | undefined, pem: string): KeyObject {
  if (type === 'CERTIFICATE') return new X509Certificate(pem).publicKey;
  if (type === 'PUBLIC KEY') return createPublicKey(pem);
  throw new BuiltinError('a PEM block has to be a certificate or a public key');
}

/** What node:crypto says of a malformed key is no more than that it is malformed. */
function readKey<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof BuiltinError) throw cause;
    throw new BuiltinError('the key cannot be read');
  }
}

/** The members of a JSON Web Key Set, or the one key that the text is. */
function webKeys(text: string): readonly RegoObject[] {
  const json = parseJson(text);
  if (!isRegoObject(json)) throw new BuiltinError('not a JSON Web Key');
  const members = json.get('keys');
  if (members === undefined) return [json];
  if (!isArray(members) || !members.every(isRegoObject)) throw new BuiltinError('not a JSON Web Key Set');
  return members;
}

const textOf = (value: Value | undefined): string => (typeof value === 'string' ? value : '');

function publicKey(jwk: RegoObject): readonly TokenKey[] {
  const alg = textOf(jwk.get('alg'));
  if (alg !== '' && !schemes.has(alg)) return [];
  const key = jwk.get('kty') === 'oct' ? secretOf(jwk) : readKey(() => createPublicKey(jwkInput(jwk)));
  return [{ alg, kid: textOf(jwk.get('kid')), key }];
}

const jwkInput = (jwk: RegoObject) => ({
  key: Object.fromEntries([...jwk].map(([name, value]) => [String(name), value])),
  format: 'jwk' as const,
});

function secretOf(jwk: RegoObject): Buffer {
  const secret = jwk.get('k');
  if (typeof secret !== 'string') throw new BuiltinError('a symmetric key needs a member k');
  return Buffer.from(secret, 'base64url');
}

/** The first key of a JSON Web Key (Set) to sign with. Throws BuiltinError. */
export function signingKey(text: string): KeyObject | Buffer {
  const [jwk] = webKeys(text);
  if (jwk === undefined) throw new BuiltinError('no keys found in JWK set');
  return jwk.get('kty') === 'oct' ? secretOf(jwk) : readKey(() => createPrivateKey(jwkInput(jwk)));
}

const fits = (scheme: Scheme, key: KeyObject): boolean =>
  scheme.family !== 'HS' && key.asymmetricKeyType === KEY_TYPES[scheme.family];

const keyInput = (scheme: Scheme, key: KeyObject, saltLength: number) => ({
  key,
  dsaEncoding: 'ieee-p1363' as const,
  ...(scheme.family === 'PS' ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } : {}),
});

const mac = (digest: string, secret: Buffer, signed: string): Buffer =>
  createHmac(digest, secret).update(signed).digest();

/** False also for a key of another kind than `alg` needs. */
export function verifies(alg: string, key: KeyObject | Buffer, signed: string, signature: Buffer): boolean {
  const scheme = schemes.get(alg);
  if (scheme === undefined) return false;
  if (Buffer.isBuffer(key)) {
    if (scheme.family !== 'HS' || scheme.digest === null) return false;
    const expected = mac(scheme.digest, key, signed);
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  }
  if (!fits(scheme, key)) return false;
  const input = keyInput(scheme, key, constants.RSA_PSS_SALTLEN_AUTO);
  return verify(scheme.digest, Buffer.from(signed), input, signature);
}

/** Throws BuiltinError when the key is of another kind than `alg` needs. */
export function signatureOf(alg: string, key: KeyObject | Buffer, signed: string): Buffer {
  const scheme = schemes.get(alg);
  if (scheme === undefined) throw new BuiltinError(`unknown JWS algorithm: ${alg.slice(0, 20)}`);
  if (Buffer.isBuffer(key)) {
    if (scheme.family === 'HS' && scheme.digest !== null) return mac(scheme.digest, key, signed);
  } else if (fits(scheme, key)) {
    return sign(scheme.digest, Buffer.from(signed), keyInput(scheme, key, constants.RSA_PSS_SALTLEN_DIGEST));
  }
  throw new BuiltinError(`the key cannot sign with ${alg}`);
}
