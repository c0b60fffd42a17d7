import { compareStrings } from '../../../values/compare.ts';
import { BuiltinError, checkChars } from '../builtin.ts';
import { Float } from './literals.ts';
import {
  Byte,
  formatAll,
  isList,
  isNothing,
  isObject,
  isText,
  isTrue,
  printAll,
  type TemplateValue,
  textOf,
  typeOf,
} from './values.ts';

/*
 * Functions of Go templates (https://pkg.go.dev/text/template, "Functions"). `and` and `or` are in template-execute.ts,
 * since they do not look at all of their arguments.
 */

type Values = readonly TemplateValue[];

type TemplateFunction = {
  readonly least: number;
  readonly most: number;
  /** Throws BuiltinError, HaltError. */
  readonly run: (values: Values) => TemplateValue;
};

const ANY = Number.POSITIVE_INFINITY;

function fail(message: string): never {
  throw new BuiltinError(`template: ${message}`);
}

type Kind = 'bool' | 'int' | 'uint' | 'float' | 'string' | 'other';

function kindOf(value: TemplateValue): Kind {
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'bigint') return 'int';
  if (value instanceof Byte) return 'uint';
  if (value instanceof Float) return 'float';
  return isText(value) ? 'string' : 'other';
}

type Basic = { readonly kind: Kind; readonly value: string | number | bigint | boolean };

function basicOf(value: TemplateValue): Basic {
  const kind = kindOf(value);
  if (typeof value === 'boolean' || typeof value === 'bigint') return { kind, value };
  if (value instanceof Byte) return { kind: 'int', value: BigInt(value.value) };
  if (value instanceof Float) return { kind, value: value.value };
  return isText(value) ? { kind, value: textOf(value) } : { kind, value: '' };
}

function incompatible(a: TemplateValue, b: TemplateValue): never {
  return fail(`incompatible types for comparison: ${typeOf(a)} and ${typeOf(b)}`);
}

/** Whether the first equals one of the others. */
function equal([first, ...others]: Values): boolean {
  if (others.length === 0) fail('missing argument for comparison');
  return others.some((other) => areEqual(first, other));
}

function areEqual(first: TemplateValue, other: TemplateValue): boolean {
  const a = basicOf(first);
  const b = basicOf(other);
  if (isNothing(first) || isNothing(other)) return isNothing(first) && isNothing(other);
  if (a.kind !== b.kind) return incompatible(first, other);
  if (a.kind === 'other') fail(`non-comparable type ${typeOf(other)}`);
  return a.value === b.value;
}

function less(first: TemplateValue, second: TemplateValue): boolean {
  const a = basicOf(first);
  const b = basicOf(second);
  if (a.kind === 'other' || b.kind === 'other') fail('invalid type for comparison');
  if (a.kind !== b.kind) return incompatible(first, second);
  if (a.kind === 'bool') fail('invalid type for comparison');
  if (typeof a.value === 'string') return compareStrings(a.value, String(b.value)) < 0;
  return a.value < b.value;
}

const lessOrEqual = (a: TemplateValue, b: TemplateValue): boolean => less(a, b) || areEqual(a, b);

/** UTF-8 bytes. */
function lengthOf(value: TemplateValue): number {
  if (isText(value)) return Buffer.byteLength(textOf(value));
  if (isList(value)) return value.length;
  if (isObject(value)) return value.size;
  return fail(`len of type ${typeOf(value)}`);
}

/** An index from zero to `most`, counting both. */
function indexOf(index: TemplateValue, most: number): number {
  const value = index instanceof Byte ? BigInt(index.value) : index;
  if (typeof value !== 'bigint') return fail(`cannot index slice/array with type ${typeOf(index)}`);
  if (value < 0n || value > BigInt(most)) return fail(`index out of range: ${value}`);
  return Number(value);
}

function itemAt([item, ...indexes]: Values): TemplateValue {
  if (isNothing(item)) return fail('index of untyped nil');
  return indexes.reduce((found, index) => memberAt(found, index), item);
}

