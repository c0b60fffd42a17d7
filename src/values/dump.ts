import { isNumber, numberText } from './number.ts';
import { RegoObject, RegoSet, type Value } from './value.ts';

/*
 * Text of values. Both writers use OPA's order of keys and members and put no blanks between.
 */

/** Rego term text: JSON with sets (`{1,2}`, `set()`) and keys of any type. Equal values have equal text. */
export function dump(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (isNumber(value)) return numberText(value);
  if (value instanceof RegoSet) return value.size === 0 ? 'set()' : `{${value.sorted().map(dump).join(',')}}`;
  if (value instanceof RegoObject) {
    return `{${value
      .sorted()
      .map(([key, member]) => `${dump(key)}:${dump(member)}`)
      .join(',')}}`;
  }
  return Array.isArray(value) ? `[${value.map(dump).join(',')}]` : String(value);
}

/** JSON text with every digit: a set becomes an array, a key that is no string its own JSON text. */
export function dumpJson(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (isNumber(value)) return numberText(value);
  if (value instanceof RegoObject) {
    return `{${value
      .sorted()
      .map(([key, member]) => `${JSON.stringify(keyText(key))}:${dumpJson(member)}`)
      .join(',')}}`;
  }
  if (value instanceof RegoSet) return `[${value.sorted().map(dumpJson).join(',')}]`;
  return Array.isArray(value) ? `[${value.map(dumpJson).join(',')}]` : String(value);
}

/** An object's key as JSON has it. */
export const keyText = (key: Value): string => (typeof key === 'string' ? key : dumpJson(key));
