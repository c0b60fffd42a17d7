import { hash } from 'node:crypto';
import type { JsonObject } from '../model/json.ts';
import { readData } from './data.ts';
import { BundleError } from './error.ts';
import { readManifest } from './manifest.ts';
import { requireBelowRoots } from './roots.ts';
import { type BundleFiles, bundleLimits } from './unpack.ts';

/** A policy module, the path it has in its bundle, its SHA-256 digest, and what the manifest says it answers for. */
export type Module = {
  readonly path: string;
  readonly wasm: Uint8Array;
  readonly digest: string;
  readonly entrypoints: readonly string[];
};

/** https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format */
export type Bundle = {
  readonly revision: string;
  /** Paths that the bundle owns, such as `envoy/authz`; the empty one owns everything. */
  readonly roots: readonly string[];
  readonly modules: readonly Module[];
  readonly data: JsonObject;
};

const MODULE = 'policy.wasm';
const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Files to a bundle. Throws BundleError. */
export function readBundle(files: BundleFiles): Bundle {
  const names = [...files.keys()];
  if (names.some((name) => baseName(name) === '.signatures.json')) {
    throw new BundleError('the bundle is signed, and signature verification is not available in this version');
  }
  if (names.some((name) => baseName(name) === 'patch.json')) {
    throw new BundleError('delta bundles are not available in this version');
  }
  const { revision, roots, resolvers } = readManifest(files);
  const missing = resolvers.find(({ module }) => baseName(module) !== MODULE || !files.has(module));
  if (missing !== undefined) {
    throw new BundleError(`.manifest names ${missing.module}, and there is no such ${MODULE} in the bundle`);
  }
  const modules = names
    .filter((name) => baseName(name) === MODULE)
    .map((path) => ({
      path,
      ...moduleOf(files, path),
      entrypoints: resolvers.filter(({ module }) => module === path).map(({ entrypoint }) => entrypoint),
    }));
  if (modules.length === 0 && names.some((name) => name.endsWith('.rego'))) {
    throw new BundleError(
      'the bundle has Rego but no WebAssembly; build it with `opa build -t wasm -e envoy/authz/allow …`',
    );
  }
  const data = readData(files);
  requireBelowRoots(data, roots);
  return { revision, roots, modules, data };
}

function moduleOf(files: BundleFiles, path: string): Pick<Module, 'wasm' | 'digest'> {
  const wasm = files.get(path) ?? Buffer.alloc(0);
  if (wasm.length > bundleLimits.wasm) throw new BundleError(`${path} has more than ${bundleLimits.wasm} bytes`);
  // A copy: files are views of the whole archive, which would live as long as the module.
  return { wasm: Uint8Array.from(wasm), digest: hash('sha256', wasm) };
}
