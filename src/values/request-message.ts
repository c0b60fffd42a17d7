import type { RequestMessage } from '../model/facts.ts';
import type { Json, JsonObject } from '../model/json.ts';
import type { Reads } from '../model/reads.ts';
import { emptyObject, isObject, stringify } from './json.ts';

/** A message that is there as a tree. */
export const messageOf = (tree: JsonObject): RequestMessage => ({
  text: stringify(tree),
  strings: undefined,
  tree: () => tree,
  textOf: (reads) => stringify(pruned(tree, reads)),
});

/** What is read of a value. What is no object is read as a whole. */
export function pruned(value: Json, reads: Reads): Json {
  if (reads === true || !isObject(value)) return value;
  const kept = emptyObject();
  for (const name of Object.keys(reads)) {
    const member = value[name];
    const below = reads[name];
    if (member !== undefined && below !== undefined) kept[name] = pruned(member, below);
  }
  return kept;
}
