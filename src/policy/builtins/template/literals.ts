import { BuiltinError } from '../builtin.ts';

/*
 * Go's literals of strings, characters and numbers (https://go.dev/ref/spec#Lexical_elements).
 */

const ESCAPE = /\\(?:([abfnrtv\\'"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/y;
const SIMPLE: { readonly [character: string]: string } = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

/** What a string in double or back quotes spells. Throws BuiltinError. */
export function unquote(spelling: string): string {
  const inner = spelling.slice(1, -1);
  if (spelling.startsWith('`')) return inner.replaceAll('\r', '');
  const parts: Buffer[] = [];
  for (let at = 0; at < inner.length; ) {
    const escape_ = inner.indexOf('\\', at);
    const end = escape_ < 0 ? inner.length : escape_;
    if (end > at) parts.push(Buffer.from(inner.slice(at, end)));
    at = end;
    if (at >= inner.length) break;
    const { bytes, length } = readEscape(inner, at, '"');
    parts.push(bytes);
    at += length;
  }
  return Buffer.concat(parts).toString('utf8');
}

type Escape = { readonly bytes: Buffer; readonly code: number; readonly length: number };

/** Throws BuiltinError. */
function readEscape(text: string, at: number, quote: string): Escape {
  ESCAPE.lastIndex = at;
  const match = ESCAPE.exec(text);
  if (match === null) throw new BuiltinError('template: invalid syntax');
  const [whole, simple, octal, hex, short, long] = match;
  const length = whole.length;
  if (simple !== undefined) {
    if ((simple === '"' || simple === "'") && simple !== quote) throw new BuiltinError('template: invalid syntax');
    const character = SIMPLE[simple] ?? '';
    return { bytes: Buffer.from(character), code: character.charCodeAt(0), length };
  }
  if (octal !== undefined || hex !== undefined) {
    const byte = octal === undefined ? Number.parseInt(hex ?? '', 16) : Number.parseInt(octal, 8);
    if (byte > 0xff) throw new BuiltinError('template: invalid syntax');
    return { bytes: Buffer.from([byte]), code: byte, length };
  }
  const code = Number.parseInt(short ?? long ?? '', 16);
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw new BuiltinError('template: invalid syntax');
  return { bytes: Buffer.from(String.fromCodePoint(code)), code, length };
}

/** The code point of a character in single quotes. Throws BuiltinError. */
export function characterCode(spelling: string): bigint {
  const inner = spelling.slice(1, -1);
  if (inner.startsWith('\\')) {
    const { code, length } = readEscape(inner, 0, "'");
    if (length === inner.length) return BigInt(code);
  } else if ([...inner].length === 1) return BigInt(inner.codePointAt(0) ?? 0);
  throw new BuiltinError('template: malformed character constant');
}

/** A constant of Go's type float64. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

const INTEGER = /^([+-]?)(0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)$/;
const FLOAT =
  /^[+-]?(?:[0-9](?:_?[0-9])*(?:\.(?:[0-9](?:_?[0-9])*)?)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?$/;
const MAX_DIGITS = 100;

/** A bigint is Go's int. Throws BuiltinError for what is too large or no real number. */
export function numberConstant(spelling: string): bigint | Float {
  const [, sign, written = ''] = spelling.length > MAX_DIGITS ? [] : (INTEGER.exec(spelling) ?? []);
  if (sign !== undefined) {
    const digits = written.replaceAll('_', '').toLowerCase();
    const magnitude = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
    const value = sign === '-' ? -magnitude : magnitude;
    if (BigInt.asIntN(64, value) !== value) throw new BuiltinError(`template: ${spelling} overflows int`);
    return value;
  }
  const value = FLOAT.test(spelling) && /[.eE]/.test(spelling) ? Number(spelling.replaceAll('_', '')) : Number.NaN;
  if (!Number.isFinite(value)) throw new BuiltinError('template: illegal number syntax');
  return new Float(value);
}
