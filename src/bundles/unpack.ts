import { gunzip } from 'node:zlib';
import { ArchiveError, readTar } from './tar.ts';

/** What a bundle may weigh (bytes) and how many files it may have. */
export const bundleLimits = { packed: 52_428_800, entries: 10_000, nameBytes: 1024, wasm: 20_971_520 };

/** Files by path, without a leading slash. */
export type BundleFiles = ReadonlyMap<string, Buffer>;

/** A bundle as it was found: packed, or as the files of a folder. */
export type Content = { readonly archive: Buffer } | { readonly files: BundleFiles };

/** The files of a bundle. Rejects with ArchiveError. */
export const filesOf = async (content: Content, maxBytes: number): Promise<BundleFiles> =>
  'files' in content ? content.files : unpack(content.archive, maxBytes);

/**
 * A bundle's bytes (a tar archive, gzipped as a rule) to its files, in memory; nothing is ever written to disk. The
 * limit counts what comes out. Rejects with ArchiveError.
 */
export async function unpack(bytes: Buffer, maxBytes: number): Promise<BundleFiles> {
  if (bytes.length > bundleLimits.packed)
    throw new ArchiveError(`the bundle has more than ${bundleLimits.packed} bytes`);
  const archive = isGzip(bytes) ? await unzip(bytes, maxBytes) : bytes;
  if (archive.length === 0) throw new ArchiveError('the bundle is empty; a tar archive was expected');
  if (isPage(archive)) throw new ArchiveError('this is no tar archive; it looks like an HTML or XML page');
  const files = readTar(archive, bundleLimits);
  let total = 0;
  for (const content of files.values()) total += content.length;
  if (total > maxBytes) throw new ArchiveError(`the bundle unpacks to more than ${maxBytes} bytes`);
  return files;
}

/** RFC 1952 section 2.3.1. */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** What a server answers with 200 when it means something else. */
const isPage = (bytes: Buffer): boolean =>
  bytes.toString('latin1', 257, 262) !== 'ustar' && bytes.toString('latin1', 0, 256).trimStart().startsWith('<');

/** Every file has a header block and is padded to a whole one. */
const OVERHEAD_BYTES = bundleLimits.entries * 1024;

const unzip = (bytes: Buffer, maxBytes: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: maxBytes + OVERHEAD_BYTES }, (error, result) => {
      if (error === null) resolve(result);
      else if ('code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') {
        reject(new ArchiveError(`the bundle unpacks to more than ${maxBytes} bytes`));
      } else reject(new ArchiveError(`the bundle cannot be unzipped: ${error.message}`));
    });
  });
