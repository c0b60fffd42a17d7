import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { BundleError } from '../bundle.ts';
import { type BundleFiles, bundleLimits, unpack } from '../unpack.ts';
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
    return { kind: 'new', tag: version, files: isDirectory ? content : await unpack(archive, maxBytes) };
  };
}

async function read(path: string, maxBytes: number): Promise<{ isDirectory: boolean; content: BundleFiles }> {
  const isDirectory = (await stat(path)).isDirectory();
  if (isDirectory) return { isDirectory, content: await readFolder(path, maxBytes) };
  return { isDirectory, content: new Map([['', await readLimited(path, bundleLimits.packed)]]) };
}

/** What belongs to a bundle; Rego sources are looked at by name only. */
const PART = /(?:^|\/)(?:\.manifest|\.signatures\.json|patch\.json|data\.(?:json|ya?ml)|[^/]+\.(?:wasm|rego))$/;

async function readFolder(folder: string, maxBytes: number): Promise<BundleFiles> {
  const names = (await readdir(folder, { recursive: true })).map((name) => name.split(sep).join('/'));
  const parts = names
    // `..data` and the like are how Kubernetes mounts a volume: the same files a second time.
    .filter((name) => PART.test(name) && !name.split('/').some((segment) => segment.startsWith('..')))
    .sort();
  if (parts.length > bundleLimits.entries) throw new BundleError(`more than ${bundleLimits.entries} files`);
  const files = new Map<string, Buffer>();
  let left = maxBytes;
  for (const name of parts) {
    const bytes = await readLimited(join(folder, name), left);
    left -= bytes.length;
    files.set(name, bytes);
  }
  return files;
}

async function readLimited(file: string, maxBytes: number): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) throw new BundleError(`${file} is larger than ${maxBytes} bytes`);
    return await readFile(handle);
  } finally {
    await handle.close();
  }
}
