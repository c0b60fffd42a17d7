/**
 * An exact decimal number, `coefficient × 10^exponent`, for those numbers that a double's shortest text does not spell.
 * The coefficient ends in no zero, so that equal numbers have equal fields.
 */
export class Decimal {
  readonly coefficient: bigint;
  readonly exponent: number;
  /** Use `number` of values/number.ts; it gives a double wherever a double is exact. */
  constructor(coefficient: bigint, exponent: number) {
    this.coefficient = coefficient;
    this.exponent = exponent;
  }
  toString(): string {
    return spell(this.coefficient, this.exponent);
  }
  /** The nearest double, as JSON has no other reader for it; the digits are in `toString`. */
  toJSON(): number {
    return Number(this.toString());
  }
}

/**
 * A number that remembers how it was written, such as `1.0`; for the few built-ins that show it. Two of one value are
 * unequal as members and keys when they are written differently.
 */
export class SpelledNumber extends Decimal {
  readonly spelling: string;
  constructor(parts: Parts, spelling: string) {
    super(parts.coefficient, parts.exponent);
    this.spelling = spelling;
  }
  override toString(): string {
    return this.spelling;
  }
}

/** The most digits that an operation may raise a number to; 10^exponent is never computed beyond it. */
export const MAX_DIGITS = 20_000;
/** Integers are spelled without an exponent up to this many digits. */
const PLAIN_DIGITS = 400;

/** A number cannot be worked with: too many digits. */
export class NumberRangeError extends Error {
  override readonly name = 'NumberRangeError';
}

/** A finite decimal as its two parts, not necessarily in lowest terms. */
export type Parts = { readonly coefficient: bigint; readonly exponent: number };

const NUMBER = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/** Reads decimal text such as `-12.5e3`. Undefined for anything else, or when there are too many digits. */
export function partsOf(text: string): Parts | undefined {
  const match = NUMBER.exec(text);
  if (match === null) return undefined;
  const [, sign = '', integer = '', fraction = '', power = '0'] = match;
  const exponent = Number(power) - fraction.length;
  if (integer.length + fraction.length > MAX_DIGITS || !Number.isSafeInteger(exponent)) return undefined;
  const magnitude = BigInt(integer + fraction);
  return { coefficient: sign === '-' ? -magnitude : magnitude, exponent };
}

/** Lowest terms: no zero at the coefficient's end. */
export function reduce({ coefficient, exponent }: Parts): Parts {
  if (coefficient === 0n) return { coefficient: 0n, exponent: 0 };
  const digits = coefficient.toString();
  let zeros = 0;
  while (digits.charCodeAt(digits.length - 1 - zeros) === 0x30) zeros++;
  if (zeros === 0) return { coefficient, exponent };
  return { coefficient: BigInt(digits.slice(0, digits.length - zeros)), exponent: exponent + zeros };
}

/** `10^power`, refused beyond MAX_DIGITS. Throws NumberRangeError. */
export function powerOfTen(power: number): bigint {
  if (power > MAX_DIGITS) throw new NumberRangeError(`more than ${MAX_DIGITS} digits`);
  return 10n ** BigInt(power);
}

/** Both numbers over one exponent. Throws NumberRangeError. */
export function align(a: Parts, b: Parts): { readonly a: bigint; readonly b: bigint; readonly exponent: number } {
  const exponent = Math.min(a.exponent, b.exponent);
  return {
    a: a.coefficient * powerOfTen(a.exponent - exponent),
    b: b.coefficient * powerOfTen(b.exponent - exponent),
    exponent,
  };
}

function spell(coefficient: bigint, exponent: number): string {
  const negative = coefficient < 0n;
  const digits = (negative ? -coefficient : coefficient).toString();
  return (negative ? '-' : '') + spellMagnitude(digits, exponent);
}

function spellMagnitude(digits: string, exponent: number): string {
  if (exponent >= 0 && digits.length + exponent <= PLAIN_DIGITS) return digits + '0'.repeat(exponent);
  const point = digits.length + exponent;
  if (exponent < 0 && point > 0) return `${digits.slice(0, point)}.${digits.slice(point)}`;
  if (exponent < 0 && point > -7) return `0.${'0'.repeat(-point)}${digits}`;
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
  const power = point - 1;
  return `${digits[0]}${fraction}e${power < 0 ? '-' : '+'}${Math.abs(power)}`;
}
