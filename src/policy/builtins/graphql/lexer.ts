import { BuiltinError, HaltError } from '../builtin.ts';

/*
 * Tokens of GraphQL (https://spec.graphql.org/October2021/#sec-Language.Source-Text). Where OPA's parser departs from the
 * specification, its way is taken: names may follow numbers at once, the first line of a block string counts for its
 * indentation, of more than three quotes the last three end a block string.
 */

export type TokenKind =
  | 'name'
  | 'int'
  | 'float'
  | 'string'
  | 'block'
  | 'end'
  | '!'
  | '$'
  | '&'
  | '('
  | ')'
  | '...'
  | ':'
  | '='
  | '@'
  | '['
  | ']'
  | '{'
  | '}'
  | '|';

export type Token = {
  readonly kind: TokenKind;
  /** A name, a number as written, a string's content; empty for the rest. */
  readonly value: string;
  /** Where it starts, in UTF-16 units. */
  readonly at: number;
  /** The comments between the token before and this one. */
  readonly comments: readonly string[];
};

/** The most UTF-16 units of a document. */
const MAX_DOCUMENT_CHARS = 4 * 1_048_576;
const TOKENS_PER_CHECK = 1_000;

const PUNCTUATION = '!$&():=@[]{}|';
const BLANKS = /[\t ,\n\r\ufeff]*/y;
const NAME = /[A-Za-z_][0-9A-Za-z_]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?<fraction>\.[0-9]+)?(?<exponent>[eE][+-]?[0-9]+)?/y;
const QUOTES = /"+/y;

