import { align, Decimal, type Parts, partsOf, powerOfTen, reduce } from './decimal.ts';

/*
 * Numbers of Rego are exact decimals. A JavaScript number stands for the decimal that its shortest text spells (0.1 is a
 * tenth); what no such text spells is a Decimal. Each decimal has one of the two forms, never both.
 */

export type RegoNumber = number | Decimal;

export const isNumber = (value: unknown): value is RegoNumber => typeof value === 'number' || value instanceof Decimal;

/** A safe integer or a double with at most this many digits is spelled by its own shortest text. */
const DOUBLE_DIGITS = 15;
/** Doubles with that many digits are exact between these powers of ten; outside the text is compared. */
const SAFE_POWER = 290;

/** The canonical number of `coefficient × 10^exponent`. */
export function number(coefficient: bigint, exponent = 0): RegoNumber {
  const parts = reduce({ coefficient, exponent });
  const text = new Decimal(parts.coefficient, parts.exponent).toString();
  const double = Number(text);
  if (Number.isFinite(double) && (double !== 0 || parts.coefficient === 0n) && sameDecimal(double, parts)) {
    return double === 0 ? 0 : double;
  }
  return new Decimal(parts.coefficient, parts.exponent);
}

function sameDecimal(double: number, parts: Parts): boolean {
  const own = partsOf(String(double));
  if (own === undefined) return false;
  const reduced = reduce(own);
  return reduced.coefficient === parts.coefficient && reduced.exponent === parts.exponent;
}

/** The canonical number that decimal text spells. Undefined when it is not a number or has too many digits. */
export function numberFromText(text: string): RegoNumber | undefined {
  if (text.length <= DOUBLE_DIGITS && !text.includes('e') && !text.includes('E')) {
    const double = Number(text);
    // `Number` takes more than numbers are: blanks, hexadecimal, nothing at all.
    if (isPlain(text)) return double === 0 ? 0 : double;
  }
  const parts = partsOf(text);
  return parts === undefined ? undefined : number(parts.coefficient, parts.exponent);
}

function isPlain(text: string): boolean {
  let digits = 0;
  let points = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x30 && c <= 0x39) digits++;
    else if (c === 0x2e && digits > 0 && points === 0) points++;
    else if (!(c === 0x2d && i === 0)) return false;
  }
  return digits > 0;
}

/** A number's two parts in lowest terms. NaN and infinities are no values and have none: throws RangeError. */
export function toParts(value: RegoNumber): Parts {
  if (value instanceof Decimal) return value;
  const parts = partsOf(String(value));
  if (parts === undefined) throw new RangeError(`${value} is not a number`);
  return reduce(parts);
}

/** How JSON and Rego spell it; integers below 10^21 without an exponent. */
export const numberText = (value: RegoNumber): string => (value === 0 ? '0' : String(value));

export function compareNumbers(a: RegoNumber, b: RegoNumber): number {
  if (typeof a === 'number' && typeof b === 'number') return a < b ? -1 : a > b ? 1 : 0;
  const x = toParts(a);
  const y = toParts(b);
  const signs = sign(x.coefficient) - sign(y.coefficient);
  if (signs !== 0) return signs < 0 ? -1 : 1;
  const magnitudes = magnitude(x) - magnitude(y);
  // Magnitudes first: ten is never raised to a power that only the text of a number gives.
  if (magnitudes !== 0) return magnitudes < 0 === sign(x.coefficient) > 0 ? -1 : 1;
  const same = align(x, y);
  return same.a < same.b ? -1 : same.a > same.b ? 1 : 0;
}

const sign = (n: bigint): number => (n < 0n ? -1 : n > 0n ? 1 : 0);
const magnitude = ({ coefficient, exponent }: Parts): number => digitsOf(coefficient) + exponent;
const digitsOf = (n: bigint): number => (n < 0n ? -n : n).toString().length;

/** The integer it is. Undefined for fractions. Throws NumberRangeError when it has too many digits. */
export function toBigInt(value: RegoNumber): bigint | undefined {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  const { coefficient, exponent } = toParts(value);
  return exponent < 0 ? undefined : coefficient * powerOfTen(exponent);
}

/** The integer it is, when a double holds it exactly (at most 2^53 − 1). */
export function toSafeInteger(value: RegoNumber): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}

/** The nearest double; infinite when it is too large for one. */
export const toDouble = (value: RegoNumber): number => (typeof value === 'number' ? value : Number(value.toString()));

/** The decimal that a double's shortest text spells. Throws RangeError for NaN and infinities. */
export function fromDouble(double: number): RegoNumber {
  if (!Number.isFinite(double)) throw new RangeError(`${double} is not a number`);
  if (Math.abs(double) < 10 ** SAFE_POWER) return double === 0 ? 0 : double;
  const parts = toParts(double);
  return number(parts.coefficient, parts.exponent);
}
