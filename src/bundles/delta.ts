import { withoutSlashes } from '../lib/without-slashes.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { emptyObject, isObject } from '../values/json.ts';
import { hasDuplicateKeys } from '../values/unique-keys.ts';
import { type Bundle, PATCH } from './bundle.ts';
import { createDocuments, MAX_DEPTH } from './documents.ts';
import { BundleError } from './error.ts';
import { type Manifest, readManifest } from './manifest.ts';
import { type Operation, patched } from './patch.ts';
import { isWithinRoots } from './roots.ts';
import type { BundleFiles } from './unpack.ts';

/** https://www.openpolicyagent.org/docs/management-bundles#delta-bundles */
export type Delta = { readonly manifest: Manifest; readonly operations: readonly Operation[] };

const MAX_OPERATIONS = 10_000;
const FIELDS = ['op', 'path', 'value'];

/** Files to a delta. Throws BundleError. */
export function readDelta(files: BundleFiles): Delta {
  const other = [...files.keys()].find((name) => name !== PATCH && name !== '.manifest');
  // OPA takes other files along and looks at them only sometimes.
  if (other !== undefined)
    throw new BundleError(`a delta has ${PATCH} and .manifest at the top only, and not ${other}`);
  const documents = createDocuments(files);
  const manifest = readManifest(files, documents);
  const patch = documents(PATCH);
  if (hasDuplicateKeys(files.get(PATCH)?.toString('utf8') ?? '')) throw new BundleError(`${PATCH} has a key twice`);
  const { data, ...rest } = isObject(patch) ? patch : { data: undefined };
  if (!Array.isArray(data) || Object.keys(rest).length > 0) throw new BundleError(`${PATCH} is not {"data": [...]}`);
  // OPA takes this for a bundle without anything in it, and all data is gone.
  if (data.length === 0) throw new BundleError(`${PATCH} has no operations`);
  if (data.length > MAX_OPERATIONS) throw new BundleError(`${PATCH} has more than ${MAX_OPERATIONS} operations`);
  const operations = (data as readonly Json[]).map((entry, i) => readOperation(entry, i, manifest.roots));
  return { manifest, operations };
}

function readOperation(entry: Json, i: number, roots: readonly string[]): Operation {
  const what = `${PATCH}: operation ${i}`;
  if (!isObject(entry) || !Object.keys(entry).every((key) => FIELDS.includes(key))) {
    throw new BundleError(`${what} is no object of op, path and value`);
  }
  const { op, path, value } = Object.assign(emptyObject(), entry) as { readonly [key: string]: Json | undefined };
  if (op !== 'upsert' && op !== 'replace' && op !== 'remove') {
    throw new BundleError(`${what}: op is neither upsert nor replace nor remove`);
  }
  const segments = typeof path === 'string' ? segmentsOf(path) : undefined;
  if (segments === undefined) throw new BundleError(`${what} has no path that can be used`);
  if (!isWithinRoots(segments, roots)) throw new BundleError(`${what}: its path is outside of the roots`);
  if (op === 'remove') return { op, path: segments };
  if (value === undefined) throw new BundleError(`${what} has no value`);
  if (segments.length + heightOf(value) > MAX_DEPTH)
    throw new BundleError(`${what} makes data that is nested too deep`);
  return { op, path: segments, value };
}

/** Slashes around it do not count; segments are percent-encoded and have the escapes of RFC 6901, as OPA has it. */
function segmentsOf(path: string): readonly string[] | undefined {
  const trimmed = withoutSlashes(path);
  if (trimmed === '') return undefined;
  try {
    return trimmed.split('/').map((segment) => decodeURIComponent(segment).replaceAll('~1', '/').replaceAll('~0', '~'));
  } catch {
    return undefined;
  }
}

function heightOf(value: Json): number {
  if (typeof value !== 'object' || value === null) return 0;
  let highest = 0;
  for (const item of Object.values(value as JsonObject)) highest = Math.max(highest, heightOf(item));
  return highest + 1;
}

/**
 * The bundle with a delta's operations applied, one after another; all or none. Revision and metadata become the delta's.
 * Its roots have to be the bundle's, and so have its entrypoints, when it names some. Throws BundleError.
 */
export function applyDelta(bundle: Bundle | undefined, { manifest, operations }: Delta): Bundle {
  if (bundle === undefined) throw new BundleError('a delta came before the bundle that it changes');
  if (!isSameSet(manifest.roots, bundle.roots)) {
    throw new BundleError("the delta's roots are not those of the bundle that it changes");
  }
  const answering = bundle.modules.flatMap(({ path, entrypoints }) => entrypoints.map((each) => `${each} ${path}`));
  const claimed = manifest.resolvers.map(({ entrypoint, module }) => `${entrypoint} ${module}`);
  if (claimed.length > 0 && !isSameSet(claimed, answering)) {
    throw new BundleError("the delta's entrypoints are not those of the bundle that it changes");
  }
  const data = patched(bundle.data, operations);
  return { ...bundle, revision: manifest.revision, metadata: manifest.metadata, data };
}

const isSameSet = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((each) => b.includes(each));
