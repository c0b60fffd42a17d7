import type { Json, MutableJsonObject } from '../model/json.ts';
import { Decimal } from './decimal.ts';
import { keyText } from './dump.ts';
import { emptyObject, rawNumber } from './json.ts';
import { fromDouble, number } from './number.ts';
import { type Entry, RegoObject, RegoSet, type Value } from './value.ts';

/** A JSON document with every digit: sets become arrays in OPA's order, keys their text. */
export function toJson(value: Value): Json {
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Decimal) return rawNumber(value.toString());
  if (value instanceof RegoSet) return value.sorted().map(toJson);
  if (value instanceof RegoObject) {
    const object: MutableJsonObject = emptyObject();
    for (const [key, member] of value.sorted()) object[keyText(key)] = toJson(member);
    return object;
  }
  return value.map(toJson);
}

/**
 * A JavaScript value as JSON.stringify would write it: undefined members left out, Map and Set as object and set,
 * bigint as integer. Throws TypeError for what no value stands for (functions, symbols, NaN, cycles).
 */
export function fromJavaScript(input: unknown): Value {
  return convert(input, 0);
}

const MAX_DEPTH = 1_000;

function convert(input: unknown, depth: number): Value {
  if (depth > MAX_DEPTH) throw new TypeError('nested too deep, or a cycle');
  switch (typeof input) {
    case 'string':
    case 'boolean':
      return input;
    case 'number':
      if (!Number.isFinite(input)) throw new TypeError(`${input} is not a value of Rego`);
      return fromDouble(input);
    case 'bigint':
      return bigIntValue(input);
    case 'object':
      return input === null ? null : convertObject(input, depth);
    default:
      throw new TypeError(`a ${typeof input} is not a value of Rego`);
  }
}

function bigIntValue(input: bigint): Value {
  const double = Number(input);
  return Number.isSafeInteger(double) ? double : number(input);
}

function convertObject(input: object, depth: number): Value {
  if (input instanceof Decimal || input instanceof RegoSet || input instanceof RegoObject) return input;
  // As JSON.stringify does, for dates and the like.
  if ('toJSON' in input && typeof input.toJSON === 'function') return convert(input.toJSON(), depth + 1);
  if (Array.isArray(input)) return input.map((member) => convert(member, depth + 1));
  if (input instanceof Set) return new RegoSet([...input].map((member) => convert(member, depth + 1)));
  const pairs: Iterable<[unknown, unknown]> = input instanceof Map ? input : Object.entries(input);
  const entries: Entry[] = [];
  for (const [key, member] of pairs) {
    if (member !== undefined) entries.push([convert(key, depth + 1), convert(member, depth + 1)]);
  }
  return new RegoObject(entries);
}
