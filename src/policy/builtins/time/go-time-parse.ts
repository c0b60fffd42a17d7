import { BuiltinError } from '../builtin.ts';
import { daysInMonth, daysTo, nanosecondsOf } from './calendar.ts';
import { fractionDigits, isFraction, MONTHS, readLayout, WEEKDAYS } from './go-time-layout.ts';
import { localZone } from './zones.ts';

/*
 * Go's time.Parse. https://pkg.go.dev/time#Parse
 */

/** What was read so far. Months and days count from 1; undefined where nothing was read. */
type Parsed = {
  year: number;
  month: number | undefined;
  day: number | undefined;
  yearDay: number | undefined;
  hour: number;
  minute: number;
  second: number;
  nanosecond: number;
  isMorning: boolean;
  isAfternoon: boolean;
  isUtc: boolean;
  /** Seconds east of UTC. */
  offset: number | undefined;
  abbreviation: string;
};

/** Reads an element at a position and gives the position after it. Throws BuiltinError. */
type Reader = (text: string, at: number, parsed: Parsed) => number;

const NANO_DIGITS = 9;
const SECONDS_PER_DAY = 86_400;
/** Two-digit years from here on are of the 20th century. */
const FIRST_OF_1900S = 69;
const MAX_ZONE_HOUR = 24;
/** Of hours, minutes and seconds in an abbreviation such as GMT-3. */
const MAX_NAMED_HOUR = 23;

const cannotParse = (name: string): BuiltinError => new BuiltinError(`parsing time: cannot parse as "${name}"`);
const outOfRange = (what: string): BuiltinError => new BuiltinError(`parsing time: ${what} out of range`);

const isDigit = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at);
  return code >= 0x30 && code <= 0x39;
};

/** The position after a run of digits, at most `most`. */
function digitsEnd(text: string, at: number, most = Number.POSITIVE_INFINITY): number {
  let end = at;
  while (end - at < most && isDigit(text, end)) end++;
  return end;
}

const isSeparator = (text: string, at: number): boolean => text[at] === '.' || text[at] === ',';

type NumberField = 'month' | 'day' | 'yearDay' | 'hour' | 'minute' | 'second';

type NumberRule = {
  readonly field: NumberField;
  readonly name: string;
  readonly least?: number;
  readonly digits: number;
  readonly range?: readonly [first: number, last: number];
  /** Blanks that may stand for digits. */
  readonly blanks?: number;
};

function numberReader({ field, name, least = 1, digits, range, blanks = 0 }: NumberRule): Reader {
  return (text, at, parsed) => {
    let from = at;
    while (from - at < blanks && text[from] === ' ') from++;
    const end = digitsEnd(text, from, digits);
    if (end - from < least) throw cannotParse(name);
    const value = Number(text.slice(from, end));
    if (range !== undefined && (value < range[0] || value > range[1])) throw outOfRange(field);
    parsed[field] = value;
    return end;
  };
}

function wordReader(words: readonly string[], name: string, keep: (parsed: Parsed, index: number) => void): Reader {
  return (text, at, parsed) => {
    const index = words.findIndex((word) => text.slice(at, at + word.length).toLowerCase() === word.toLowerCase());
    if (index < 0) throw cannotParse(name);
    keep(parsed, index);
    return at + (words[index]?.length ?? 0);
  };
}

const short = (words: readonly string[]): readonly string[] => words.map((word) => word.slice(0, 3));
const keepMonth = (parsed: Parsed, index: number): void => {
  parsed.month = index + 1;
};
const keepNothing = (): void => {};

/** An integer with a sign or none; no digits at all are zero, in Go. */
function integer(text: string, name: string): number {
  if (!/^[+-]?\d*$/.test(text)) throw cannotParse(name);
  return Number(/\d/.test(text) ? text : 0);
}

const longYear: Reader = (text, at, parsed) => {
  if (digitsEnd(text, at, 4) - at < 4) throw cannotParse('2006');
  parsed.year = Number(text.slice(at, at + 4));
  return at + 4;
};

const shortYear: Reader = (text, at, parsed) => {
  if (at + 2 > text.length) throw cannotParse('06');
  const year = integer(text.slice(at, at + 2), '06');
  parsed.year = year + (year >= FIRST_OF_1900S ? 1900 : 2000);
  return at + 2;
};

function halfReader(am: string, pm: string): Reader {
  return (text, at, parsed) => {
    const word = text.slice(at, at + 2);
    if (word !== am && word !== pm) throw cannotParse(pm);
    // A layout may have it twice, so that both are true.
    if (word === pm) parsed.isAfternoon = true;
    else parsed.isMorning = true;
    return at + 2;
  };
}

