import type { Json, JsonObject } from '../model/json.ts';
import { depthOf, isObject, parseExact } from '../values/json.ts';
import { hasDuplicateKeys } from '../values/unique-keys.ts';
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

/** Halves of surrogate pairs (RFC 7493 section 2.1) mean nothing, and each reader makes something else of them. */
function isWellFormed(value: Json): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, item]) => key.isWellFormed() && isWellFormed(item as Json));
}
