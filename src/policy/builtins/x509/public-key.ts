import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import {
  type BitString,
  type DerReader,
  derElement,
  derReader,
  malformed,
  oidOf,
  oidText,
  rightAligned,
  TAG,
} from './der.ts';

/*
 * Public keys and signatures of certificates (RFC 3279, RFC 4055, RFC 5480, RFC 8410).
 */

export type PublicKey =
  | { readonly kind: 'rsa'; readonly n: bigint; readonly e: bigint }
  | {
      readonly kind: 'ec';
      readonly x: bigint;
      readonly y: bigint;
      /** The curve's object identifier in DER. */
      readonly curve: Buffer;
      readonly point: Buffer;
    }
  | { readonly kind: 'ed25519'; readonly bytes: Buffer }
  | { readonly kind: 'dsa'; readonly p: bigint; readonly q: bigint; readonly g: bigint; readonly y: bigint };

/** An AlgorithmIdentifier; `parameters` in DER, empty without any. */
export type Algorithm = { readonly oid: string; readonly parameters: Buffer };

export type SubjectKey = {
  /** Undefined when the algorithm is none of those above. */
  readonly key: PublicKey | undefined;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Buffer;
};

/** A point's first byte. */
const UNCOMPRESSED = 4;
const NULL_PARAMETERS = Buffer.from([TAG.null, 0]);

export const OID_RSA = '1.2.840.113549.1.1.1';
export const OID_EC = '1.2.840.10045.2.1';
export const OID_ED25519 = '1.3.101.112';
const OID_DSA = '1.2.840.10040.4.1';

/** Curves with the bytes of a coordinate. */
export const CURVES: ReadonlyMap<string, { readonly name: string; readonly crv: string; readonly bytes: number }> =
  new Map([
    ['1.3.132.0.33', { name: 'secp224r1', crv: 'P-224', bytes: 28 }],
    ['1.2.840.10045.3.1.7', { name: 'prime256v1', crv: 'P-256', bytes: 32 }],
    ['1.3.132.0.34', { name: 'secp384r1', crv: 'P-384', bytes: 48 }],
    ['1.3.132.0.35', { name: 'secp521r1', crv: 'P-521', bytes: 66 }],
  ]);

/** Reads the content of an AlgorithmIdentifier. Throws BuiltinError. */
export function algorithmOf(reader: DerReader): Algorithm {
  const oid = oidText(reader.oid());
  return { oid, parameters: reader.isEmpty() ? Buffer.alloc(0) : reader.any().whole };
}

/** Of a SubjectPublicKeyInfo. Throws BuiltinError. */
export function subjectKeyOf(spki: Buffer): SubjectKey {
  const reader = derReader(spki).inside(TAG.sequence);
  const algorithm = algorithmOf(reader.inside(TAG.sequence));
  return { key: publicKeyOf(algorithm, reader.bitString()), spki };
}

function publicKeyOf(algorithm: Algorithm, bits: BitString): PublicKey | undefined {
  const data = rightAligned(bits);
  switch (algorithm.oid) {
    case OID_RSA:
      return rsaKeyOf(algorithm, data);
    case OID_EC:
      return ecKeyOf(algorithm, data);
    case OID_ED25519:
      if (algorithm.parameters.length > 0 || data.length !== 32) throw malformed('Ed25519 key');
      return { kind: 'ed25519', bytes: data };
    case OID_DSA:
      return dsaKeyOf(algorithm, data);
    default:
      return undefined;
  }
}

function rsaKeyOf(algorithm: Algorithm, data: Buffer): PublicKey {
  if (!algorithm.parameters.equals(NULL_PARAMETERS)) throw malformed('RSA key');
  const reader = derReader(data).inside(TAG.sequence);
  const n = reader.integer();
  const e = reader.int64();
  if (n <= 0n || e <= 0n) throw malformed('RSA key');
  return { kind: 'rsa', n, e };
}

