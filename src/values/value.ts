import { compare } from './compare.ts';
import { type Key, keyOf } from './key.ts';
import type { RegoNumber } from './number.ts';

/** A value of Rego, independent of the engine that made it. Never changed once it is there. */
export type Value = null | boolean | RegoNumber | string | readonly Value[] | RegoObject | RegoSet;

/** Members are unique; they come in OPA's order. */
export class RegoSet implements Iterable<Value> {
  readonly #members = new Map<Key, Value>();
  #sorted: readonly Value[] | undefined;

  constructor(members: Iterable<Value> = []) {
    for (const member of members) {
      const key = keyOf(member);
      if (!this.#members.has(key)) this.#members.set(key, member);
    }
  }

  get size(): number {
    return this.#members.size;
  }

  has(value: Value): boolean {
    return this.#members.has(keyOf(value));
  }

  /** In OPA's order. */
  sorted(): readonly Value[] {
    this.#sorted ??= [...this.#members.values()].sort(compare);
    return this.#sorted;
  }

  [Symbol.iterator](): Iterator<Value> {
    return this.sorted()[Symbol.iterator]();
  }

  /** As JSON has it: an array in OPA's order. */
  toJSON(): readonly Value[] {
    return this.sorted();
  }
}

export type Entry = readonly [key: Value, value: Value];

/** Keys may be any value. Of two entries with one key the later one counts. Entries come in OPA's order of keys. */
export class RegoObject implements Iterable<Entry> {
  readonly #entries = new Map<Key, Entry>();
  #sorted: readonly Entry[] | undefined;

  constructor(entries: Iterable<Entry> = []) {
    for (const entry of entries) this.#entries.set(keyOf(entry[0]), entry);
  }

  /** From the own enumerable properties of a plain object. */
  static from(record: { readonly [key: string]: Value }): RegoObject {
    return new RegoObject(Object.entries(record));
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: Value): boolean {
    return this.#entries.has(keyOf(key));
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(keyOf(key))?.[1];
  }

  /** In OPA's order of keys. */
  sorted(): readonly Entry[] {
    this.#sorted ??= [...this.#entries.values()].sort((a, b) => compare(a[0], b[0]));
    return this.#sorted;
  }

  [Symbol.iterator](): Iterator<Entry> {
    return this.sorted()[Symbol.iterator]();
  }
}

export type TypeName = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object' | 'set';

export function typeName(value: Value): TypeName {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'boolean':
      return 'boolean';
    case 'number':
      return 'number';
    case 'string':
      return 'string';
    default:
      if (Array.isArray(value)) return 'array';
      if (value instanceof RegoObject) return 'object';
      return value instanceof RegoSet ? 'set' : 'number';
  }
}

export const isArray = (value: Value | undefined): value is readonly Value[] => Array.isArray(value);
export const isRegoObject = (value: Value | undefined): value is RegoObject => value instanceof RegoObject;
