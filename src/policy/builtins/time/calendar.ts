import { BuiltinError } from '../builtin.ts';
import type { Zone } from './zones.ts';

/*
 * The Gregorian calendar, also before it was there, and times of day in a zone, as Go's package time has them.
 */

export type Instant = {
  /** Whole seconds since the epoch, rounded down. */
  readonly seconds: number;
  readonly nanosecond: number;
  readonly zone: Zone;
};

/** An instant as clocks in its zone show it. Months and days count from 1, weekdays from 0 for Sunday. */
export type Fields = {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly yearDay: number;
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** Seconds east of UTC. */
  readonly offset: number;
};

const NS = 1_000_000_000n;
const MS_PER_DAY = 86_400_000;
const SECONDS_PER_DAY = 86_400n;
/** After that many months the calendar repeats. */
const CYCLE_MONTHS = 4_800n;
const CYCLE_DAYS = 146_097n;
/** No instant of int64 nanoseconds is as far from the epoch, in seconds. */
const FAR = 10_000_000_000n;
const MIN_NS = -(2n ** 63n);
const MAX_NS = 2n ** 63n - 1n;

export const isInt64 = (n: bigint): boolean => n >= MIN_NS && n <= MAX_NS;

export function instantOf(ns: bigint, zone: Zone): Instant {
  const nanosecond = ((ns % NS) + NS) % NS;
  return { seconds: Number((ns - nanosecond) / NS), nanosecond: Number(nanosecond), zone };
}

/** Nanoseconds since the epoch. Throws BuiltinError when they do not fit into an int64. */
export function nanosecondsOf(seconds: bigint | number, nanosecond: number): bigint {
  const ns = BigInt(seconds) * NS + BigInt(nanosecond);
  if (!isInt64(ns)) throw new BuiltinError('time outside of valid range');
  return ns;
}

export function fieldsOf({ seconds, zone }: Instant): Fields {
  const offset = zone.offsetAt(seconds);
  const date = new Date((seconds + offset) * 1000);
  const year = date.getUTCFullYear();
  return {
    year,
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    yearDay: Math.floor(date.getTime() / MS_PER_DAY) - daysTo(year, 1, 1) + 1,
    weekday: date.getUTCDay(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    offset,
  };
}

/** Days from the epoch to a date; days beyond the month's last go on into the next. */
export const daysTo = (year: number, month: number, day: number): number =>
  new Date(0).setUTCFullYear(year, month - 1, day) / MS_PER_DAY;

export const daysInMonth = (year: number, month: number): number => daysTo(year, month + 1, 1) - daysTo(year, month, 1);

/**
 * That many years, months and days later at the same time of day, ns since the epoch. Throws BuiltinError when that does not
 * fit into an int64, also where numbers are so large that Go's would wrap around and come back into the range.
 */
export function addDate(instant: Instant, years: bigint, months: bigint, days: bigint): bigint {
  const { year, month, day, hour, minute, second } = fieldsOf(instant);
  const allMonths = (BigInt(year) + years) * 12n + BigInt(month - 1) + months;
  const monthOfCycle = ((allMonths % CYCLE_MONTHS) + CYCLE_MONTHS) % CYCLE_MONTHS;
  const cycles = (allMonths - monthOfCycle) / CYCLE_MONTHS;
  const allDays = cycles * CYCLE_DAYS + BigInt(daysTo(0, Number(monthOfCycle) + 1, day)) + days;
  const local = allDays * SECONDS_PER_DAY + BigInt((hour * 60 + minute) * 60 + second);
  if (local > FAR || local < -FAR) throw new BuiltinError('time outside of valid range');
  return nanosecondsOf(fromLocal(Number(local), instant.zone), instant.nanosecond);
}

/**
 * Seconds since the epoch of a local time, given as if it were UTC. In a gap and in an overlap the offset is the one that is
 * in force when the first guess (the offset at that time of UTC) is taken for true, as in Go's time.Date.
 */
function fromLocal(local: number, zone: Zone): number {
  return local - zone.offsetAt(local - zone.offsetAt(local));
}

/** Years, months, days, hours, minutes and seconds between two instants, by the clocks of the first one's zone. */
export function difference(a: Instant, b: Instant): readonly number[] {
  const inOrder = a.seconds < b.seconds || (a.seconds === b.seconds && a.nanosecond <= b.nanosecond);
  const first = fieldsOf(inOrder ? a : { ...b, zone: a.zone });
  const last = fieldsOf(inOrder ? { ...b, zone: a.zone } : a);
  let year = last.year - first.year;
  let month = last.month - first.month;
  let day = last.day - first.day;
  let hour = last.hour - first.hour;
  let minute = last.minute - first.minute;
  let second = last.second - first.second;
  if (second < 0) [second, minute] = [second + 60, minute - 1];
  if (minute < 0) [minute, hour] = [minute + 60, hour - 1];
  if (hour < 0) [hour, day] = [hour + 24, day - 1];
  if (day < 0) [day, month] = [day + daysInMonth(first.year, first.month), month - 1];
  if (month < 0) [month, year] = [month + 12, year - 1];
  return [year, month, day, hour, minute, second];
}
