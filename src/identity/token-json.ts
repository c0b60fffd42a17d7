import type { Json, JsonObject } from '../model/json.ts';
import { depthOf, isObject, parseExact } from '../values/json.ts';
import { TokenError } from './claims.ts';

const MAX_DEPTH = 32;
const HALF = /\\u[dD][89a-fA-F]/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * What a part of a token seems to say, before its signature is verified: enough to find the key. Whoever sent it may have
 * made it to be read slowly, and readTokenPart would. Throws TokenError.
 */
export function peekTokenPart(part: string): JsonObject {
  let value: Json;
  try {
    value = JSON.parse(utf8.decode(Buffer.from(part, 'base64url'))) as Json;
  } catch {
    throw new TokenError('token_malformed', 'a part is no JSON object');
  }
  if (!isObject(value)) throw new TokenError('token_malformed', 'a part is no JSON object');
  return value;
}

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

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** Whether an object in valid JSON text has one key twice, in whatever spelling. */
function hasDuplicateKeys(text: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x7b:
        open.push(new Set());
        break;
      case 0x5b:
        open.push(undefined);
        break;
      case 0x7d:
      case 0x5d:
        open.pop();
        break;
      case QUOTE: {
        const end = endOfString(text, at);
        const keys = open.at(-1);
        if (keys !== undefined && isBeforeColon(text, end)) {
          const raw = text.slice(at + 1, end - 1);
          const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
          if (keys.has(key)) return true;
          keys.add(key);
        }
        at = end - 1;
      }
    }
  }
  return false;
}

/** Whether what follows, blanks apart, is a colon: the string before it is a key. */
function isBeforeColon(text: string, from: number): boolean {
  let at = from;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return text.charCodeAt(at) === COLON;
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
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  return text.length;
}
