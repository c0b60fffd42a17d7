import { filePattern } from '../lib/file-pattern.ts';
import { digestOf, isDocument } from './digest.ts';
import type { Documents } from './documents.ts';
import { BundleError } from './error.ts';
import { SIGNATURES, type SignedFile, type Statement, verifySignatures } from './signature.ts';
import type { BundleFiles } from './unpack.ts';
import type { Verification } from './verification.ts';

/** What a signature vouched for. */
export type Verified = Pick<Statement, 'keyId' | 'issuedAt' | 'issuer'> & {
  /** Of all files; what has the same one has the same content. */
  readonly digest: string;
};

/**
 * Verifies a signed bundle: first the signature, then that it lists exactly the files that are there, then each file's
 * digest. Until then nothing is parsed but the documents whose value is signed. Throws BundleError.
 */
export function verifyFiles(
  files: BundleFiles,
  documents: Documents,
  verification: Verification,
  nowMs: number,
): Verified {
  const statement = verifySignatures(files.get(SIGNATURES) ?? Buffer.alloc(0), verification, nowMs);
  const patterns = verification.excludeFiles.map(filePattern);
  const isExcluded = (name: string): boolean => patterns.some((pattern) => pattern.test(name));
  const signed = byName(statement.files);
  requireSameSet(files, signed, isExcluded);
  const digests = [...files.keys()]
    .filter((name) => name !== SIGNATURES)
    .map((name) => {
      const file = isExcluded(name) ? undefined : signed.get(name);
      if (file === undefined) return [name, '', digestOf('SHA-256', contentOf(files, name))] as const;
      requireDigest(file, isDocument(name) ? documents(name) : contentOf(files, name));
      return [name, file.algorithm, file.hash] as const;
    });
  digests.sort(([a], [b]) => (a < b ? -1 : 1));
  const { keyId, issuedAt, issuer } = statement;
  return { keyId, issuedAt, issuer, digest: digestOf('SHA-256', digests) };
}

const contentOf = (files: BundleFiles, name: string): Buffer => files.get(name) ?? Buffer.alloc(0);

function byName(files: readonly SignedFile[]): ReadonlyMap<string, SignedFile> {
  const signed = new Map<string, SignedFile>();
  for (const file of files) {
    if (signed.has(file.name)) throw new BundleError(`${SIGNATURES}: the signature lists ${file.name} twice`);
    signed.set(file.name, file);
  }
  return signed;
}

/** Excluded files may be listed, but only when they are there, as OPA has it. */
function requireSameSet(
  files: BundleFiles,
  signed: ReadonlyMap<string, SignedFile>,
  isExcluded: (name: string) => boolean,
): void {
  const extra = [...files.keys()].find((name) => name !== SIGNATURES && !signed.has(name) && !isExcluded(name));
  if (extra !== undefined) throw new BundleError(`${extra} is not listed in the bundle's signature`);
  const missing = [...signed.keys()].find((name) => name === SIGNATURES || !files.has(name));
  if (missing !== undefined) throw new BundleError(`the bundle's signature lists ${missing}, which is not there`);
}

function requireDigest({ name, hash, algorithm }: SignedFile, content: Parameters<typeof digestOf>[1]): void {
  let digest: string;
  try {
    digest = digestOf(algorithm, content);
  } catch (error) {
    if (error instanceof BundleError) throw new BundleError(`${name}: ${error.message}`);
    throw error;
  }
  if (digest !== hash) throw new BundleError(`${name} is not what was signed`);
}
