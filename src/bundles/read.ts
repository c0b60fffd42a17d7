import type { JsonObject } from '../model/json.ts';
import { parseExact, stringify } from '../values/json.ts';
import { readBundle } from './bundle.ts';
import { mergeBundles } from './merge.ts';
import type { Read, ReadBundle, ReadTask } from './reader.ts';
import { filesOf } from './unpack.ts';

/** Reads a bundle and merges its data with the others'. Rejects with BundleError or ArchiveError. */
export async function readAndMerge({ content, maxBytes, name, others }: ReadTask): Promise<Read> {
  const { revision, roots, modules, data } = readBundle(await filesOf(content, maxBytes));
  const text = sharedText(data);
  const bundle: ReadBundle = {
    revision,
    roots,
    modules: modules.map((module) => ({ ...module, wasm: sharedCopy(module.wasm) })),
    data: text,
  };
  if (others === undefined) return { bundle, merged: undefined };
  const all = new Map([...others].map(([other, each]) => [other, { ...each, data: parsed(each.data) }]));
  const merged = mergeBundles(all.set(name, { roots, modules, data }));
  return { bundle, merged: others.size === 0 ? text : sharedText(merged) };
}

const parsed = (text: Uint8Array): JsonObject => parseExact(Buffer.from(text).toString()) as JsonObject;

const sharedText = (data: JsonObject): Uint8Array => sharedCopy(Buffer.from(stringify(data)));

function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
