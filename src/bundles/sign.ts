import { sign } from 'node:crypto';
import type { SigningKey } from '../lib/private-key.ts';
import { jwsParameters, type SignatureAlgorithm } from '../lib/public-key.ts';
import { PATCH } from './bundle.ts';
import { digestOf, isDocument } from './digest.ts';
import { baseName, createDocuments } from './documents.ts';
import { BundleError } from './error.ts';
import { SIGNATURES } from './signature.ts';
import type { BundleFiles } from './unpack.ts';
import { verifyFiles } from './verify.ts';

export type Signing = {
  readonly key: SigningKey;
  readonly algorithm: SignatureAlgorithm;
  readonly keyId: string | undefined;
  readonly scope: string | undefined;
  readonly issuer: string | undefined;
};

/**
 * The same bundle with a signature of all its files
 * (https://www.openpolicyagent.org/docs/management-bundles#signature-format) that tells when it was made, so that a later one
 * is known as such; a signature that is there already is replaced. Throws BundleError.
 */
export function signFiles(given: BundleFiles, signing: Signing, nowMs: number): BundleFiles {
  const names = [...given.keys()].filter((name) => name !== SIGNATURES).sort();
  const misplaced = names.find((name) => baseName(name) === SIGNATURES);
  if (misplaced !== undefined) throw new BundleError(`${misplaced}: the signature must be at the top of the bundle`);
  if (names.some((name) => baseName(name) === PATCH)) throw new BundleError('a delta cannot be signed');
  if (names.length === 0) throw new BundleError('there is nothing to sign');
  const files: BundleFiles = new Map(names.map((name) => [name, given.get(name) ?? Buffer.alloc(0)]));
  const documents = createDocuments(files);
  const listed = names.map((name) => ({
    name,
    hash: digestOf('SHA-256', isDocument(name) ? documents(name) : (files.get(name) ?? Buffer.alloc(0))),
    algorithm: 'SHA-256',
  }));
  const { key, algorithm, keyId, scope, issuer } = signing;
  const header = { alg: algorithm, typ: 'JWT', kid: keyId };
  // OPA had the key's id among the claims once, and still looks there.
  const claims = { files: listed, iat: Math.floor(nowMs / 1000), iss: issuer, scope, keyid: keyId };
  const signed = `${encoded(header)}.${encoded(claims)}`;
  const { digest, options } = jwsParameters(algorithm);
  const signature = sign(digest, Buffer.from(signed), { key: key.key, ...options });
  const token = `${signed}.${signature.toString('base64url')}`;
  const result = new Map(files).set(SIGNATURES, Buffer.from(JSON.stringify({ signatures: [token] })));
  requireGood(result, signing, nowMs);
  return result;
}

const encoded = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** Nothing leaves that would be refused where it arrives. */
function requireGood(files: BundleFiles, { key, algorithm, scope }: Signing, nowMs: number): void {
  const keys = { own: { pem: key.publicPem, algorithm, scope: scope ?? '' } };
  const verification = { keys, required: true, keyId: 'own', scope: '', excludeFiles: [], allowUnsignedDeltas: false };
  verifyFiles(files, createDocuments(files), verification, nowMs);
}