function ecKeyOf(algorithm: Algorithm, data: Buffer): PublicKey {
  const { content, whole } = derReader(algorithm.parameters).element(TAG.oid);
  const curve = CURVES.get(oidText(oidOf(content)));
  if (curve === undefined) throw malformed('elliptic curve key: an unsupported curve');
  if (data[0] !== UNCOMPRESSED || data.length !== 1 + 2 * curve.bytes) throw malformed('elliptic curve key');
  const coordinate = (from: number): bigint => BigInt(`0x${data.toString('hex', from, from + curve.bytes)}`);
  const key: PublicKey = { kind: 'ec', x: coordinate(1), y: coordinate(1 + curve.bytes), curve: whole, point: data };
  // Reading it finds out whether the point is one of the curve.
  if (keyObject(key) === undefined) throw malformed('elliptic curve key');
  return key;
}

function dsaKeyOf(algorithm: Algorithm, data: Buffer): PublicKey {
  const y = derReader(data).integer();
  const parameters = derReader(algorithm.parameters).inside(TAG.sequence);
  const p = parameters.integer();
  const q = parameters.integer();
  const g = parameters.integer();
  if ([y, p, q, g].some((value) => value <= 0n)) throw malformed('DSA key');
  return { kind: 'dsa', p, q, g, y };
}

/** Algorithms' object identifiers in DER, without tag and length. */
const KEY_OIDS = { rsa: '2a864886f70d010101', ec: '2a8648ce3d0201', ed25519: '2b6570' };

/** The key for node:crypto, in canonical form. Undefined when it is none, and for DSA. */
function keyObject(key: PublicKey): KeyObject | undefined {
  if (key.kind === 'dsa') return undefined;
  const oid = derElement(TAG.oid, Buffer.from(KEY_OIDS[key.kind], 'hex'));
  const algorithm = derElement(TAG.sequence, oid, parametersOf(key));
  const spki = derElement(TAG.sequence, algorithm, derElement(TAG.bitString, Buffer.from([0]), keyBytes(key)));
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

type SigningKey = Exclude<PublicKey, { readonly kind: 'dsa' }>;

function parametersOf(key: SigningKey): Buffer {
  if (key.kind === 'ec') return key.curve;
  return key.kind === 'rsa' ? NULL_PARAMETERS : Buffer.alloc(0);
}

function keyBytes(key: SigningKey): Buffer {
  if (key.kind === 'ec') return key.point;
  return key.kind === 'rsa' ? derElement(TAG.sequence, positive(key.n), positive(key.e)) : key.bytes;
}

/** A positive integer in DER. */
function positive(value: bigint): Buffer {
  const digits = value.toString(16);
  const padding = digits.length % 2 === 1 ? '0' : Number.parseInt(digits.charAt(0), 16) >= 8 ? '00' : '';
  return derElement(TAG.integer, Buffer.from(padding + digits, 'hex'));
}

/** Numbers that Go's crypto/x509 gives algorithms of keys; 0 is for unknown ones. */
export const KEY_NUMBERS = { rsa: 1, dsa: 2, ec: 3, ed25519: 4 } as const;

type Scheme = {
  /** Go's number of the algorithm. */
  readonly number: number;
  readonly kind: PublicKey['kind'];
  /** Undefined for what is read but verifies nothing: broken hashes, and DSA. */
  readonly digest: string | null | undefined;
  readonly pss?: boolean;
};

const UNKNOWN: Scheme = { number: 0, kind: 'rsa', digest: undefined };

const SCHEMES: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  ['1.2.840.113549.1.1.4', { number: 2, kind: 'rsa', digest: undefined }],
  ['1.2.840.113549.1.1.5', { number: 3, kind: 'rsa', digest: undefined }],
  ['1.3.14.3.2.29', { number: 3, kind: 'rsa', digest: undefined }],
  ['1.2.840.113549.1.1.11', { number: 4, kind: 'rsa', digest: 'sha256' }],
  ['1.2.840.113549.1.1.12', { number: 5, kind: 'rsa', digest: 'sha384' }],
  ['1.2.840.113549.1.1.13', { number: 6, kind: 'rsa', digest: 'sha512' }],
  ['1.2.840.10040.4.3', { number: 7, kind: 'dsa', digest: undefined }],
  ['2.16.840.1.101.3.4.3.2', { number: 8, kind: 'dsa', digest: undefined }],
  ['1.2.840.10045.4.1', { number: 9, kind: 'ec', digest: undefined }],
  ['1.2.840.10045.4.3.2', { number: 10, kind: 'ec', digest: 'sha256' }],
  ['1.2.840.10045.4.3.3', { number: 11, kind: 'ec', digest: 'sha384' }],
  ['1.2.840.10045.4.3.4', { number: 12, kind: 'ec', digest: 'sha512' }],
]);
const OID_PSS = '1.2.840.113549.1.1.10';
const OID_MGF1 = '1.2.840.113549.1.1.8';
/** Hashes of RSASSA-PSS with the only salt length that goes with each. */
const PSS_SCHEMES: ReadonlyMap<string, Scheme & { readonly salt: bigint }> = new Map([
  ['2.16.840.1.101.3.4.2.1', { number: 13, kind: 'rsa', digest: 'sha256', pss: true, salt: 32n }],
  ['2.16.840.1.101.3.4.2.2', { number: 14, kind: 'rsa', digest: 'sha384', pss: true, salt: 48n }],
  ['2.16.840.1.101.3.4.2.3', { number: 15, kind: 'rsa', digest: 'sha512', pss: true, salt: 64n }],
]);

