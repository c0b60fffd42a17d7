import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, isObject } from '../values/json.ts';
import { PATCH } from './bundle.ts';
import { BundleError } from './error.ts';

/** One change of a delta, at a path of at least one segment. */
export type Operation =
  | { readonly op: 'upsert' | 'replace'; readonly path: readonly string[]; readonly value: Json }
  | { readonly op: 'remove'; readonly path: readonly string[] };

type Container = MutableJsonObject | Json[];

/**
 * Data with operations applied in turn, by OPA's rules (v1/bundle/store.go and its in-memory store): upsert makes the
 * objects that lead to its path and inserts into lists, where `-` is the end; replace and remove need something to be
 * there. `data` stays as it is, and is shared where nothing changes. Throws BundleError.
 */
export function patched(data: JsonObject, operations: readonly Operation[]): JsonObject {
  const own = new WeakSet<Container>();
  const root = { data: mine(data, own) };
  operations.forEach((operation, i) => {
    try {
      apply(root.data, operation, own);
    } catch (error) {
      if (error instanceof BundleError) throw new BundleError(`${PATCH}: operation ${i}: ${error.message}`);
      throw error;
    }
  });
  return root.data as JsonObject;
}

/** A copy that may be changed; made once, however often something in it changes. */
function mine(value: JsonObject | readonly Json[], own: WeakSet<Container>): Container {
  if (own.has(value as Container)) return value as Container;
  const copy = Array.isArray(value) ? [...(value as readonly Json[])] : Object.assign(emptyObject(), value);
  own.add(copy);
  return copy;
}

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

function apply(data: Container, operation: Operation, own: WeakSet<Container>): void {
  const parents = operation.path.slice(0, -1);
  const last = operation.path.at(-1) ?? '';
  let at = data;
  for (const segment of parents) {
    const next = childOf(at, segment);
    if (isObject(next) || isList(next)) {
      const copy = mine(next, own);
      set(at, segment, copy);
      at = copy;
    } else if (next === undefined && operation.op === 'upsert' && !isList(at)) {
      const made = emptyObject();
      own.add(made);
      at[segment] = made;
      at = made;
    } else throw new BundleError('its path leads through something that is not there, or is no object');
  }
  if (isList(at)) changeList(at, last, operation);
  else changeObject(at, last, operation);
}

const childOf = (at: Container, segment: string): Json | undefined =>
  isList(at) ? at[indexOf(segment, at.length)] : Object.hasOwn(at, segment) ? at[segment] : undefined;

function set(at: Container, segment: string, value: Json): void {
  if (isList(at)) at[Number(segment)] = value;
  else at[segment] = value;
}

/** -1 when it is none. */
function indexOf(segment: string, length: number): number {
  const index = /^(?:0|[1-9][0-9]{0,9})$/.test(segment) ? Number(segment) : -1;
  return index < length ? index : -1;
}

function changeObject(object: MutableJsonObject, key: string, operation: Operation): void {
  if (operation.op !== 'upsert' && !Object.hasOwn(object, key)) throw new BundleError('there is nothing at its path');
  if (operation.op === 'remove') delete object[key];
  else object[key] = operation.value;
}

function changeList(list: Json[], segment: string, operation: Operation): void {
  const isEnd = segment === '-' || segment === String(list.length);
  const index = indexOf(segment, list.length);
  if (operation.op === 'upsert') {
    if (!isEnd && index < 0) throw new BundleError('its path has no place in a list');
    list.splice(isEnd ? list.length : index, 0, operation.value);
    return;
  }
  if (index < 0) throw new BundleError('there is nothing at its path');
  if (operation.op === 'remove') list.splice(index, 1);
  else list[index] = operation.value;
}
