import type { Json, JsonObject, MutableJsonObject, RawNumber } from '../model/json.ts';

type ExactJson = {
  rawJSON(text: string): RawNumber;
  isRawJSON(value: unknown): value is RawNumber;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): Json;
};
// The standard (ECMA-262, JSON.parse source text access) is ahead of TypeScript's library.
const exact = JSON as unknown as ExactJson;

export const rawNumber = (digits: string): RawNumber => exact.rawJSON(digits);

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !exact.isRawJSON(value);

/** A number of whatever spelling as JavaScript's nearest, infinite beyond its range; undefined when it is none. */
export function numberOf(value: Json | undefined): number | undefined {
  if (typeof value === 'number') return value;
  return exact.isRawJSON(value) ? Number(stringify(value)) : undefined;
}

export const emptyObject = (): MutableJsonObject => Object.create(null) as MutableJsonObject;

/** Numbers that JavaScript may spell differently; also found in strings, where it costs time and nothing else. */
const UNUSUAL_NUMBER = /[0-9][.eE]|[0-9]{16}|-0/;

/** Parses JSON text and keeps every digit of every number. Throws SyntaxError. */
export function parseExact(text: string): Json {
  // Asking for the source of each number makes parsing ten times slower.
  if (!UNUSUAL_NUMBER.test(text)) return JSON.parse(text) as Json;
  return exact.parse(text, (_key, value, context) => {
    if (typeof value === 'number' && context.source !== undefined && context.source !== String(value)) {
      return exact.rawJSON(context.source);
    }
    return value;
  });
}

export const stringify = (value: Json): string => JSON.stringify(value);

/** Nesting depth of JSON text, counted on brackets outside strings; what a recursive reader would have to descend. */
export function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i++;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) {
      depth++;
      if (depth > deepest) deepest = depth;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return deepest;
}
