import { SpelledNumber } from './decimal.ts';
import { numberFromText, numberText, toParts } from './number.ts';
import { type Entry, RegoObject, RegoSet, type Value } from './value.ts';

/** Text is not a value; `at` is the offset in UTF-16 units. */
export class ValueSyntaxError extends SyntaxError {
  override readonly name = 'ValueSyntaxError';
  readonly at: number;
  constructor(message: string, at: number) {
    super(`${message} at offset ${at}`);
    this.at = at;
  }
}

/** Deeper nesting is refused: readers and writers of values recurse. */
const MAX_DEPTH = 1_000;

/** Reads Rego term text: JSON, sets, `set()`, keys of any type, raw strings in backquotes. Throws ValueSyntaxError. */
export const parse = (text: string): Value => read(text, true, false);

/** Like `parse`; numbers that are not written in their canonical form are SpelledNumbers. */
export const parseSpelled = (text: string): Value => read(text, true, true);

/** Reads JSON and nothing more, keeping every digit of every number. Throws ValueSyntaxError. */
export const parseJson = (text: string): Value => read(text, false, false);

function read(text: string, terms: boolean, spelled: boolean): Value {
  let at = 0;

  const fail = (message: string): never => {
    throw new ValueSyntaxError(message, at);
  };

  function skipBlanks(): number {
    for (;;) {
      const c = text.charCodeAt(at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return c;
      at++;
    }
  }

  function expect(character: string): void {
    if (skipBlanks() !== character.charCodeAt(0)) fail(`expected ${character}`);
    at++;
  }

  function value(depth: number): Value {
    if (depth > MAX_DEPTH) return fail('nested too deep');
    switch (skipBlanks()) {
      case 0x22:
        return quoted();
      case 0x5b:
        return array(depth);
      case 0x7b:
        return braces(depth);
      case 0x74:
        return word('true', true);
      case 0x66:
        return word('false', false);
      case 0x6e:
        return word('null', null);
      case 0x73:
        return terms ? emptySet() : fail('unexpected character');
      case 0x60:
        return terms ? raw() : fail('unexpected character');
      default:
        return digits();
    }
  }

  function word<T>(spelling: string, meaning: T): T {
    if (!text.startsWith(spelling, at)) fail('unexpected word');
    at += spelling.length;
    return meaning;
  }

  function emptySet(): Value {
    word('set', null);
    expect('(');
    expect(')');
    return new RegoSet();
  }

  function raw(): Value {
    const end = text.indexOf('`', at + 1);
    if (end < 0) return fail('a raw string has no end');
    const content = text.slice(at + 1, end);
    at = end + 1;
    return content;
  }

  function quoted(): string {
    const start = at++;
    for (;;) {
      const c = text.charCodeAt(at);
      if (c === 0x22) return text.slice(start + 1, at++);
      if (c === 0x5c) return escaped(start);
      if (!(c >= 0x20)) return fail(Number.isNaN(c) ? 'a string has no end' : 'a control character in a string');
      at++;
    }
  }

  function escaped(start: number): string {
    for (;;) {
      const c = text.charCodeAt(at);
      if (c === 0x22) break;
      if (Number.isNaN(c)) return fail('a string has no end');
      at += c === 0x5c ? 2 : 1;
    }
    at++;
    try {
      return JSON.parse(text.slice(start, at)) as string;
    } catch {
      return fail('a malformed escape in a string');
    }
  }

  function digits(): Value {
    const start = at;
    for (;;) {
      const c = text.charCodeAt(at);
      const isPart = (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2b || c === 0x2e || c === 0x65 || c === 0x45;
      if (!isPart) break;
      at++;
    }
    const spelling = text.slice(start, at);
    // Rego's compiler leaves numbers such as `.5` as they are written.
    const isMalformed = /^-?0\d/.test(spelling) || /\.(?!\d)/.test(spelling) || (!terms && /^-?\./.test(spelling));
    if (spelling === '' || isMalformed) return fail('unexpected character');
    const complete = terms ? spelling.replace(/^(-?)\./, '$10.') : spelling;
    const value = numberFromText(complete);
    if (value === undefined) return fail('a malformed number');
    return spelled && numberText(value) !== complete ? new SpelledNumber(toParts(value), complete) : value;
  }

  function array(depth: number): Value {
    at++;
    const members: Value[] = [];
    if (skipBlanks() === 0x5d) {
      at++;
      return members;
    }
    do members.push(value(depth + 1));
    while (comma(0x5d));
    return members;
  }

  /** Past a comma: true; past the closing character: false. */
  function comma(closing: number): boolean {
    const c = skipBlanks();
    if (c !== 0x2c && c !== closing) fail('expected a comma or an end');
    at++;
    return c === 0x2c;
  }

  function braces(depth: number): Value {
    at++;
    if (skipBlanks() === 0x7d) {
      at++;
      return new RegoObject();
    }
    const first = value(depth + 1);
    if (terms && skipBlanks() !== 0x3a) {
      const members = [first];
      while (comma(0x7d)) members.push(value(depth + 1));
      return new RegoSet(members);
    }
    const entries: Entry[] = [];
    let key = first;
    for (;;) {
      if (!terms && typeof key !== 'string') fail('a key is not a string');
      expect(':');
      entries.push([key, value(depth + 1)]);
      if (!comma(0x7d)) return new RegoObject(entries);
      key = value(depth + 1);
    }
  }

  const result = value(0);
  if (!Number.isNaN(skipBlanks())) fail('more after the value');
  return result;
}
