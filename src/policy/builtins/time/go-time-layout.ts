import { HaltError } from '../builtin.ts';

/*
 * Layouts of Go's package time: text with parts of the reference time, 01/02 03:04:05PM '06 -0700.
 * https://pkg.go.dev/time#pkg-constants
 */

/** One part of a layout, with the text before it. A fraction is a separator with its zeros or nines. */
export type LayoutElement = { readonly before: string; readonly name: string };

export type Layout = { readonly elements: readonly LayoutElement[]; readonly after: string };

const MAX_LAYOUT_CHARS = 65_536;

export const RFC3339 = '2006-01-02T15:04:05Z07:00';
export const RFC3339_NANO = '2006-01-02T15:04:05.999999999Z07:00';

/** Layouts that OPA takes by their Go name. */
const NAMED: ReadonlyMap<string, string> = new Map([
  ['ANSIC', 'Mon Jan _2 15:04:05 2006'],
  ['UnixDate', 'Mon Jan _2 15:04:05 MST 2006'],
  ['RubyDate', 'Mon Jan 02 15:04:05 -0700 2006'],
  ['RFC822', '02 Jan 06 15:04 MST'],
  ['RFC822Z', '02 Jan 06 15:04 -0700'],
  ['RFC850', 'Monday, 02-Jan-06 15:04:05 MST'],
  ['RFC1123', 'Mon, 02 Jan 2006 15:04:05 MST'],
  ['RFC1123Z', 'Mon, 02 Jan 2006 15:04:05 -0700'],
  ['RFC3339', RFC3339],
  ['RFC3339Nano', RFC3339_NANO],
]);

const ELEMENT = new RegExp(
  [
    'January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST',
    '0[1-6]|002|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm',
    '[-Z](?:070000|07:00:00|0700|07:00|07)',
    '[.,](?:0+|9+)(?!\\d)',
  ].join('|'),
  'g',
);

export const isFraction = (name: string): boolean => name.startsWith('.') || name.startsWith(',');

/** Digits of a fraction; Go keeps 12 bits of their count. */
export const fractionDigits = (name: string): number => (name.length - 1) & 0xfff;

/** Reads a layout, or one of those that have a name. Throws HaltError when it is too long. */
export function readLayout(text: string): Layout {
  const layout = NAMED.get(text) ?? text;
  if (layout.length > MAX_LAYOUT_CHARS) throw new HaltError('eval_limit_error', 'the layout is too long');
  const elements: LayoutElement[] = [];
  let end = 0;
  for (const { 0: name, index } of layout.matchAll(ELEMENT)) {
    elements.push({ before: layout.slice(end, index), name });
    end = index + name.length;
  }
  return { elements, after: layout.slice(end) };
}

export const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;

export const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;
