import { compareStrings } from '../../../values/compare.ts';
import { keyText } from '../../../values/dump.ts';
import { isNumber, numberText, type RegoNumber } from '../../../values/number.ts';
import { isArray, RegoObject, RegoSet, type Value } from '../../../values/value.ts';
import { BuiltinError, checkChars } from '../builtin.ts';
import { escapeJson } from '../go-json.ts';
import { floatText, resolveScalar } from './scalars.ts';

/*
 * YAML as OPA writes it: block style, two columns a level, scalars as https://pkg.go.dev/go.yaml.in/yaml/v3 quotes them.
 */

/** Go's writer takes the value through JSON text that its reader reads as YAML, which refuses longer keys. */
const MAX_KEY_CHARS = 1_024;
/** UTF-8 bytes of a key that needs no question mark. */
const MAX_SIMPLE_KEY_BYTES = 128;

/** Throws BuiltinError for what Go's YAML cannot write, HaltError for too much text. */
export function writeYaml(value: Value, checkDeadline: () => void): string {
  const lines: string[] = [];
  let chars = 0;

  function put(line: string): void {
    chars += line.length + 1;
    checkChars(chars);
    lines.push(line);
  }

  /** `lead` is what stands before the value on its line; `indent` is the column of the block that it is in. */
  function node(item: Value, lead: string, indent: number): void {
    if (isArray(item)) list(item, lead, indent);
    else if (item instanceof RegoSet) list(item.sorted(), lead, indent);
    else if (item instanceof RegoObject) mapping(item, lead, indent);
    else scalar(item, lead, indent);
  }

  function list(items: readonly Value[], lead: string, indent: number): void {
    if (items.length === 0) put(`${lead}[]`);
    let start = items.length === 0 ? '' : startOf(lead, indent);
    for (const item of items) {
      checkDeadline();
      node(item, `${start}- `, indent + 2);
      start = ' '.repeat(indent);
    }
  }

  function mapping(object: RegoObject, lead: string, indent: number): void {
    if (object.size === 0) put(`${lead}{}`);
    let start = object.size === 0 ? '' : startOf(lead, indent);
    for (const [key, member] of sortedEntries(object)) {
      checkDeadline();
      if (isSimpleKey(key)) {
        const written = `${start}${scalarText(key, '')}:`;
        node(member, isBlock(member) ? written : `${written} `, indent + 2);
      } else {
        put(`${start}? ${stringText(key, ' '.repeat(indent + 2))}`);
        node(member, `${' '.repeat(indent)}: `, indent + 2);
      }
      start = ' '.repeat(indent);
    }
  }

  /** A block begins on the line of a `-`, `?` or `:` of its own, but after a key on the next. */
  function startOf(lead: string, indent: number): string {
    if (!lead.endsWith(':')) return lead;
    put(lead);
    return ' '.repeat(indent);
  }

  function scalar(item: Value, lead: string, indent: number): void {
    const inner = ' '.repeat(lead === '' ? 2 : indent);
    if (typeof item === 'string') put(lead + stringText(readBack(item), inner));
    else put(lead + (isNumber(item) ? numberScalar(item) : String(item)));
  }

  node(value, '', 0);
  return `${lines.join('\n')}\n`;
}

const isBlock = (value: Value): boolean =>
  isArray(value) ? value.length > 0 : (value instanceof RegoObject || value instanceof RegoSet) && value.size > 0;

/** As Go reads the number's text: integers of 64 bits, doubles, and text for what is neither. */
function numberScalar(value: RegoNumber): string {
  const scalar = resolveScalar(numberText(value));
  if (scalar.tag === 'float') return floatText(scalar.value, 64);
  return String(scalar.value);
}

const UNREADABLE = /[\x7f-\x84\x86-\x9f\ufffe\uffff]/;

/** A string as it comes back from Go's reader, where U+0085 is a line break. Throws BuiltinError. */
function readBack(text: string): string {
  if (UNREADABLE.test(text)) throw new BuiltinError('yaml: control characters are not allowed');
  const lines = text.toWellFormed().split('\x85');
  if (lines.length === 1) return lines[0] ?? '';
  const last = lines.length - 1;
  const trimmed = lines.map((line, index) => {
    const start = index === 0 ? line : line.replace(/^ +/, '');
    return index === last ? start : trimEnd(start);
  });
  let folded = trimmed[0] ?? '';
  for (let index = 1, empty = 0; index <= last; index++) {
    const line = trimmed[index] ?? '';
    if (line === '' && index < last) empty++;
    else {
      folded += (empty === 0 ? ' ' : '\n'.repeat(empty)) + line;
      empty = 0;
    }
  }
  return folded;
}

function trimEnd(line: string): string {
  let end = line.length;
  while (line[end - 1] === ' ') end--;
  return line.slice(0, end);
}

/** In Go's order, with keys as they come back from its reader. */
function sortedEntries(object: RegoObject): readonly (readonly [string, Value])[] {
  const entries = object.sorted().map(([key, member]) => {
    const text = keyText(key);
    const json = escapeJson(JSON.stringify(text));
    const isLong = json.length > MAX_KEY_CHARS && [...json].length > MAX_KEY_CHARS;
    if (isLong || text.includes('\x85')) {
      throw new BuiltinError('yaml: a key is too long, or has a line break');
    }
    return [readBack(text), member] as const;
  });
  return entries.sort(([a], [b]) => compareKeys(a, b));
}