function memberAt(item: TemplateValue, index: TemplateValue): TemplateValue {
  if (isNothing(item)) return fail('index of nil pointer');
  if (isObject(item)) {
    if (typeof index !== 'string') return fail(`value has type ${typeOf(index)}; should be string`);
    return item.get(index) ?? null;
  }
  if (!isList(item) && !isText(item)) return fail(`can't index item of type ${typeOf(item)}`);
  const length = lengthOf(item);
  const at = indexOf(index, length);
  if (at === length) return fail('index out of range');
  return isList(item) ? item[at] : new Byte(Buffer.from(textOf(item))[at] ?? 0);
}

function sliceOf([item, ...indexes]: Values): TemplateValue {
  if (!isList(item) && !isText(item)) return fail(`can't slice item of type ${typeOf(item)}`);
  if (isText(item) && indexes.length === 3) fail('cannot 3-index slice a string');
  const length = lengthOf(item);
  const [start = 0, end = length, capacity = length] = indexes.map((index) => indexOf(index, length));
  if (start > end || end > capacity) fail('invalid slice index');
  return isList(item) ? item.slice(start, end) : Buffer.from(textOf(item)).toString('utf8', start, end);
}

/** Nothing at all is shown as in a template, not as print has it. */
const escapable = (values: Values): string =>
  printAll(
    values.map((value) => (isNothing(value) ? '<no value>' : value)),
    false,
  );

const HTML: { readonly [character: string]: string } = {
  '\0': '\ufffd',
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
};

const escapeHtml = (text: string): string => text.replace(/[\0"'&<>]/g, (character) => HTML[character] ?? '');

function escapeScript(text: string): string {
  return text.replace(/[\\'"]|[<>&=]|[^\x20-\x7e\p{L}\p{M}\p{N}\p{P}\p{S}]/gu, (character) => {
    if (character === '\\' || character === "'" || character === '"') return `\\${character}`;
    if (character === '\x7f') return character;
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
  });
}

const escapeQuery = (text: string): string =>
  encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');

function formatted([pattern, ...values]: Values): string {
  if (typeof pattern !== 'string') return fail(`wrong type for value; expected string; got ${typeOf(pattern)}`);
  return formatAll(pattern, values);
}

/** The text that a function gives, when it is not too long. */
function bounded(text: string): string {
  checkChars(text.length);
  return text;
}

const compared = (compare: (a: TemplateValue, b: TemplateValue) => boolean): TemplateFunction => ({
  least: 2,
  most: 2,
  run: ([a, b]) => compare(a, b),
});
const escaped = (escapeText: (text: string) => string): TemplateFunction => ({
  least: 0,
  most: ANY,
  run: (values) => bounded(escapeText(escapable(values))),
});

export const templateFunctions: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>([
  ['and', { least: 1, most: ANY, run: () => undefined }],
  ['or', { least: 1, most: ANY, run: () => undefined }],
  ['not', { least: 1, most: 1, run: ([value]) => !isTrue(value) }],
  ['call', { least: 1, most: ANY, run: ([value]) => fail(`non-function of type ${typeOf(value)}`) }],
  ['len', { least: 1, most: 1, run: ([value]) => BigInt(lengthOf(value)) }],
  ['index', { least: 1, most: ANY, run: itemAt }],
  ['slice', { least: 1, most: 4, run: sliceOf }],
  ['html', escaped(escapeHtml)],
  ['js', escaped(escapeScript)],
  ['urlquery', escaped(escapeQuery)],
  ['print', { least: 0, most: ANY, run: (values) => printAll(values, false) }],
  ['println', { least: 0, most: ANY, run: (values) => printAll(values, true) }],
  ['printf', { least: 1, most: ANY, run: formatted }],
  ['eq', { least: 1, most: ANY, run: equal }],
  ['ne', compared((a, b) => !areEqual(a, b))],
  ['lt', compared(less)],
  ['le', compared(lessOrEqual)],
  ['gt', compared((a, b) => !lessOrEqual(a, b))],
  ['ge', compared((a, b) => !less(a, b))],
]);
