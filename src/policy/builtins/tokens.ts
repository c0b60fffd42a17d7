import { dumpJson } from '../../values/dump.ts';
import { parseJson, ValueSyntaxError } from '../../values/parse.ts';
import { isRegoObject, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { stringAt } from './operands.ts';

const MAX_TOKEN_CHARS = 65_536;
const MAX_NESTED_TOKENS = 10;
const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/;

/**
 * io.jwt.decode: [header, payload, signature in hex], nothing verified. A payload that is a token itself (`cty: JWT`)
 * is decoded in its stead. https://www.openpolicyagent.org/docs/policy-reference/builtins/tokens
 */
function decodeToken(token: Value | undefined): Value {
  let current = stringAt(1, token);
  if (current.length > MAX_TOKEN_CHARS) throw new BuiltinError('the token is too long');
  for (let nested = 0; nested < MAX_NESTED_TOKENS; nested++) {
    const [head, body, signature, ...more] = current.split('.');
    if (head === undefined || body === undefined || signature === undefined || more.length > 0) {
      throw new BuiltinError('encoded JWT must have 3 sections');
    }
    const header = parseJson(fromBase64url(head).toString('utf8'));
    if (!isRegoObject(header) || header.has('enc')) throw new BuiltinError('not a signed token');
    const payload = fromBase64url(body).toString('utf8');
    if (header.get('cty') === 'JWT') {
      current = innerToken(payload);
      continue;
    }
    return [header, parseJson(payload), fromBase64url(signature).toString('hex')];
  }
  throw new BuiltinError('nested too deep');
}

function innerToken(payload: string): string {
  if (!payload.startsWith('"')) return payload;
  const quoted = parseJson(payload);
  return typeof quoted === 'string' ? quoted : dumpJson(quoted);
}

function fromBase64url(text: string): Buffer {
  if (!BASE64URL.test(text)) throw new ValueSyntaxError('not base64url', 0);
  return Buffer.from(text, 'base64url');
}

export const jwtBuiltins: readonly Builtin[] = [
  { name: 'io.jwt.decode', arity: 1, run: (_ctx, token) => decodeToken(token) },
];
