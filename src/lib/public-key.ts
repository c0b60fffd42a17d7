import { constants, createPublicKey, type KeyObject, type SigningOptions, X509Certificate } from 'node:crypto';

/** RFC 7518 section 3.1 and RFC 8037, without those that share a secret. */
export const signatureAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

export const isSignatureAlgorithm = (name: string): name is SignatureAlgorithm =>
  (signatureAlgorithms as readonly string[]).includes(name);

/** How `sign` and `verify` of node:crypto make and read an algorithm's signatures (RFC 7518 sections 3.3 to 3.5, RFC 8037). */
export function jwsParameters(algorithm: string): { readonly digest: string | null; readonly options: SigningOptions } {
  if (algorithm === 'EdDSA') return { digest: null, options: {} };
  const digest = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith('ES')) return { digest, options: { dsaEncoding: 'ieee-p1363' } };
  if (!algorithm.startsWith('PS')) return { digest, options: {} };
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  return { digest, options: { padding, saltLength } };
}

const MIN_RSA_BITS = 2048;
const curves: { readonly [algorithm: string]: string } = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  ES512: 'secp521r1',
};
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/;

/**
 * The public key that a PEM text (a key, PKCS #1 or SPKI, or a certificate) begins with, for one algorithm. Throws Error,
 * which says what is wrong with it and quotes nothing.
 */
export function readPublicKey(pem: string, algorithm: SignatureAlgorithm): KeyObject {
  const [block, type = ''] = BLOCK.exec(pem) ?? [];
  if (block === undefined) throw new Error('no key in PEM');
  if (type.endsWith('PRIVATE KEY')) throw new Error('a private key, where the public one is due');
  if (!['PUBLIC KEY', 'RSA PUBLIC KEY', 'CERTIFICATE'].includes(type)) {
    throw new Error('neither a public key nor a certificate');
  }
  const key = open(block, type);
  requireFit(key, algorithm);
  return key;
}

function open(block: string, type: string): KeyObject {
  try {
    return type === 'CERTIFICATE' ? new X509Certificate(block).publicKey : createPublicKey(block);
  } catch {
    throw new Error(`a ${type.toLowerCase()} that cannot be read`);
  }
}

function requireFit({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject, algorithm: string): void {
  const expected = algorithm === 'EdDSA' ? 'ed25519' : algorithm.startsWith('ES') ? 'ec' : 'rsa';
  if (type !== expected) throw new Error(`a key of type ${type ?? 'unknown'}, and ${algorithm} needs ${expected}`);
  const curve = curves[algorithm];
  if (curve !== undefined && details?.namedCurve !== curve) {
    throw new Error(`a key on the curve ${details?.namedCurve ?? 'unknown'}, and ${algorithm} needs ${curve}`);
  }
  if (expected === 'rsa' && (details?.modulusLength ?? 0) < MIN_RSA_BITS) {
    throw new Error(`an RSA key of less than ${MIN_RSA_BITS} bits`);
  }
}
