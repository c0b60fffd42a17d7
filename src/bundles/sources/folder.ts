import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readLimited } from '../../lib/read-limited.ts';
import { BundleError } from '../error.ts';
import { SIGNATURES } from '../signature.ts';
import { type BundleFiles, bundleLimits } from '../unpack.ts';

/** What belongs to a bundle; Rego sources are looked at by name only. A signature covers everything else as well. */
const PART =
  /(?:^|\/)(?:[^/]*\.manifest(?:\.pb)?|\.signatures\.json|patch\.json|data\.(?:json|ya?ml)|[^/]+\.(?:wasm|rego|rego\.txt))$/;
const MAX_DEPTH = 32;
const MAX_ATTEMPTS = 3;

/** A file of the folder, and what changes when somebody writes it. */
type Part = { readonly name: string; readonly mark: string };

/**
 * The files of a folder that is laid out like a bundle. What changes while it is read is read again, so that old and
 * new files are never mixed. Rejects with BundleError, or when something cannot be read.
 */
export async function readFolder(folder: string, maxBytes: number): Promise<BundleFiles> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const before = await listParts(folder);
    const files = new Map<string, Buffer>();
    let left = maxBytes;
    for (const { name } of before) {
      const bytes = await readLimited(join(folder, name), left);
      left -= bytes.length;
      files.set(name, bytes);
    }
    if (JSON.stringify(await listParts(folder)) === JSON.stringify(before)) return files;
  }
  throw new BundleError(`${folder} keeps changing while it is read`);
}

async function listParts(folder: string): Promise<readonly Part[]> {
  const parts: Part[] = [];
  let entries = 0;

  async function walk(below: string, above: readonly string[]): Promise<void> {
    const real = await realpath(join(folder, below));
    if (above.includes(real) || above.length > MAX_DEPTH) {
      throw new BundleError(`${join(folder, below)} leads back to where it is, or too deep`);
    }
    for (const entry of await readdir(real)) {
      if (++entries > bundleLimits.entries)
        throw new BundleError(`${folder} has more than ${bundleLimits.entries} entries`);
      // `..data` and the like are how Kubernetes mounts a volume: the same files a second time.
      if (entry.startsWith('..')) continue;
      const name = below === '' ? entry : `${below}/${entry}`;
      const target = await stat(join(folder, name), { bigint: true });
      if (target.isDirectory()) await walk(name, [...above, real]);
      else parts.push({ name, mark: [target.dev, target.ino, target.size, target.mtimeNs, target.ctimeNs].join(' ') });
    }
  }

  await walk('', []);
  const isSigned = parts.some(({ name }) => name === SIGNATURES);
  return parts.filter(({ name }) => isSigned || PART.test(name)).sort((a, b) => (a.name < b.name ? -1 : 1));
}