/** How a signature of this algorithm is made; number 0 when it is unknown. */
export function schemeOf(algorithm: Algorithm): Scheme {
  if (algorithm.oid === OID_ED25519) {
    return algorithm.parameters.length === 0 ? { number: 16, kind: 'ed25519', digest: null } : UNKNOWN;
  }
  if (algorithm.oid !== OID_PSS) return SCHEMES.get(algorithm.oid) ?? UNKNOWN;
  try {
    return pssScheme(algorithm.parameters);
  } catch {
    return UNKNOWN;
  }
}

function pssScheme(parameters: Buffer): Scheme {
  const reader = derReader(parameters).inside(TAG.sequence);
  const hash = algorithmOf(reader.inside(0xa0).inside(TAG.sequence));
  const mask = algorithmOf(reader.inside(0xa1).inside(TAG.sequence));
  const salt = reader.inside(0xa2).int64();
  const trailer = reader.insideOptional(0xa3)?.int64() ?? 1n;
  const maskHash = algorithmOf(derReader(mask.parameters).inside(TAG.sequence));
  const scheme = PSS_SCHEMES.get(hash.oid);
  const arePlain = [hash, maskHash].every(
    (one) => one.parameters.length === 0 || one.parameters.equals(NULL_PARAMETERS),
  );
  const isKnown = arePlain && mask.oid === OID_MGF1 && maskHash.oid === hash.oid && trailer === 1n;
  return isKnown && scheme !== undefined && scheme.salt === salt ? scheme : UNKNOWN;
}

const MIN_RSA_BITS = 1_024;
const MAX_RSA_EXPONENT = 2n ** 31n - 1n;

/** Keys that no signature is accepted of. */
function isWeak(key: PublicKey): boolean {
  if (key.kind !== 'rsa') return false;
  const isShort = key.n >> BigInt(MIN_RSA_BITS - 1) === 0n;
  return isShort || key.n % 2n === 0n || key.e < 2n || key.e % 2n === 0n || key.e > MAX_RSA_EXPONENT;
}

/** Whether the key made the signature. False also for algorithms that are no longer good: SHA-1, MD5, DSA. */
export function verifies(signer: SubjectKey, algorithm: Algorithm, signed: Buffer, signature: Buffer): boolean {
  const scheme = schemeOf(algorithm);
  const { key } = signer;
  if (scheme.digest === undefined || key === undefined || key.kind !== scheme.kind || isWeak(key)) return false;
  const object = keyObject(key);
  if (object === undefined) return false;
  const padding = scheme.pss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  try {
    return verify(scheme.digest, signed, { key: object, ...padding }, signature);
  } catch {
    return false;
  }
}
