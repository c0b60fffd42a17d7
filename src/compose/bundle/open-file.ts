import { FILE_LIMIT_BYTES } from '../../bundles/bundles.ts';
import { type OpenedBundle, openBundle } from '../../bundles/open.ts';
import { SIGNATURES } from '../../bundles/signature.ts';
import { readSignatureInfo } from '../../bundles/signature-info.ts';
import { createFileSource } from '../../bundles/sources/file.ts';
import { type BundleFiles, type Content, filesOf } from '../../bundles/unpack.ts';
import type { Verification } from '../../bundles/verification.ts';
import type { SignatureReport } from '../../cli/bundle/ports.ts';

/** What is at a path: an archive, or the files of a folder. Rejects when there is nothing, or too much. */
export async function contentAt(file: string): Promise<Content> {
  const fetched = await createFileSource(file, FILE_LIMIT_BYTES)(undefined, new AbortController().signal);
  if (fetched.kind !== 'new') throw new Error(`${file}: there is no bundle`);
  return fetched.content;
}

export const unpacked = (content: Content): Promise<BundleFiles> => filesOf(content, FILE_LIMIT_BYTES);

type Snapshot = Extract<OpenedBundle, { kind: 'snapshot' }>;

/**
 * The bundle that the files are, and what its signature says: verified when there is something to verify it with, and else
 * as it is. Throws BundleError.
 */
export function openFiles(
  files: BundleFiles,
  verification: Verification | undefined,
): Pick<Snapshot, 'bundle'> & { readonly signature: SignatureReport | undefined } {
  const signed = files.get(SIGNATURES);
  const isJudged = signed === undefined || verification !== undefined;
  const opened = openBundle(isJudged ? files : withoutSignature(files), verification, Date.now());
  if (opened.kind === 'delta') throw new Error('this is a delta, and nothing without the bundle that it changes');
  const signature =
    signed === undefined ? undefined : { ...readSignatureInfo(signed), verified: opened.verified !== undefined };
  return { bundle: opened.bundle, signature };
}

export const withoutSignature = (files: BundleFiles): BundleFiles =>
  new Map([...files].filter(([name]) => name !== SIGNATURES));
