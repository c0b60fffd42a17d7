import { BuiltinError } from '../builtin.ts';

/*
 * Go's time.ParseDuration (https://pkg.go.dev/time#ParseDuration), with OPA's days, weeks and years of 365 days.
 */

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['\u00b5s', 1_000n],
  ['\u03bcs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);
const LONG_UNIT_HOURS: ReadonlyMap<string, number> = new Map([
  ['d', 24],
  ['w', 7 * 24],
  ['y', 365 * 24],
]);
/** The magnitude of the least int64; one more than the greatest. */
const LIMIT = 2n ** 63n;
const LIMIT_DIGITS = 19;

const invalid = (): BuiltinError => new BuiltinError('time: invalid duration');

/** Nanoseconds, such as of `1h30m` or `-1.5d`. Throws BuiltinError when it is no duration or does not fit into an int64. */
export function parseDuration(text: string): bigint {
  const plain = /[dwy]/.test(text) ? inHours(text) : text;
  const isNegative = plain.startsWith('-');
  const magnitude = plain.replace(/^[+-]/, '');
  if (magnitude === '0') return 0n;
  if (magnitude === '') throw invalid();
  let total = 0n;
  for (let at = 0; at < magnitude.length; ) {
    const [segment = '', integer = '', fraction = '', unit = ''] = matchAt(SEGMENT, magnitude, at);
    // In 64 bits, as in Go: twice the limit is nothing.
    total = BigInt.asUintN(64, total + segmentOf(integer, fraction, unit));
    if (total > LIMIT) throw invalid();
    at += segment.length;
  }
  if (isNegative) return -total;
  if (total === LIMIT) throw invalid();
  return total;
}

/** A unit goes on to the next digit or point, so that one that does not exist is not cut to one that does. */
const SEGMENT = /(\d*)(?:\.(\d*))?([^\d.]*)/y;
const LONG_SEGMENT = /([\d.]+)(ms|us|\u00b5s|ns|[a-z])/y;

function matchAt(pattern: RegExp, text: string, at: number): readonly string[] {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  if (match === null) throw invalid();
  return match;
}

function segmentOf(integer: string, fraction: string, unitName: string): bigint {
  if (integer === '' && fraction === '') throw invalid();
  const unit = UNITS.get(unitName);
  if (unit === undefined) throw new BuiltinError('time: missing or unknown unit in duration');
  const digits = integer.replace(/^0+/, '');
  if (digits.length > LIMIT_DIGITS) throw invalid();
  const whole = BigInt(digits);
  if (whole > LIMIT / unit) throw invalid();
  const value = whole * unit + fractionOf(fraction, unit);
  if (value > LIMIT) throw invalid();
  return value;
}

/** A fraction of a unit in whole nanoseconds, rounded as Go rounds it: by a double, from no more digits than fit. */
function fractionOf(fraction: string, unit: bigint): bigint {
  let coefficient = 0n;
  let scale = 1;
  for (const digit of fraction) {
    const next = coefficient * 10n + BigInt(digit);
    if (coefficient > (LIMIT - 1n) / 10n || next > LIMIT) break;
    coefficient = next;
    scale *= 10;
  }
  return BigInt(Math.trunc(Number(coefficient) * (Number(unit) / scale)));
}

/** The duration with days, weeks and years as hours. Such durations have a narrower syntax. */
function inHours(text: string): string {
  const [sign = ''] = /^[+-]?/.exec(text) ?? [];
  let result = sign;
  for (let at = sign.length; at < text.length; ) {
    const [segment = '', digits = '', unit = ''] = matchAt(LONG_SEGMENT, text, at);
    const hours = LONG_UNIT_HOURS.get(unit);
    result += hours === undefined ? segment : `${plainText(readDouble(digits) * hours)}h`;
    at += segment.length;
  }
  return result;
}

/** Digits with at most one point. */
function readDouble(digits: string): number {
  const double = /^(?:\d+\.?\d*|\.\d+)$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isFinite(double)) throw invalid();
  return double;
}

/** The shortest text of a double, without an exponent. */
function plainText(double: number): string {
  const [, whole = '', fraction = '', power = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(double)) ?? [];
  const digits = whole + fraction;
  const point = whole.length + Number(power);
  if (point <= 0) return `0.${'0'.repeat(-point)}${digits}`;
  return `${digits.slice(0, point).padEnd(point, '0')}.${digits.slice(point) || '0'}`;
}
