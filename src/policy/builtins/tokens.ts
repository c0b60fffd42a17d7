import type { Json } from '../../model/json.ts';
import { depthOf, isObject, parseExact } from '../../values/json.ts';
import type { HostBuiltin } from './registry.ts';

const MAX_TOKEN_CHARS = 65_536;
const MAX_JSON_DEPTH = 100;
const MAX_NESTED_TOKENS = 10;
const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/;

/**
 * io.jwt.decode: [header, payload, signature in hex], nothing verified. A payload that is a token itself (`cty: JWT`)
 * is decoded in its stead. https://www.openpolicyagent.org/docs/policy-reference/builtins/tokens
 */
function decodeToken(token: Json | undefined): Json {
  if (typeof token !== 'string' || token.length > MAX_TOKEN_CHARS) throw new Error('not a token');
  let current = token;
  for (let nested = 0; nested < MAX_NESTED_TOKENS; nested++) {
    const [head, body, signature, ...more] = current.split('.');
    if (head === undefined || body === undefined || signature === undefined || more.length > 0) {
      throw new Error('not three parts');
    }
    const header = parseBounded(fromBase64url(head).toString('utf8'));
    if (!isObject(header) || 'enc' in header) throw new Error('not a signed token');
    const payload = fromBase64url(body).toString('utf8');
    if (header['cty'] === 'JWT') {
      const quoted = payload.startsWith('"') ? parseBounded(payload) : payload;
      current = typeof quoted === 'string' ? quoted : '';
      continue;
    }
    return [header, parseBounded(payload), fromBase64url(signature).toString('hex')];
  }
  throw new Error('nested too deep');
}

function parseBounded(text: string): Json {
  if (depthOf(text) > MAX_JSON_DEPTH) throw new Error('nested too deep');
  return parseExact(text);
}

function fromBase64url(text: string): Buffer {
  if (!BASE64URL.test(text)) throw new Error('not base64url');
  return Buffer.from(text, 'base64url');
}

export const tokenBuiltins: { readonly [name: string]: HostBuiltin } = {
  'io.jwt.decode': (token) => decodeToken(token),
};