const OFFSETS: ReadonlyMap<string, RegExp> = new Map([
  ['07', /([+-])(\d\d)/y],
  ['0700', /([+-])(\d\d)(\d\d)/y],
  ['07:00', /([+-])(\d\d):(\d\d)/y],
  ['070000', /([+-])(\d\d)(\d\d)(\d\d)/y],
  ['07:00:00', /([+-])(\d\d):(\d\d):(\d\d)/y],
]);

function readOffset(name: string, text: string, at: number, parsed: Parsed): number {
  if (name.startsWith('Z') && text[at] === 'Z') {
    parsed.isUtc = true;
    return at + 1;
  }
  const [matched, sign, ...parts] = matchAt(OFFSETS.get(name.slice(1)), text, at) ?? [];
  if (matched === undefined) throw cannotParse(name);
  const [hours = 0, minutes = 0, seconds = 0] = parts.map(Number);
  if (hours > MAX_ZONE_HOUR || minutes > 60 || seconds > 60) throw outOfRange('time zone offset');
  const offset = (hours * 60 + minutes) * 60 + seconds;
  // One second west of UTC is what Go takes for no offset.
  parsed.offset = sign === '-' ? (offset === 1 ? undefined : -offset) : offset;
  return at + matched.length;
}

function matchAt(pattern: RegExp | undefined, text: string, at: number): readonly string[] | null {
  if (pattern === undefined) return null;
  pattern.lastIndex = at;
  return pattern.exec(text);
}

const readAbbreviation: Reader = (text, at, parsed) => {
  if (text.startsWith('UTC', at)) {
    parsed.isUtc = true;
    return at + 3;
  }
  const end = abbreviationEnd(text, at);
  if (end === at) throw cannotParse('MST');
  parsed.abbreviation = text.slice(at, end);
  return end;
};

/** Where an abbreviation ends that begins at `at`; `at` when none does. */
function abbreviationEnd(text: string, at: number): number {
  if (text.length - at < 3) return at;
  if (text.startsWith('ChST', at) || text.startsWith('MeST', at)) return at + 4;
  if (text.startsWith('GMT', at)) return signedHourEnd(text, at + 3);
  if (text[at] === '+' || text[at] === '-') return signedHourEnd(text, at);
  const [letters = ''] = matchAt(/[A-Z]{3,6}/y, text, at) ?? [];
  const isGood =
    letters.length === 3 ||
    (letters.length === 4 && (letters.endsWith('T') || letters === 'WITA')) ||
    (letters.length === 5 && letters.endsWith('T'));
  return isGood ? at + letters.length : at;
}

function signedHourEnd(text: string, at: number): number {
  if (text[at] !== '+' && text[at] !== '-') return at;
  const end = digitsEnd(text, at + 1);
  return end === at + 1 || Number(text.slice(at + 1, end)) > MAX_NAMED_HOUR ? at : end;
}

/** A separator and digits up to `end`; what is beyond nanoseconds is not looked at. */
function readNanoseconds(text: string, at: number, end: number, name: string): number {
  if (!isSeparator(text, at) || end > text.length) throw cannotParse(name);
  const digits = text.slice(at + 1, Math.min(end, at + 1 + NANO_DIGITS));
  const value = integer(digits, name) * 10 ** (NANO_DIGITS - digits.length);
  if (value < 0) throw outOfRange('fractional second');
  return value;
}

function readFraction(name: string, text: string, at: number, parsed: Parsed): number {
  if (name[1] === '9' && !(isSeparator(text, at) && isDigit(text, at + 1))) return at;
  const end = name[1] === '9' ? digitsEnd(text, at + 1) : at + 1 + fractionDigits(name);
  parsed.nanosecond = readNanoseconds(text, at, end, name);
  return end;
}

const month = { field: 'month', digits: 2, range: [1, 12] } as const;
const day = { field: 'day', digits: 2 } as const;
const yearDay = { field: 'yearDay', digits: 3 } as const;
const hour12 = { field: 'hour', digits: 2, range: [0, 12] } as const;
const minute = { field: 'minute', digits: 2, range: [0, 59] } as const;
const second = { field: 'second', digits: 2, range: [0, 59] } as const;

