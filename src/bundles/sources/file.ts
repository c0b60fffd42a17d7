import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { readLimited } from '../../lib/read-limited.ts';
import { type BundleFiles, bundleLimits } from '../unpack.ts';
import { readFolder } from './folder.ts';
import type { BundleSource } from './source.ts';

/** A bundle archive, or a folder laid out like one. A version's tag is the digest of its content. */
export function createFileSource(path: string, maxBytes: number): BundleSource {
  return async (tag) => {
    const { isDirectory, content } = await read(path, maxBytes);
    const digest = createHash('sha256');
    for (const [name, bytes] of content) digest.update(`${name}\0${bytes.length}\0`).update(bytes);
    const version = digest.digest('hex');
    if (version === tag) return { kind: 'unchanged' };
    const [archive = Buffer.alloc(0)] = content.values();
    return { kind: 'new', tag: version, content: isDirectory ? { files: content } : { archive } };
  };
}

async function read(path: string, maxBytes: number): Promise<{ isDirectory: boolean; content: BundleFiles }> {
  const isDirectory = (await stat(path)).isDirectory();
  if (isDirectory) return { isDirectory, content: await readFolder(path, maxBytes) };
  return { isDirectory, content: new Map([['', await readLimited(path, bundleLimits.packed)]]) };
}
