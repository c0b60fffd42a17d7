import type { Json, JsonObject, MutableJsonObject } from '../../model/json.ts';
import { emptyObject, isObject } from '../../values/json.ts';
import { keysOf, type MaskedPart, type Operation } from './operation.ts';

/** The parts of an event, copies that are changed in place; undefined where there is none. */
export type Parts = { [part in MaskedPart]: Json | undefined };

export type FollowOptions = {
  /** What a key of a copy was in the original. */
  readonly nameIn: (object: JsonObject, key: string) => string;
  /** How a segment is written into the event. */
  readonly spell: (segment: string) => string;
  /** A rule's value as it may be written. */
  readonly clean: (value: Json, pointer: string) => Json;
  readonly onErased: (pointer: string) => void;
  readonly onMasked: (pointer: string) => void;
};

/**
 * Does what the rules of a mask decision say, one behind the other, as OPA does: what a rule does not find is left alone
 * and not told of, an upsert makes the objects on its way, items of lists are removed but never added.
 */
export function follow(parts: Parts, operations: readonly Operation[], options: FollowOptions): void {
  for (const { op, part, path, value } of operations) {
    const root = parts[part];
    if (root === undefined) continue;
    const pointer = ['', part, ...path.map(options.spell)].join('/');
    const last = path.at(-1);
    if (op === 'remove') {
      if (last === undefined) parts[part] = undefined;
      else if (!remove(parentOf(root, path, options.nameIn), last, options.nameIn)) continue;
      options.onErased(pointer);
    } else {
      if (last === undefined) parts[part] = options.clean(value, pointer);
      else {
        const parent = parentOf(root, path, options.nameIn, options.spell);
        const place = placeIn(parent, last, options.nameIn, options.spell);
        if (place === undefined) continue;
        put(parent, place, options.clean(value, pointer));
      }
      options.onMasked(pointer);
    }
  }
}

type NameIn = FollowOptions['nameIn'];
type Spell = FollowOptions['spell'];

/** The key or index that a segment means in `node`; where there is none, that of a new member, if it is to be made. */
function placeIn(node: Json | undefined, segment: string, nameIn: NameIn, spell?: Spell): string | number | undefined {
  if (Array.isArray(node)) return indexIn(node, segment);
  if (!isObject(node)) return undefined;
  const known = keysOf(segment).map((key) => nameIn(node, key));
  return known.find((key) => Object.hasOwn(node, key)) ?? spell?.(segment);
}

/** As Go's strconv.Atoi reads it. */
function indexIn(list: readonly Json[], segment: string): number | undefined {
  if (!/^[+-]?[0-9]+$/.test(segment)) return undefined;
  const index = Number(segment);
  return index >= 0 && index < list.length ? Math.abs(index) : undefined;
}

/** What holds the last segment of `path`; objects that are missing are made when it is told how to `spell` them. */
function parentOf(root: Json, path: readonly string[], nameIn: NameIn, spell?: Spell): Json | undefined {
  let node: Json | undefined = root;
  for (const segment of path.slice(0, -1)) {
    const place = placeIn(node, segment, nameIn, spell);
    if (place === undefined) return undefined;
    if (isObject(node) && !Object.hasOwn(node, place)) put(node, place, emptyObject());
    node = (node as { readonly [place: string | number]: Json })[place];
  }
  return node;
}

/** Defined, because assigning to `__proto__` would make no member. */
function put(node: Json | undefined, place: string | number, value: Json): void {
  Object.defineProperty(node, place, { value, writable: true, enumerable: true, configurable: true });
}

function remove(node: Json | undefined, segment: string, nameIn: NameIn): boolean {
  const place = placeIn(node, segment, nameIn);
  if (place === undefined) return false;
  if (Array.isArray(node)) node.splice(Number(place), 1);
  else delete (node as MutableJsonObject)[place];
  return true;
}
