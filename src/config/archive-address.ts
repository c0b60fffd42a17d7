import { parseS3Address } from './bundle-addresses.ts';

/** Where decisions are archived. The prefix is what all keys begin with, without a slash at its end; it may be empty. */
export type ArchiveAddress = { readonly bucket: string; readonly prefix: string };

/** Keys have 1024 bytes; this leaves room for what comes behind the prefix. */
const MAX_PREFIX_BYTES = 900;

/** Of `s3://BUCKET` or `s3://BUCKET/PREFIX`. Undefined when the text is no such address. */
export function parseArchiveAddress(text: string): ArchiveAddress | undefined {
  const address = parseS3Address(`${text.replace(/\/+$/, '')}/x`);
  if (address === undefined) return undefined;
  const prefix = address.key.slice(0, -'/x'.length);
  if (prefix.startsWith('/') || Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) return undefined;
  return { bucket: address.bucket, prefix };
}

/** What is wrong with where decisions are to be archived. */
export function archiveProblems(archive: string | null): string[] {
  if (archive === null || parseArchiveAddress(archive) !== undefined) return [];
  return ['postern.store.archive: s3://BUCKET/PREFIX is expected'];
}
