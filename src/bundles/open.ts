import { type Bundle, PATCH, readBundle } from './bundle.ts';
import { type Delta, readDelta } from './delta.ts';
import { baseName, createDocuments } from './documents.ts';
import { BundleError } from './error.ts';
import { SIGNATURES } from './signature.ts';
import type { BundleFiles } from './unpack.ts';
import type { Verification } from './verification.ts';
import { type Verified, verifyFiles } from './verify.ts';

export type OpenedBundle =
  | {
      readonly kind: 'snapshot';
      readonly bundle: Bundle;
      /** Undefined: the bundle is not signed, and need not be. */
      readonly verified: Verified | undefined;
    }
  /** What changes the bundle that is active (`applyDelta`). */
  | { readonly kind: 'delta'; readonly delta: Delta };

/**
 * Files to a bundle or a delta. What is signed is verified before anything of it is read. Without a `verification`, what
 * is signed is refused. Throws BundleError.
 */
export function openBundle(files: BundleFiles, verification: Verification | undefined, nowMs: number): OpenedBundle {
  const names = [...files.keys()];
  const signatures = names.filter((name) => baseName(name) === SIGNATURES);
  if (names.some((name) => baseName(name) === PATCH)) {
    if (signatures.length > 0) throw new BundleError('a delta cannot be signed');
    if (verification?.required === true && !verification.allowUnsignedDeltas) {
      throw new BundleError('a delta cannot be signed, and the bundle that it changes has to be');
    }
    return { kind: 'delta', delta: readDelta(files) };
  }
  if (signatures.length === 0) {
    if (verification?.required === true) throw new BundleError(`the bundle is not signed (it has no ${SIGNATURES})`);
    return { kind: 'snapshot', bundle: readBundle(files), verified: undefined };
  }
  const misplaced = signatures.find((name) => name !== SIGNATURES);
  if (misplaced !== undefined) throw new BundleError(`${misplaced}: the signature must be at the top of the bundle`);
  if (verification === undefined) {
    throw new BundleError('the bundle is signed, and there are no `keys` to verify it with');
  }
  const documents = createDocuments(files);
  const verified = verifyFiles(files, documents, verification, nowMs);
  const covered = new Map([...files].filter(([name]) => name !== SIGNATURES));
  return { kind: 'snapshot', bundle: readBundle(covered, documents), verified };
}
