import type { JsonObject } from '../model/json.ts';
import { depthOf, isObject, parseExact } from '../values/json.ts';
import { hasDuplicateKeys } from '../values/unique-keys.ts';
import { TokenError } from './claims.ts';

const MAX_DEPTH = 32;
const utf8 = new TextDecoder('utf-8', { fatal: true });

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
  } catch {
    throw new TokenError('token_malformed', 'a part is no JSON object with unique keys');
  }
  if (!isObject(value)) throw new TokenError('token_malformed', 'a part is no JSON object');
  return value;
}
