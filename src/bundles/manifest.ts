import type { Json } from '../model/json.ts';
import { emptyObject, isObject } from '../values/json.ts';
import { parseJson } from './data.ts';
import { BundleError } from './error.ts';
import { isBelowRoots, requireDisjoint } from './roots.ts';
import type { BundleFiles } from './unpack.ts';

type Resolver = { readonly entrypoint: string; readonly module: string };

/** https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format */
export type Manifest = {
  readonly revision: string;
  /** Paths that the bundle owns, such as `envoy/authz`; the empty one owns everything. */
  readonly roots: readonly string[];
  /** Which module answers for which entrypoint; modules without a leading slash. */
  readonly resolvers: readonly Resolver[];
};

const MAX_ROOTS = 1000;

/** The `.manifest` of a bundle, or what holds without one. Throws BundleError. */
export function readManifest(files: BundleFiles): Manifest {
  // OPA takes a manifest from any folder, and one in protobuf; without it the bundle would own more than it should.
  const other = [...files.keys()].find((name) => name !== '.manifest' && /\.manifest(?:\.pb)?$/.test(name));
  if (other !== undefined) throw new BundleError(`${other}: the manifest must be JSON, called .manifest, at the top`);
  const content = files.get('.manifest');
  const manifest = content === undefined ? emptyObject() : parseJson('.manifest', content);
  if (!isObject(manifest)) throw new BundleError('.manifest is not an object');
  const { revision = '', roots: given = [''], wasm = [] } = manifest as { readonly [key: string]: Json };
  if (typeof revision !== 'string') throw new BundleError('.manifest: revision is not a string');
  if (!Array.isArray(given) || !given.every((root): root is string => typeof root === 'string')) {
    throw new BundleError('.manifest: roots is not a list of strings');
  }
  if (given.length > MAX_ROOTS) throw new BundleError(`.manifest: more than ${MAX_ROOTS} roots`);
  const roots = given.map(trimSlashes);
  requireDisjoint(roots);
  return { revision, roots, resolvers: readResolvers(wasm, roots) };
}

function readResolvers(wasm: Json, roots: readonly string[]): readonly Resolver[] {
  const seen = new Set<string>();
  if (!Array.isArray(wasm)) throw new BundleError('.manifest: wasm is not a list');
  return (wasm as readonly Json[]).map((entry) => {
    const { entrypoint, module } = isObject(entry) ? entry : emptyObject();
    if (typeof entrypoint !== 'string' || typeof module !== 'string') {
      throw new BundleError('.manifest: an entry of wasm needs an entrypoint and a module');
    }
    const path = trimSlashes(entrypoint);
    if (!isBelowRoots(path, roots)) {
      throw new BundleError(`.manifest: the entrypoint ${path} is outside of the bundle's roots`);
    }
    if (seen.has(path)) throw new BundleError(`.manifest: the entrypoint ${path} is there twice`);
    seen.add(path);
    return { entrypoint: path, module: module.replace(/^\/+/, '') };
  });
}

const trimSlashes = (path: string): string => path.replace(/^\/+|\/+$/g, '');