const ESCAPES: { readonly [letter: string]: string } = {
  '"': '"',
  '/': '/',
  '\\': '\\',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

export type Lexer = {
  /** The next token; `end` again and again at the end. Throws BuiltinError, HaltError. */
  readonly next: () => Token;
  /** Throws BuiltinError with the place in the text. */
  readonly fail: (message: string, at: number) => never;
};

/** Reads at most `maxTokens`. Throws HaltError when the text is too long. */
export function createLexer(text: string, maxTokens: number, checkDeadline: () => void): Lexer {
  if (text.length > MAX_DOCUMENT_CHARS) {
    throw new HaltError('eval_limit_error', `a GraphQL document of more than ${MAX_DOCUMENT_CHARS} characters`);
  }
  const source = text.toWellFormed();
  const fail = (message: string, at: number): never => failAt(source, message, at);
  let at = 0;
  let count = 0;

  function comments(): readonly string[] {
    const found: string[] = [];
    for (;;) {
      at = skip(BLANKS, source, at);
      if (source[at] !== '#') return found;
      const end = plainEnd(source, at, '');
      found.push(source.slice(at, end));
      at = end;
    }
  }

  function next(): Token {
    if (++count > maxTokens) throw new HaltError('eval_limit_error', `more than ${maxTokens} tokens of GraphQL`);
    if (count % TOKENS_PER_CHECK === 0) checkDeadline();
    const before = comments();
    const start = at;
    const { kind, value, end } = readToken(source, start);
    at = end;
    return { kind, value, at: start, comments: before };
  }

  return { next, fail };
}

function failAt(source: string, message: string, at: number): never {
  const lines = source.slice(0, at).split(/\r\n|\n|\r/);
  const column = [...(lines.at(-1) ?? '')].length + 1;
  throw new BuiltinError(`${message} in GraphQL string at location ${lines.length}:${column}`);
}

/** Where a run of what `pattern` matches ends. */
function skip(pattern: RegExp, source: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(source) ? pattern.lastIndex : at;
}

const STRING_STOPS = '"\\';
const LINE_ENDS = '\n\r';
const FIRST_PRINTABLE = 0x20;

/** Where a run of text ends: before one of `stops`, or a control character that is neither a tab nor one of `allowed`. */
function plainEnd(source: string, start: number, stops: string, allowed = ''): number {
  let at = start;
  for (; at < source.length; at++) {
    const character = source.charAt(at);
    if (stops.includes(character)) break;
    const isControl = source.charCodeAt(at) < FIRST_PRINTABLE;
    if (isControl && character !== '\t' && !allowed.includes(character)) break;
  }
  return at;
}

type Read = { readonly kind: TokenKind; readonly value: string; readonly end: number };

function readToken(source: string, at: number): Read {
  const first = source[at];
  if (first === undefined) return { kind: 'end', value: '', end: at };
  if (PUNCTUATION.includes(first)) return { kind: first as TokenKind, value: '', end: at + 1 };
  if (source.startsWith('...', at)) return { kind: '...', value: '', end: at + 3 };
  if (source.startsWith('"""', at)) return readBlock(source, at);
  if (first === '"') return readString(source, at);
  const nameEnd = skip(NAME, source, at);
  if (nameEnd > at) return { kind: 'name', value: source.slice(at, nameEnd), end: nameEnd };
  return readNumber(source, at);
}

function readNumber(source: string, at: number): Read {
  NUMBER.lastIndex = at;
  const found = NUMBER.exec(source);
  if (found === null) return failAt(source, 'Cannot parse an unexpected character', at);
  const [value] = found;
  const { fraction, exponent } = found.groups ?? {};
  const end = at + value.length;
  const isInt = fraction === undefined && exponent === undefined;
  const follows = source[end] ?? '';
  // Digits can only follow a leading zero; a point or an exponent, when it has no digits of its own.
  const isMalformed = isInt ? /[0-9.eE]/.test(follows) : exponent === undefined && /[eE]/.test(follows);
  if (isMalformed) failAt(source, 'Invalid number', end);
  return { kind: isInt ? 'int' : 'float', value, end };
}

function readString(source: string, start: number): Read {
  let value = '';
  let at = start + 1;
  for (;;) {
    const end = plainEnd(source, at, STRING_STOPS);
    value += source.slice(at, end);
    at = end;
    if (source[at] === '"') return { kind: 'string', value, end: at + 1 };
    if (source[at] !== '\\') return failAt(source, 'Unterminated string or invalid character', at);
    const letter = source[at + 1] ?? '';
    if (letter === 'u') {
      const digits = source.slice(at + 2, at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) return failAt(source, 'Invalid character escape sequence', at);
      // Half a pair stands for nothing, also next to its other half.
      value += String.fromCharCode(Number.parseInt(digits, 16)).toWellFormed();
      at += 6;
      continue;
    }
    const meaning = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
    if (meaning === undefined) return failAt(source, 'Invalid character escape sequence', at);
    value += meaning;
    at += 2;
  }
}

function readBlock(source: string, start: number): Read {
  let raw = '';
  let at = start + 3;
  for (;;) {
    const end = plainEnd(source, at, STRING_STOPS, LINE_ENDS);
    raw += source.slice(at, end);
    at = end;
    if (source.startsWith('\\"""', at)) {
      raw += '"""';
      at += 4;
    } else if (source[at] === '\\') {
      raw += '\\';
      at++;
    } else if (source[at] === '"') {
      const quotes = skip(QUOTES, source, at) - at;
      at += quotes;
      raw += '"'.repeat(quotes < 3 ? quotes : quotes - 3);
      if (quotes >= 3) return { kind: 'block', value: unindent(raw), end: at };
    } else {
      return failAt(source, 'Unterminated string or invalid character', at);
    }
  }
}

/** A block string's content: without the indentation that all lines share, without blank lines at both ends. */
function unindent(raw: string): string {
  const lines = raw.replace(/\r\n?/g, '\n').split('\n');
  const indents = lines.map((line) => line.search(/[^ \t]/));
  let common = Number.POSITIVE_INFINITY;
  for (const indent of indents) if (indent >= 0 && indent < common) common = indent;
  const first = indents.findIndex((indent) => indent >= 0);
  const last = indents.findLastIndex((indent) => indent >= 0);
  if (first < 0) return '';
  return lines
    .map((line, i) => (i === 0 ? line : line.slice(common)))
    .slice(first, last + 1)
    .join('\n');
}
