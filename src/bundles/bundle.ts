import { hash } from 'node:crypto';
import type { JsonObject } from '../model/json.ts';
import { readData } from './data.ts';
import { baseName, createDocuments, type Documents } from './documents.ts';
import { BundleError } from './error.ts';
import { readManifest } from './manifest.ts';
import { requireBelowRoots } from './roots.ts';
import { SIGNATURES } from './signature.ts';
import { type BundleFiles, bundleLimits } from './unpack.ts';

/** A policy module, the path it has in its bundle, its SHA-256 digest, and what the manifest says it answers for. */
export type Module = {
  readonly path: string;
  readonly wasm: Uint8Array;
  readonly digest: string;
  /** None: all that it has itself. */
  readonly entrypoints: readonly string[];
  /** The roots of its bundle; it answers for nothing outside of them. */
  readonly roots: readonly string[];
};

/** https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format */
export type Bundle = {
  readonly revision: string;
  /** Paths that the bundle owns, such as `envoy/authz`; the empty one owns everything. */
  readonly roots: readonly string[];
  readonly modules: readonly Module[];
  readonly data: JsonObject;
  /** What whoever built it wrote into the manifest. */
  readonly metadata: JsonObject;
};

const MODULE = 'policy.wasm';
export const PATCH = 'patch.json';

/**
 * Files to a bundle. Signed ones and deltas are refused: `openBundle` verifies the former, and tells the latter apart.
 * Throws BundleError.
 */
export function readBundle(files: BundleFiles, documents: Documents = createDocuments(files)): Bundle {
  const names = [...files.keys()];
  if (names.some((name) => baseName(name) === SIGNATURES)) {
    throw new BundleError('the bundle is signed, and nothing has verified it');
  }
  if (names.some((name) => baseName(name) === PATCH)) throw new BundleError('this is a delta, and no bundle');
  const { revision, roots, resolvers, metadata } = readManifest(files, documents);
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
      roots,
    }));
  requireShares(modules);
  if (modules.length === 0 && names.some((name) => name.endsWith('.rego'))) {
    throw new BundleError(
      'the bundle has Rego but no WebAssembly; build it with `opa build -t wasm -e envoy/authz/allow …`',
    );
  }
  const data = readData(names, documents);
  requireBelowRoots(data, roots);
  return { revision, roots, modules, data, metadata };
}

/** Each has its own memory, and the data in it. */
const MAX_MODULES = 50;

/** A single module may be left to say itself what it answers for. */
function requireShares(modules: readonly Module[]): void {
  if (modules.length > MAX_MODULES) throw new BundleError(`more than ${MAX_MODULES} policy modules`);
  const idle = modules.find(({ entrypoints }) => entrypoints.length === 0);
  if (modules.length > 1 && idle !== undefined) {
    throw new BundleError(`${idle.path} is one of several modules, and .manifest gives no entrypoint to it`);
  }
}

function moduleOf(files: BundleFiles, path: string): Pick<Module, 'wasm' | 'digest'> {
  const wasm = files.get(path) ?? Buffer.alloc(0);
  if (wasm.length > bundleLimits.wasm) throw new BundleError(`${path} has more than ${bundleLimits.wasm} bytes`);
  // A copy: files are views of the whole archive, which would live as long as the module.
  return { wasm: Uint8Array.from(wasm), digest: hash('sha256', wasm) };
}
