import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { number } from '../../../values/number.ts';
import { RegoObject, type Value } from '../../../values/value.ts';
import { type DerReader, derReader, malformed, oidText, TAG } from './der.ts';
import { type Algorithm, algorithmOf, CURVES, OID_EC, OID_ED25519, OID_RSA, type PublicKey } from './public-key.ts';
import { type RsaPrivateKey, rsaPrivateKey } from './rsa.ts';

/*
 * Private keys: PKCS #1 and PKCS #8 (RFC 8017, RFC 5958), SEC 1 (RFC 5915), RFC 8410.
 */

export type PrivateKey =
  | RsaPrivateKey
  | {
      readonly kind: 'ec';
      readonly crv: string;
      readonly size: number;
      readonly d: bigint;
      readonly x: bigint;
      readonly y: bigint;
    }
  | { readonly kind: 'ed25519' | 'x25519'; readonly secret: Buffer; readonly public: Buffer };

const OID_X25519 = '1.3.101.110';

/** The one structure that the bytes are. Throws BuiltinError. */
function onlySequence(der: Buffer): DerReader {
  const reader = derReader(der);
  const inner = reader.inside(TAG.sequence);
  if (!reader.isEmpty()) throw malformed('private key: more after it');
  return inner;
}

/** PKCS #1. Throws BuiltinError. */
export const pkcs1Key = (der: Buffer): PrivateKey => rsaPrivateKey(onlySequence(der));

/** PKCS #8. Throws BuiltinError. */
export function pkcs8Key(der: Buffer): PrivateKey {
  const reader = derReader(der).inside(TAG.sequence);
  reader.int64();
  const algorithm = algorithmOf(reader.inside(TAG.sequence));
  const secret = reader.content(TAG.octetString);
  switch (algorithm.oid) {
    case OID_RSA:
      return pkcs1Key(secret);
    case OID_EC:
      return ecKey(derReader(secret).inside(TAG.sequence), algorithm);
    case OID_ED25519:
      return curve25519Key('ed25519', algorithm, secret);
    case OID_X25519:
      return curve25519Key('x25519', algorithm, secret);
    default:
      throw malformed('private key: an unknown algorithm');
  }
}

/** SEC 1. Throws BuiltinError. */
export const sec1Key = (der: Buffer): PrivateKey => ecKey(derReader(der).inside(TAG.sequence));

function ecKey(reader: DerReader, algorithm?: Algorithm): PrivateKey {
  if (reader.int64() !== 1n) throw malformed('elliptic curve key');
  const secret = reader.content(TAG.octetString);
  const own = reader.insideOptional(0xa0)?.oid();
  // The public key is worked out; what is written of it has to be well formed all the same.
  reader.insideOptional(0xa1)?.bitString();
  const given = algorithm === undefined ? undefined : curveOid(algorithm);
  const curve = CURVES.get(given ?? (own === undefined ? '' : oidText(own)));
  if (curve === undefined) throw malformed('elliptic curve key: an unsupported curve');
  const padding = Math.max(secret.length - curve.bytes, 0);
  if (secret.subarray(0, padding).some((byte) => byte !== 0)) throw malformed('elliptic curve key');
  const digits = secret
    .subarray(padding)
    .toString('hex')
    .padStart(2 * curve.bytes, '0');
  const point = publicPoint(curve.name, Buffer.from(digits, 'hex'));
  const coordinate = (from: number): bigint => BigInt(`0x${point.toString('hex', from, from + curve.bytes)}`);
  return {
    kind: 'ec',
    crv: curve.crv,
    size: curve.bytes,
    d: BigInt(`0x${digits}`),
    x: coordinate(1),
    y: coordinate(1 + curve.bytes),
  };
}

function curveOid({ parameters }: Algorithm): string | undefined {
  try {
    return oidText(derReader(parameters).oid());
  } catch {
    return undefined;
  }
}

