import { parse as parseYaml } from 'yaml';
import { messageOf } from '../lib/message.ts';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { depthOf, emptyObject, isObject, parseExact } from '../values/json.ts';
import { type BundleFiles, bundleLimits } from './unpack.ts';

/** A bundle cannot be used; the message is meant for whoever built it. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
}

export type Module = { readonly path: string; readonly wasm: Uint8Array };

/** https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format */
export type Bundle = {
  readonly revision: string;
  /** Paths that the bundle owns, such as `envoy/authz`; the empty one owns everything. */
  readonly roots: readonly string[];
  readonly modules: readonly Module[];
  readonly data: JsonObject;
};

const MAX_DEPTH = 500;
const MAX_YAML_ALIASES = 100;

/** Files to a bundle. Throws BundleError. */
export function readBundle(files: BundleFiles): Bundle {
  if (files.has('.signatures.json')) {
    throw new BundleError('the bundle is signed, and signature verification is not available in this version');
  }
  if (files.has('patch.json')) throw new BundleError('delta bundles are not available in this version');
  const manifest = manifestOf(files);
  const modules = modulesOf(files);
  const hasRego = [...files.keys()].some((name) => name.endsWith('.rego'));
  if (modules.length === 0 && hasRego) {
    throw new BundleError(
      'the bundle has Rego but no WebAssembly; build it with `opa build -t wasm -e envoy/authz/allow …`',
    );
  }
  const data = dataOf(files);
  requireBelowRoots(data, manifest.roots);
  return { ...manifest, modules, data };
}

function manifestOf(files: BundleFiles): Pick<Bundle, 'revision' | 'roots'> {
  const content = files.get('.manifest');
  const manifest = content === undefined ? emptyObject() : parseJson('.manifest', content);
  if (!isObject(manifest)) throw new BundleError('.manifest is not an object');
  const { revision = '', roots = [''], wasm = [] } = manifest as { readonly [key: string]: Json };
  if (typeof revision !== 'string') throw new BundleError('.manifest: revision is not a string');
  if (!Array.isArray(roots) || !roots.every((root): root is string => typeof root === 'string')) {
    throw new BundleError('.manifest: roots is not a list of strings');
  }
  for (const entry of Array.isArray(wasm) ? (wasm as readonly Json[]) : []) {
    const module = isObject(entry) ? entry['module'] : undefined;
    if (typeof module === 'string' && !files.has(module.replace(/^\/+/, ''))) {
      throw new BundleError(`.manifest names ${module}, which is not in the bundle`);
    }
  }
  return { revision, roots: roots.map((root) => root.replace(/^\/+|\/+$/g, '')) };
}

function modulesOf(files: BundleFiles): Module[] {
  return [...files]
    .filter(([name]) => name.endsWith('.wasm'))
    .map(([name, wasm]) => {
      if (wasm.length > bundleLimits.wasm) throw new BundleError(`${name} has more than ${bundleLimits.wasm} bytes`);
      return { path: name, wasm };
    });
}

/** data.json, data.yaml and data.yml of every folder, each at its folder's path. */
function dataOf(files: BundleFiles): JsonObject {
  const data = emptyObject();
  for (const [name, content] of files) {
    const folders = name.split('/');
    const file = folders.pop();
    if (file !== 'data.json' && file !== 'data.yaml' && file !== 'data.yml') continue;
    const value = file === 'data.json' ? parseJson(name, content) : parseYamlData(name, content);
    if (folders.length === 0 && !isObject(value)) throw new BundleError(`${name} is not an object`);
    const nested = folders.reduceRight<Json>(
      (inner, folder) => Object.assign(emptyObject(), { [folder]: inner }),
      value,
    );
    mergeInto(data, nested as JsonObject, name);
  }
  return data;
}

function parseJson(name: string, content: Buffer): Json {
  const text = content.toString('utf8');
  if (depthOf(text) > MAX_DEPTH) throw new BundleError(`${name} is nested too deep`);
  try {
    return parseExact(text);
  } catch (error) {
    throw new BundleError(`${name}: ${messageOf(error)}`);
  }
}

function parseYamlData(name: string, content: Buffer): Json {
  try {
    const value: unknown = parseYaml(content.toString('utf8'), { maxAliasCount: MAX_YAML_ALIASES });
    // Through text once more, so that what cannot be JSON is gone and objects have no prototype to reach for.
    return parseJson(name, Buffer.from(JSON.stringify(value ?? null)));
  } catch (error) {
    throw error instanceof BundleError ? error : new BundleError(`${name}: ${messageOf(error)}`);
  }
}

/** Adds `more` to `data`. Throws BundleError where both have a value that is not an object. */
export function mergeInto(data: MutableJsonObject, more: JsonObject, origin: string): void {
  for (const [key, value] of Object.entries(more)) {
    const present = data[key];
    if (present === undefined) data[key] = value;
    else if (isObject(present) && isObject(value)) {
      const copy = Object.assign(emptyObject(), present);
      mergeInto(copy, value, origin);
      data[key] = copy;
    } else throw new BundleError(`${origin}: ${key} is there already`);
  }
}

/** Whether one root is the other or leads to it. */
export const rootsOverlap = (a: string, b: string): boolean =>
  a === '' || b === '' || a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);

function requireBelowRoots(data: JsonObject, roots: readonly string[]): void {
  const outside = (value: Json, path: string): string | undefined => {
    if (roots.some((root) => root === '' || path === root || path.startsWith(`${root}/`))) return undefined;
    const leadsToRoot = path === '' || roots.some((root) => root.startsWith(`${path}/`));
    if (!leadsToRoot || !isObject(value)) return path;
    for (const [key, item] of Object.entries(value)) {
      const found = outside(item, path === '' ? key : `${path}/${key}`);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const stray = outside(data, '');
  if (stray !== undefined) throw new BundleError(`the data at ${stray || 'the top'} is outside of the bundle's roots`);
}
