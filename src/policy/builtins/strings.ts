import { typeName, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError, checkChars, checkMembers } from './builtin.ts';
import { safeIntegerAt, stringAt, stringsAt, wrongType } from './operands.ts';

/*
 * Strings of Unicode code points. https://www.openpolicyagent.org/docs/policy-reference/builtins/strings
 */

/** Whether any of the strings begins (or ends) with any of the others; each side a string, an array or a set. */
function anyMatch(
  a: Value | undefined,
  b: Value | undefined,
  matches: (text: string, part: string) => boolean,
): boolean {
  const texts = oneOrMore(1, a);
  const parts = oneOrMore(2, b);
  return texts.some((text) => parts.some((part) => matches(text, part)));
}

function oneOrMore(position: number, value: Value = null): readonly string[] {
  if (typeof value === 'string') return [value];
  if (['array', 'set'].includes(typeName(value))) return stringsAt(position, value);
  throw wrongType(position, 'one of {string, set, array}', value);
}

/** How often `part` is in `text` without overlapping; an empty part is before and after each code point. */
function countParts(text: string, part: string): number {
  if (part === '') return [...text].length + 1;
  let found = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) found++;
  return found;
}

/** Positions, in code points, of every occurrence; overlapping ones as well. Undefined when there is none. */
function positions(text: string, part: string): readonly number[] {
  if (part === '') throw new BuiltinError('empty search character');
  const found: number[] = [];
  let units = 0;
  let codePoints = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
    for (; units < at; codePoints++) units += (text.codePointAt(units) ?? 0) > 0xffff ? 2 : 1;
    found.push(codePoints);
  }
  checkMembers(found.length);
  return found;
}

/** The first `count` pieces, or the last ones when it is negative. */
function splitN(text: string, separator: string, count: number): readonly string[] {
  const pieces = separator === '' ? [...text] : text.split(separator);
  checkMembers(pieces.length);
  if (count >= 0) return pieces.slice(0, count);
  return pieces.slice(count);
}

function joined(delimiter: string, texts: readonly string[]): string {
  checkChars(texts.reduce((sum, text) => sum + text.length + delimiter.length, 0));
  return texts.join(delimiter);
}

/** An empty part is before and after each code point. */
function replaced(text: string, part: string, replacement: string): string {
  const pieces = part === '' ? ['', ...text, ''] : text.split(part);
  checkChars(text.length + (pieces.length - 1) * replacement.length);
  return pieces.join(replacement);
}

export const stringsBuiltins: readonly Builtin[] = [
  {
    name: 'replace',
    arity: 3,
    run: (_ctx, text, part, replacement) => replaced(stringAt(1, text), stringAt(2, part), stringAt(3, replacement)),
  },
  { name: 'concat', arity: 2, run: (_ctx, delimiter, texts) => joined(stringAt(1, delimiter), stringsAt(2, texts)) },
  {
    name: 'strings.any_prefix_match',
    arity: 2,
    run: (_ctx, texts, parts) => anyMatch(texts, parts, (text, part) => text.startsWith(part)),
  },
  {
    name: 'strings.any_suffix_match',
    arity: 2,
    run: (_ctx, texts, parts) => anyMatch(texts, parts, (text, part) => text.endsWith(part)),
  },
  { name: 'strings.count', arity: 2, run: (_ctx, text, part) => countParts(stringAt(1, text), stringAt(2, part)) },
  { name: 'indexof_n', arity: 2, run: (_ctx, text, part) => positions(stringAt(1, text), stringAt(2, part)) },
  {
    name: 'strings.split_n',
    arity: 3,
    run: (_ctx, text, separator, limit) => splitN(stringAt(1, text), stringAt(2, separator), safeIntegerAt(3, limit)),
  },
];
