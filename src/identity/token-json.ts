import type { Json, JsonObject } from '../model/json.ts';
import { depthOf, isObject, parseExact } from '../values/json.ts';
import { TokenError } from './claims.ts';

const MAX_DEPTH = 32;
const COLON = /[ \t\n\r]*:/y;
const HALF = /\\u[dD][89a-fA-F]/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * One part of a token: base64url (RFC 7515 section 2) of a JSON object whose keys are unique (RFC 8725 section 2.4: two
 * readers must not see two tokens). Throws TokenError.
 */
export function readTokenPart(part: string): JsonObject {
  let value: ReturnType<typeof parseExact>;
  try {
    const text = utf8.decode(Buffer.from(part, 'base64url'));
    if (depthOf(text) > MAX_DEPTH) throw new Error('nested too deep');
    value = parseExact(text);
    if (hasDuplicateKeys(text)) throw new Error('duplicate keys');
    if (HALF.test(text) && !isWellFormed(value)) throw new Error('half a character');
  } catch {
    throw new TokenError('token_malformed', 'a part is no JSON object with unique keys');
  }
  if (!isObject(value)) throw new TokenError('token_malformed', 'a part is no JSON object');
  return value;
}

/** Whether an object in valid JSON text has one key twice, in whatever spelling. */
function hasDuplicateKeys(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (c === '{') open.push(new Set());
    else if (c === '[') open.push(undefined);
    else if (c === '}' || c === ']') open.pop();
    else if (c === '"') {
      const end = endOfString(text, at);
      const keys = open.at(-1);
      COLON.lastIndex = end;
      if (keys !== undefined && COLON.test(text)) {
        const key = JSON.parse(text.slice(at, end)) as string;
        if (keys.has(key)) return true;
        keys.add(key);
      }
      at = end - 1;
    }
  }
  return false;
}

/** Halves of surrogate pairs (RFC 7493 section 2.1) mean nothing, and each reader makes something else of them. */
function isWellFormed(value: Json): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isWellFormed(item as Json));
}

/** Where the string that starts at `from` ends: just behind its closing quote. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}
