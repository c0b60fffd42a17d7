import { isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { objectAt, stringAt, wrongType } from './operands.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/encoding; queries as Go's net/url has them.
 */

const HEX = /^(?:[0-9a-fA-F]{2})*$/;
/** What a query does not escape (Go net/url QueryEscape). */
const UNRESERVED = /^[A-Za-z0-9\-_.~]$/;

function decodeHex(text: string): string {
  if (!HEX.test(text)) throw new BuiltinError('not hexadecimal');
  return Buffer.from(text, 'hex').toString('utf8');
}

function escapeQuery(text: string): string {
  let escaped = '';
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    if (UNRESERVED.test(character)) escaped += character;
    else escaped += byte === 0x20 ? '+' : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return escaped;
}

/** Throws BuiltinError on a malformed escape. */
function unescapeQuery(text: string): string {
  const bytes: number[] = [];
  const source = Buffer.from(text);
  for (let at = 0; at < source.length; at++) {
    const byte = source[at] ?? 0;
    if (byte !== 0x25) {
      bytes.push(byte === 0x2b ? 0x20 : byte);
      continue;
    }
    const digits = source.toString('latin1', at + 1, at + 3);
    if (!/^[0-9a-fA-F]{2}$/.test(digits)) throw new BuiltinError('invalid URL escape');
    bytes.push(Number.parseInt(digits, 16));
    at += 2;
  }
  return Buffer.from(bytes).toString('utf8');
}

/** An object's members as a query, sorted by key; arrays and sets of strings repeat their key. */
function encodeObject(object: RegoObject): string {
  return object
    .sorted()
    .flatMap(([key, value]) => {
      const name = escapeQuery(stringAt(1, key));
      return queryValues(value).map((text) => `${name}=${escapeQuery(text)}`);
    })
    .join('&');
}

function queryValues(value: Value): readonly string[] {
  if (typeof value === 'string') return [value];
  if (isArray(value)) return value.map((member) => stringAt(1, member));
  if (value instanceof RegoSet) return value.sorted().map((member) => stringAt(1, member));
  throw wrongType(1, 'one of {string, array, set}', value);
}

/** Every key with the array of its values. Throws BuiltinError on a malformed escape or a semicolon. */
function decodeObject(query: string): RegoObject {
  const found = new Map<string, string[]>();
  for (const pair of query.split('&')) {
    if (pair.includes(';')) throw new BuiltinError('invalid semicolon separator in query');
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const key = unescapeQuery(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : unescapeQuery(pair.slice(equals + 1));
    const values = found.get(key);
    if (values === undefined) found.set(key, [value]);
    else values.push(value);
  }
  return new RegoObject(found);
}

export const encodingBuiltins: readonly Builtin[] = [
  { name: 'hex.encode', arity: 1, run: (_ctx, text) => Buffer.from(stringAt(1, text)).toString('hex') },
  { name: 'hex.decode', arity: 1, run: (_ctx, text) => decodeHex(stringAt(1, text)) },
  {
    name: 'base64url.encode_no_pad',
    arity: 1,
    run: (_ctx, text) => Buffer.from(stringAt(1, text)).toString('base64url'),
  },
  { name: 'urlquery.encode', arity: 1, run: (_ctx, text) => escapeQuery(stringAt(1, text)) },
  { name: 'urlquery.decode', arity: 1, run: (_ctx, text) => unescapeQuery(stringAt(1, text)) },
  { name: 'urlquery.encode_object', arity: 1, run: (_ctx, object) => encodeObject(objectAt(1, object)) },
  { name: 'urlquery.decode_object', arity: 1, run: (_ctx, text) => decodeObject(stringAt(1, text)) },
];
