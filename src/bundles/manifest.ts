import { withoutSlashes } from '../lib/without-slashes.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { emptyObject, isObject } from '../values/json.ts';
import { hasDuplicateKeys } from '../values/unique-keys.ts';
import type { Documents } from './documents.ts';
import { BundleError } from './error.ts';
import { isBelowRoots, requireDisjoint } from './roots.ts';
import type { BundleFiles } from './unpack.ts';

/** An entrypoint, the module that answers for it, and OPA's annotations of it. */
export type Resolver = {
  readonly entrypoint: string;
  /** Without a leading slash. */
  readonly module: string;
  readonly annotations: readonly JsonObject[];
};

/** https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format */
export type Manifest = {
  readonly revision: string;
  /** Paths that the bundle owns, such as `envoy/authz`; the empty one owns everything. */
  readonly roots: readonly string[];
  /** Which module answers for which entrypoint. */
  readonly resolvers: readonly Resolver[];
  readonly metadata: JsonObject;
};

const MANIFEST = '.manifest';
const MAX_ROOTS = 1000;
const MAX_ENTRYPOINTS = 10_000;
const FIELDS = ['revision', 'roots', 'wasm', 'metadata', 'rego_version', 'file_rego_versions'];
const REGO_VERSIONS: readonly Json[] = [0, 1, 2];

/** The `.manifest` of a bundle, or what holds without one. Throws BundleError. */
export function readManifest(files: BundleFiles, documents: Documents): Manifest {
  // OPA takes a manifest from any folder, and one in protobuf; without it the bundle would own more than it should.
  const other = [...files.keys()].find((name) => name !== MANIFEST && /\.manifest(?:\.pb)?$/.test(name));
  if (other !== undefined) throw new BundleError(`${other}: the manifest must be JSON, called .manifest, at the top`);
  const manifest = manifestIn(files, documents);
  const { revision = '', roots: given = [''], wasm = [], metadata = emptyObject() } = manifest;
  if (typeof revision !== 'string') throw new BundleError('.manifest: revision is not a string');
  if (!Array.isArray(given) || !given.every((root): root is string => typeof root === 'string')) {
    throw new BundleError('.manifest: roots is not a list of strings');
  }
  if (given.length > MAX_ROOTS) throw new BundleError(`.manifest: more than ${MAX_ROOTS} roots`);
  if (!isObject(metadata)) throw new BundleError('.manifest: metadata is not an object');
  requireRegoVersions(manifest);
  const roots = given.map(withoutSlashes);
  requireDisjoint(roots);
  return { revision, roots, resolvers: readResolvers(wasm, roots), metadata };
}

function manifestIn(files: BundleFiles, documents: Documents): JsonObject {
  const content = files.get(MANIFEST);
  if (content === undefined) return emptyObject();
  const manifest = documents(MANIFEST);
  if (!isObject(manifest)) throw new BundleError('.manifest is not an object');
  if (hasDuplicateKeys(content.toString('utf8'))) throw new BundleError('.manifest has a key twice');
  // OPA reads `Roots` as `roots`, and who compared only one of the spellings would let the bundle own everything.
  const odd = Object.keys(manifest).find((key) => !FIELDS.includes(key) && FIELDS.includes(key.toLowerCase()));
  if (odd !== undefined) throw new BundleError(`.manifest: ${odd} is written in lower case`);
  return Object.assign(emptyObject(), manifest);
}

/** They say how Rego is to be read, which has happened when there is WebAssembly. */
function requireRegoVersions({ rego_version: version, file_rego_versions: ofFiles = emptyObject() }: JsonObject): void {
  if (version !== undefined && !REGO_VERSIONS.includes(version)) {
    throw new BundleError('.manifest: rego_version is not known');
  }
  if (!isObject(ofFiles) || !Object.values(ofFiles).every((each) => REGO_VERSIONS.includes(each))) {
    throw new BundleError('.manifest: file_rego_versions is not a map of known versions');
  }
}

function readResolvers(wasm: Json, roots: readonly string[]): readonly Resolver[] {
  const seen = new Set<string>();
  if (!Array.isArray(wasm)) throw new BundleError('.manifest: wasm is not a list');
  if (wasm.length > MAX_ENTRYPOINTS) throw new BundleError(`.manifest: more than ${MAX_ENTRYPOINTS} entrypoints`);
  return (wasm as readonly Json[]).map((entry) => {
    const { entrypoint, module, annotations = [] } = isObject(entry) ? entry : emptyObject();
    if (typeof entrypoint !== 'string' || typeof module !== 'string') {
      throw new BundleError('.manifest: an entry of wasm needs an entrypoint and a module');
    }
    const path = withoutSlashes(entrypoint);
    if (!Array.isArray(annotations) || !(annotations as readonly Json[]).every(isObject)) {
      throw new BundleError(`.manifest: the annotations of ${path} are no list of objects`);
    }
    if (!isBelowRoots(path, roots)) {
      throw new BundleError(`.manifest: the entrypoint ${path} is outside of the bundle's roots`);
    }
    if (seen.has(path)) throw new BundleError(`.manifest: the entrypoint ${path} is there twice`);
    seen.add(path);
    return { entrypoint: path, module: module.replace(/^\/+/, ''), annotations: annotations as readonly JsonObject[] };
  });
}