const readers: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['2006', longYear],
  ['06', shortYear],
  ['January', wordReader(MONTHS, 'January', keepMonth)],
  ['Jan', wordReader(short(MONTHS), 'Jan', keepMonth)],
  ['1', numberReader({ ...month, name: '1' })],
  ['01', numberReader({ ...month, name: '01', least: 2 })],
  ['Monday', wordReader(WEEKDAYS, 'Monday', keepNothing)],
  ['Mon', wordReader(short(WEEKDAYS), 'Mon', keepNothing)],
  ['2', numberReader({ ...day, name: '2' })],
  ['_2', numberReader({ ...day, name: '_2', blanks: 1 })],
  ['02', numberReader({ ...day, name: '02', least: 2 })],
  ['__2', numberReader({ ...yearDay, name: '__2', blanks: 2 })],
  ['002', numberReader({ ...yearDay, name: '002', least: 3 })],
  ['15', numberReader({ field: 'hour', name: '15', digits: 2, range: [0, 23] })],
  ['3', numberReader({ ...hour12, name: '3' })],
  ['03', numberReader({ ...hour12, name: '03', least: 2 })],
  ['4', numberReader({ ...minute, name: '4' })],
  ['04', numberReader({ ...minute, name: '04', least: 2 })],
  ['5', numberReader({ ...second, name: '5' })],
  ['05', numberReader({ ...second, name: '05', least: 2 })],
  ['PM', halfReader('AM', 'PM')],
  ['pm', halfReader('am', 'pm')],
  ['MST', readAbbreviation],
]);

/**
 * Nanoseconds since the epoch of text in a layout, or in one of those that have a name. Throws BuiltinError when the text
 * is not in that layout or the time does not fit into an int64, HaltError when the layout is too long.
 */
export function parseTime(layoutText: string, text: string): bigint {
  const { elements, after } = readLayout(layoutText);
  const parsed: Parsed = {
    year: 0,
    month: undefined,
    day: undefined,
    yearDay: undefined,
    hour: 0,
    minute: 0,
    second: 0,
    nanosecond: 0,
    isMorning: false,
    isAfternoon: false,
    isUtc: false,
    offset: undefined,
    abbreviation: '',
  };
  let at = 0;
  for (const [i, { before, name }] of elements.entries()) {
    at = skip(text, at, before);
    at = readElement(name, text, at, parsed);
    const isSecond = name === '5' || name === '05';
    if (isSecond && !isFraction(elements[i + 1]?.name ?? '')) at = readFraction('.9', text, at, parsed);
  }
  if (skip(text, at, after) < text.length) throw new BuiltinError('parsing time: extra text');
  return nanosecondsOf(secondsOf(parsed), parsed.nanosecond);
}

function readElement(name: string, text: string, at: number, parsed: Parsed): number {
  if (isFraction(name)) return readFraction(name, text, at, parsed);
  return readers.get(name)?.(text, at, parsed) ?? readOffset(name, text, at, parsed);
}

/** The position after a layout's literal text; a run of blanks there stands for any run of them, at the end for none. */
function skip(text: string, from: number, literal: string): number {
  let at = from;
  for (let i = 0; i < literal.length; i++) {
    const isBlank = literal[i] === ' ';
    if (isBlank ? at < text.length && text[at] !== ' ' : text[at] !== literal[i]) throw cannotParse(literal);
    if (!isBlank) {
      at++;
      continue;
    }
    while (literal[i + 1] === ' ') i++;
    while (text[at] === ' ') at++;
  }
  return at;
}

/** Seconds since the epoch. */
function secondsOf(parsed: Parsed): number {
  const { minute: minutes, second: seconds, abbreviation, offset } = parsed;
  const days = daysOf(parsed);
  const local = days * SECONDS_PER_DAY + (hourOf(parsed) * 60 + minutes) * 60 + seconds;
  if (parsed.isUtc) return local;
  if (offset !== undefined) return local - offset;
  if (abbreviation === '') return local;
  // An abbreviation that the process's own zone does not have counts as UTC, in Go, even GMT+3.
  return local - (localZone().offsetOf(abbreviation, local) ?? 0);
}

function hourOf({ hour, isMorning, isAfternoon }: Parsed): number {
  if (isAfternoon && hour < 12) return hour + 12;
  return isMorning && hour === 12 ? 0 : hour;
}

function daysOf(parsed: Parsed): number {
  const { year } = parsed;
  if (parsed.yearDay !== undefined) return daysOfYearDay(parsed, parsed.yearDay);
  const { month: monthOfYear = 1, day: dayOfMonth = 1 } = parsed;
  if (dayOfMonth < 1 || dayOfMonth > daysInMonth(year, monthOfYear)) throw outOfRange('day');
  return daysTo(year, monthOfYear, dayOfMonth);
}

/** A day of the year, which a month and a day must agree with. */
function daysOfYearDay({ year, month: wantedMonth, day: wantedDay }: Parsed, dayOfYear: number): number {
  const days = daysTo(year, 1, dayOfYear);
  if (dayOfYear < 1 || days >= daysTo(year + 1, 1, 1)) throw outOfRange('day-of-year');
  const date = new Date(days * SECONDS_PER_DAY * 1000);
  if (wantedMonth !== undefined && wantedMonth !== date.getUTCMonth() + 1) {
    throw new BuiltinError('parsing time: day-of-year does not match month');
  }
  if (wantedDay !== undefined && wantedDay !== date.getUTCDate()) {
    throw new BuiltinError('parsing time: day-of-year does not match day');
  }
  return days;
}
