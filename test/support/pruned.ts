import type { Json } from '../../src/model/json.ts';
import type { Reads } from '../../src/model/reads.ts';
import { isObject } from '../../src/values/json.ts';

/** What of `document` a policy with these reads has to be given. */
export function pruned(document: Json, reads: Reads): Json {
  if (reads === true || !isObject(document)) return document;
  return Object.fromEntries(
    Object.entries(document).flatMap(([key, value]) => {
      const below = Object.hasOwn(reads, key) ? reads[key] : undefined;
      return below === undefined ? [] : [[key, pruned(value, below)]];
    }),
  );
}
