import { isNumber, numberText, type RegoNumber } from '../../../values/number.ts';
import { isArray, isRegoObject, type RegoObject, type Value } from '../../../values/value.ts';
import { checkChars } from '../builtin.ts';
import { type GoValue, sprintf } from '../go-format.ts';
import { Float } from './literals.ts';

/*
 * Values within Go templates. Numbers of the data are texts to them (encoding/json, Number); only constants, lengths
 * and indexes are Go's numbers.
 */

/** A byte of a string (Go's uint8). */
export class Byte {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** Undefined is no value at all; bigint is Go's int. There are no sets. */
export type TemplateValue = undefined | Value | bigint | Float | Byte;

export const isNothing = (value: TemplateValue): value is null | undefined => value === null || value === undefined;

export function isText(value: TemplateValue): value is string | RegoNumber {
  return typeof value === 'string' || isNumber(value);
}

/** What a string or a number of the data is to a template. */
export const textOf = (value: string | RegoNumber): string => (typeof value === 'string' ? value : numberText(value));

export const isList = (value: TemplateValue): value is readonly Value[] => isArray(value as Value);
export const isObject = (value: TemplateValue): value is RegoObject => isRegoObject(value as Value);

export const entriesOf = (object: RegoObject): readonly (readonly [string, Value])[] =>
  object.sorted() as readonly (readonly [string, Value])[];

export function typeOf(value: TemplateValue): string {
  if (isNothing(value)) return '<nil>';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'bigint') return 'int';
  if (value instanceof Float) return 'float64';
  if (value instanceof Byte) return 'uint8';
  if (isNumber(value)) return 'json.Number';
  return isList(value) ? '[]interface {}' : 'map[string]interface {}';
}

export function isTrue(value: TemplateValue): boolean {
  if (isNothing(value)) return false;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return value !== 0n;
  if (value instanceof Float || value instanceof Byte) return value.value !== 0;
  if (isText(value)) return textOf(value) !== '';
  return isList(value) ? value.length > 0 : isObject(value) && value.size > 0;
}

type Directive = { readonly spelling: string; readonly verb: string };

const PLAIN: Directive = { spelling: '%v', verb: 'v' };

/** As Go's %v. Throws HaltError when it is too long. */
export const show = (value: TemplateValue): string => format(PLAIN, value);

/** One argument as one directive has it; of composites each member. */
function format(directive: Directive, value: TemplateValue): string {
  if (directive.verb === 'T') return sprintf(directive.spelling.replace(/T$/, 's'), [text(typeOf(value))]);
  if (isNothing(value)) return word(directive, '<nil>', directive.verb === 'v' ? undefined : '%!V(<nil>)');
  if (isList(value))
    return joined(
      '[',
      value.map((member) => formatMember(directive, member)),
    );
  if (isObject(value)) {
    const members = entriesOf(value).map(
      ([key, member]) => `${format(directive, key)}:${formatMember(directive, member)}`,
    );
    return joined('map[', members);
  }
  if (typeof value === 'boolean') {
    const isGood = directive.verb === 't' || directive.verb === 'v';
    return word(directive, String(value), isGood ? undefined : `%!V(bool=${value})`);
  }
  const formatted = sprintf(directive.spelling, [goValue(value)]);
  if (value instanceof Byte) return formatted.replace(/^%!(.)\(int=/u, '%!$1(uint8=');
  return isText(value) && typeof value !== 'string'
    ? formatted.replace(/^%!(.)\(string=/u, '%!$1(json.Number=')
    : formatted;
}

/** Nothing within a composite takes no directive. */
const formatMember = (directive: Directive, value: Value): string =>
  value === null ? '<nil>' : format(directive, value);

const text = (value: string): GoValue => ({ type: 'string', value });

/** `bad` is what comes of a verb that does not fit, with V in its place. */
function word({ spelling, verb }: Directive, good: string, bad: string | undefined): string {
  if (bad !== undefined) return bad.replace('V', () => verb);
  return sprintf(`${spelling.slice(0, -verb.length).replace(/\.\d*/, '')}s`, [text(good)]);
}

function joined(open: string, members: readonly string[]): string {
  checkChars(members.reduce((sum, member) => sum + member.length + 1, open.length));
  return `${open}${members.join(' ')}]`;
}

function goValue(value: TemplateValue): GoValue {
  if (typeof value === 'bigint') return { type: 'int64', value };
  if (value instanceof Float) return { type: 'float64', value: value.value };
  if (value instanceof Byte) return { type: 'int64', value: BigInt(value.value) };
  return text(isText(value) ? textOf(value) : show(value));
}

const DIRECTIVE = /%[+\-# 0]*(?:[1-9]\d*)?(?:\.\d*)?([^\d.*[+\-# ])/gu;

/** A directive that names its argument, or takes its width from one. */
const INDIRECT = /%[+\-# 0]*(?:[1-9]\d*)?(?:\.\d*)?[[*]/;

/** Go's fmt.Sprintf. Throws HaltError for too much text. */
export function formatAll(pattern: string, values: readonly TemplateValue[]): string {
  // Here composites are text, which only %v and %s show as Go does.
  if (INDIRECT.test(pattern)) return sprintf(pattern, values.map(goValue));
  let out = '';
  let from = 0;
  let next = 0;
  for (const match of pattern.matchAll(DIRECTIVE)) {
    const [spelling, verb = ''] = match;
    out += pattern.slice(from, match.index);
    from = match.index + spelling.length;
    if (verb === '%' || next >= values.length) out += sprintf(spelling, []);
    else out += format({ spelling, verb }, values[next++]);
    checkChars(out.length);
  }
  const rest = pattern.slice(from);
  out += rest.includes('%') ? sprintf(rest, []) : rest;
  const extra = values.slice(next).map((value) => (isNothing(value) ? '<nil>' : `${typeOf(value)}=${show(value)}`));
  return extra.length === 0 ? out : `${out}%!(EXTRA ${extra.join(', ')})`;
}

/** Go's fmt.Sprint: blanks between arguments of which neither is text; with `isLine` between all, and a line feed. */
export function printAll(values: readonly TemplateValue[], isLine: boolean): string {
  let out = '';
  for (const [index, value] of values.entries()) {
    if (index > 0 && (isLine || !(isText(value) || isText(values[index - 1])))) out += ' ';
    out += show(value);
    checkChars(out.length);
  }
  return isLine ? `${out}\n` : out;
}
