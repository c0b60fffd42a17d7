import { type DerReader, malformed, TAG } from './der.ts';

/*
 * RSA private keys (RFC 8017 appendix A.1.2) with the checks that Go's crypto/rsa makes. Keys of more than two primes
 * are refused.
 */

export type RsaPrivateKey = {
  readonly kind: 'rsa';
  readonly n: bigint;
  readonly e: bigint;
  readonly d: bigint;
  readonly p: bigint;
  readonly q: bigint;
  readonly dp: bigint;
  readonly dq: bigint;
  readonly qinv: bigint;
};

const MAX_EXPONENT = 2n ** 31n - 1n;
/** Primes that are closer, in bits below half of the modulus, give the modulus away. */
const MIN_DISTANCE_BITS = 100;
const BITS_PER_DIGIT = 4;

/** Of the content of an RSAPrivateKey. Throws BuiltinError. */
export function rsaPrivateKey(reader: DerReader): RsaPrivateKey {
  if (reader.int64() > 1n) throw malformed('RSA key: an unknown version');
  const n = reader.integer();
  const e = reader.int64();
  const d = reader.integer();
  const p = reader.integer();
  const q = reader.integer();
  const [dp, dq, qinv] = [1, 2, 3].map(() => (reader.hasNext(TAG.integer) ? reader.integer() : undefined));
  if (reader.hasNext(TAG.sequence) && reader.content(TAG.sequence).length > 0) {
    throw malformed('RSA key: more than two primes');
  }
  if ([n, d, p, q, dp, dq, qinv].some((value) => value !== undefined && value <= 0n)) throw malformed('RSA key');
  if (p < 3n || q < 3n) throw malformed('RSA key');
  const areGiven = dp !== undefined && dq !== undefined && qinv !== undefined;
  const crt = areGiven ? { dp, dq, qinv } : { dp: d % (p - 1n), dq: d % (q - 1n), qinv: inverse(q, p) };
  const key: RsaPrivateKey = { kind: 'rsa', n, e, d, p, q, ...crt };
  if (!isConsistent(key)) throw malformed('RSA key');
  return key;
}

function isConsistent({ n, e, d, p, q, dp, dq, qinv }: RsaPrivateKey): boolean {
  if (n % 2n === 0n || e < 2n || e % 2n === 0n || e > MAX_EXPONENT) return false;
  if (p >= n || q >= n || (p * q) % n !== 0n || d >= n || qinv >= p) return false;
  if (dp >= p - 1n || dq >= q - 1n || dp !== d % (p - 1n) || dq !== d % (q - 1n)) return false;
  if ((e * dp) % (p - 1n) !== 1n || (e * dq) % (q - 1n) !== 1n || (q * qinv) % p !== 1n) return false;
  const half = bitLength(n) / 2;
  const distance = p > q ? p - q : q - p;
  return distance > 0n && bitLength(distance) > Math.floor(half) - MIN_DISTANCE_BITS && bitLength(d) > Math.floor(half);
}

function bitLength(value: bigint): number {
  const digits = value.toString(16);
  const leading = Number.parseInt(digits.charAt(0), 16);
  return (digits.length - 1) * BITS_PER_DIGIT + (BITS_PER_DIGIT - (Math.clz32(leading) - 28));
}

/** The inverse of `value` modulo `modulus`; zero when there is none. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [remainder, next] = [modulus, value % modulus];
  let [coefficient, nextCoefficient] = [0n, 1n];
  while (next !== 0n) {
    const quotient = remainder / next;
    [remainder, next] = [next, remainder - quotient * next];
    [coefficient, nextCoefficient] = [nextCoefficient, coefficient - quotient * nextCoefficient];
  }
  if (remainder !== 1n) return 0n;
  return coefficient < 0n ? coefficient + modulus : coefficient;
}