/** Numbers in texts by their value, letters after all else (https://pkg.go.dev/go.yaml.in/yaml/v3, keyList). */
function compareKeys(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  const shared = Math.min(left.length, right.length);
  let at = 0;
  while (at < shared && left[at] === right[at]) at++;
  if (at === shared) return left.length - right.length;
  const x = left[at] ?? '';
  const y = right[at] ?? '';
  const [isLetterX, isLetterY] = [LETTER.test(x), LETTER.test(y)];
  if (isLetterX && isLetterY) return compareStrings(x, y);
  if (isLetterX || isLetterY) {
    const isAfterDigit = at > 0 && DIGIT.test(left[at - 1] ?? '');
    return isLetterX === isAfterDigit ? -1 : 1;
  }
  return compareDigits(left, right, at) || compareStrings(x, y);
}

const LETTER = /^\p{L}$/u;
const DIGIT = /^\p{Nd}$/u;

function compareDigits(left: readonly string[], right: readonly string[], at: number): number {
  const first = left[at] === '0' || right[at] === '0' ? startOfDigits(left, at) : 0n;
  const x = digitsFrom(left, at, first);
  const y = digitsFrom(right, at, first);
  if (x.value !== y.value) return x.value < y.value ? -1 : 1;
  return x.end - y.end;
}

/** One when digits before `at` make zeros there count, else zero. */
function startOfDigits(text: readonly string[], at: number): bigint {
  for (let j = at - 1; j >= 0 && DIGIT.test(text[j] ?? ''); j--) if (text[j] !== '0') return 1n;
  return 0n;
}

/** Sums as Go does it, in 64 bits. */
function digitsFrom(
  text: readonly string[],
  at: number,
  first: bigint,
): { readonly value: bigint; readonly end: number } {
  let value = first;
  let end = at;
  for (; end < text.length && DIGIT.test(text[end] ?? ''); end++) {
    value = BigInt.asIntN(64, value * 10n + BigInt((text[end]?.codePointAt(0) ?? 0) - 0x30));
  }
  return { value, end };
}

const BREAK = /[\n\r\x85\u2028\u2029]/;

const isSimpleKey = (text: string): boolean => Buffer.byteLength(text) <= MAX_SIMPLE_KEY_BYTES && !BREAK.test(text);

/** `inner` is the indent of further lines. */
function stringText(text: string, inner: string): string {
  if (!text.includes('\n')) return scalarText(text, inner);
  const mayBeLiteral = !text.endsWith(' ') && !SPACE_BREAK.test(text) && !isSpecial(text);
  if (!mayBeLiteral) return doubleQuoted(text);
  const hint = /^[ \n\u2028\u2029]/.test(text) ? '2' : '';
  const chomp = !BREAK.test(text.at(-1) ?? '') ? '-' : BREAK.test(text.at(-2) ?? '\n') ? '+' : '';
  const body = text.endsWith('\n') ? text.slice(0, -1) : text;
  return `|${hint}${chomp}\n${indentLines(body, inner, true)}`;
}

/** Indents what follows line breaks; empty lines stay empty. */
function indentLines(text: string, inner: string, isFirstIndented: boolean): string {
  return text
    .split(/([\n\u2028\u2029]+)/)
    .map((part, index) => (part === '' || index % 2 === 1 || (index === 0 && !isFirstIndented) ? part : inner + part))
    .join('');
}

const OLD_BOOLEAN = /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/;
const BASE_60 = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/;
const SPACE_BREAK = / [\n\r\x85\u2028\u2029]/;
const BREAK_SPACE = /[\n\r\x85\u2028\u2029] /;
const INDICATOR = /^(?:[#,[\]{}&*!|>'"%@`]|---|\.\.\.|[?:-](?:[ \t]|$))|:(?:[ \t]|$)|[\s\0]#/;
const EDGE = /^[ \n\r\x85\u2028\u2029]|[ \n\r\x85\u2028\u2029]$/;
/** What is written as it is; characters beyond the basic plane are not. */
const SPECIAL = /[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]/u;

const isSpecial = (text: string): boolean => SPECIAL.test(text);

/** A string without line feeds: plain where it reads back as a string, else in quotes. */
function scalarText(text: string, inner: string): string {
  if (resolveScalar(text).tag !== 'str' || BASE_60.test(text) || OLD_BOOLEAN.test(text)) return doubleQuoted(text);
  const isDouble = text.includes('\t') || isSpecial(text) || SPACE_BREAK.test(text) || BREAK_SPACE.test(text);
  if (isDouble) return doubleQuoted(text);
  const isPlain = !INDICATOR.test(text) && !EDGE.test(text) && !BREAK.test(text);
  return isPlain ? text : `'${indentLines(text.replaceAll("'", "''"), inner, false)}'`;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\0', '0'],
  ['\x07', 'a'],
  ['\b', 'b'],
  ['\t', 't'],
  ['\n', 'n'],
  ['\v', 'v'],
  ['\f', 'f'],
  ['\r', 'r'],
  ['\x1b', 'e'],
  ['"', '"'],
  ['\\', '\\'],
  ['\x85', 'N'],
  ['\xa0', '_'],
  ['\u2028', 'L'],
  ['\u2029', 'P'],
]);

function doubleQuoted(text: string): string {
  // Go's writer escapes all of a text that begins with a byte order mark.
  const isAll = text.startsWith('\ufeff');
  let quoted = '"';
  for (const character of text) {
    const isEscaped =
      isAll ||
      character === '\t' ||
      character === '"' ||
      character === '\\' ||
      BREAK.test(character) ||
      isSpecial(character);
    quoted += isEscaped ? escapeCharacter(character) : character;
  }
  return `${quoted}"`;
}

function escapeCharacter(character: string): string {
  const known = ESCAPES.get(character);
  if (known !== undefined) return `\\${known}`;
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16).toUpperCase();
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
