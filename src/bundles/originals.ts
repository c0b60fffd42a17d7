import { join } from 'node:path';
import { readLimited } from '../lib/read-limited.ts';
import { type BundleFiles, bundleLimits } from './unpack.ts';

/*
 * `opa build -t wasm` leaves the Rego in a bundle, but takes the rules out of it that the module answers for. A decision is
 * explained by those very rules; so what was there before is kept beside, under a name that OPA does not read as Rego.
 */
const FOLDER = '.sources/';
const SUFFIX = '.txt';

/** Where the original of a module is. */
const placeOf = (module: string): string => `${FOLDER}${module}${SUFFIX}`;
const isRego = (name: string): boolean => name.endsWith('.rego');

/** A bundle together with the originals of what opa has changed, from the `folder` that the names of its modules start in. */
export async function withOriginals(built: BundleFiles, folder: string): Promise<BundleFiles> {
  const files = new Map(built);
  for (const [name, content] of built) {
    if (!isRego(name)) continue;
    const original = await readOriginal(join(folder, name));
    if (original !== undefined && !original.equals(content)) files.set(placeOf(name), original);
  }
  return files;
}

/** Undefined where there is none: opa also compiles what is in archives. */
async function readOriginal(file: string): Promise<Buffer | undefined> {
  try {
    return await readLimited(file, bundleLimits.packed);
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** The Rego that a bundle was made from, by name, as far as it is in there. */
export const regoOf = (files: BundleFiles): BundleFiles =>
  new Map(
    [...files].flatMap(([name, content]) =>
      isRego(name) ? [[name, files.get(placeOf(name)) ?? content] as const] : [],
    ),
  );