function publicPoint(curve: string, secret: Buffer): Buffer {
  try {
    const ecdh = createECDH(curve);
    ecdh.setPrivateKey(secret);
    return ecdh.getPublicKey();
  } catch {
    throw malformed('elliptic curve key');
  }
}

const SECRET_BYTES = 32;
/** PKCS #8 up to the secret. */
const PREFIXES = { ed25519: '302e020100300506032b657004220420', x25519: '302e020100300506032b656e04220420' };

function curve25519Key(kind: 'ed25519' | 'x25519', algorithm: Algorithm, content: Buffer): PrivateKey {
  const secret = derReader(content).content(TAG.octetString);
  if (algorithm.parameters.length > 0 || secret.length !== SECRET_BYTES) throw malformed(`${kind} key`);
  const spki = createPublicKey(curve25519Object(kind, secret)).export({ format: 'der', type: 'spki' });
  return { kind, secret, public: spki.subarray(-SECRET_BYTES) };
}

function curve25519Object(kind: 'ed25519' | 'x25519', secret: Buffer): KeyObject {
  try {
    const key = Buffer.concat([Buffer.from(PREFIXES[kind], 'hex'), secret]);
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  } catch {
    throw malformed(`${kind} key`);
  }
}

/** Whether the public key is that of the private one. */
export function belongTogether(key: PrivateKey, other: PublicKey | undefined): boolean {
  if (key.kind === 'rsa') return other?.kind === 'rsa' && other.n === key.n && other.e === key.e;
  if (key.kind === 'ec') return other?.kind === 'ec' && other.x === key.x && other.y === key.y;
  return other?.kind === 'ed25519' && key.kind === 'ed25519' && other.bytes.equals(key.public);
}

/** A key as Go marshals it. */
export function privateKeyValue(key: PrivateKey): Value {
  switch (key.kind) {
    case 'rsa':
      return RegoObject.from({
        N: number(key.n),
        E: number(key.e),
        D: number(key.d),
        Primes: [number(key.p), number(key.q)],
        Precomputed: RegoObject.from({
          Dp: number(key.dp),
          Dq: number(key.dq),
          Qinv: number(key.qinv),
          CRTValues: [],
        }),
      });
    case 'ec':
      return RegoObject.from({ Curve: new RegoObject(), X: number(key.x), Y: number(key.y), D: number(key.d) });
    case 'ed25519':
      return Buffer.concat([key.secret, key.public]).toString('base64');
    default:
      return new RegoObject();
  }
}

/** Big-endian bytes in base64url; as few as it takes, or `size` of them. */
function base64url(value: bigint, size = 0): string {
  const digits = value.toString(16);
  return Buffer.from(digits.padStart(Math.max(2 * size, digits.length + (digits.length % 2)), '0'), 'hex').toString(
    'base64url',
  );
}

const CRV = { ed25519: 'Ed25519', x25519: 'X25519' };

/** A JSON Web Key (RFC 7517). Throws BuiltinError for a curve that has no name there. */
export function webKeyValue(key: PrivateKey): Value {
  if (key.kind === 'rsa') {
    return RegoObject.from({
      kty: 'RSA',
      n: base64url(key.n),
      e: base64url(key.e),
      d: base64url(key.d),
      p: base64url(key.p),
      q: base64url(key.q),
      dp: base64url(key.dp),
      dq: base64url(key.dq),
      qi: base64url(key.qinv),
    });
  }
  if (key.kind === 'ec') {
    if (key.crv === 'P-224') throw malformed('elliptic curve key: an unsupported curve');
    const { crv, size } = key;
    return RegoObject.from({
      kty: 'EC',
      crv,
      d: base64url(key.d, size),
      x: base64url(key.x, size),
      y: base64url(key.y, size),
    });
  }
  return RegoObject.from({
    kty: 'OKP',
    crv: CRV[key.kind],
    d: key.secret.toString('base64url'),
    x: key.public.toString('base64url'),
  });
}
