import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, isObject } from '../values/json.ts';
import { type Documents, isData } from './documents.ts';
import { BundleError } from './error.ts';

/** data.json, data.yaml and data.yml of every folder, each at its folder's path. Throws BundleError. */
export function readData(names: Iterable<string>, documents: Documents): JsonObject {
  const data = emptyObject();
  const own = new WeakSet<JsonObject>();
  for (const name of names) {
    if (!isData(name)) continue;
    const folders = name.split('/').slice(0, -1);
    const value = documents(name);
    if (folders.length === 0 && !isObject(value)) throw new BundleError(`${name} is not an object`);
    const nested = folders.reduceRight<Json>(
      (inner, folder) => Object.assign(emptyObject(), { [folder]: inner }),
      value,
    );
    mergeInto(data, nested as JsonObject, name, own);
  }
  return data;
}

/**
 * Adds `more` to `data`, which it changes; objects below are changed only when they are in `own`, and copied otherwise.
 * Throws BundleError where both have a value that is not an object.
 */
export function mergeInto(
  data: MutableJsonObject,
  more: JsonObject,
  origin: string,
  own: WeakSet<JsonObject> = new WeakSet(),
): void {
  for (const [key, value] of Object.entries(more)) {
    const present = Object.hasOwn(data, key) ? data[key] : undefined;
    if (present === undefined) data[key] = value;
    else if (isObject(present) && isObject(value)) {
      // Copied once: thousands of files may meet in one object.
      const target = own.has(present) ? (present as MutableJsonObject) : Object.assign(emptyObject(), present);
      own.add(target);
      mergeInto(target, value, origin, own);
      data[key] = target;
    } else throw new BundleError(`${origin}: ${key} is there already`);
  }
}
