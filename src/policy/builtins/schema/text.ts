import { isNumber, type RegoNumber, toDouble, toParts } from '../../../values/number.ts';
import { isArray, RegoObject, RegoSet, type Value } from '../../../values/value.ts';
import { escapeJson } from '../go-json.ts';
import { SchemaError } from './references.ts';

/*
 * How OPA's schema validator (a fork of https://github.com/xeipuuv/gojsonschema) compares and writes values.
 */

/**
 * JSON text whose numbers are doubles: equal text is what `enum`, `const` and `uniqueItems` call equal. Throws
 * SchemaError for a number that no double is near to.
 */
export function doubleText(value: Value): string {
  if (typeof value === 'string') return escapeJson(JSON.stringify(value));
  if (isNumber(value)) return numberText(value);
  if (value instanceof RegoSet) return `[${value.sorted().map(doubleText).join(',')}]`;
  if (value instanceof RegoObject) {
    return `{${value
      .sorted()
      .map(([key, member]) => `${doubleText(key)}:${doubleText(member)}`)
      .join(',')}}`;
  }
  return isArray(value) ? `[${value.map(doubleText).join(',')}]` : String(value);
}

function numberText(value: RegoNumber): string {
  const double = toDouble(value);
  if (!Number.isFinite(double)) {
    throw new SchemaError(`json: cannot unmarshal number ${value} into Go value of type float64`);
  }
  return double === 0 ? '0' : String(double);
}

/** Digits before an exponent is written (Go, big.Float's %v). */
const GENERAL_DIGITS = 6;

/** A limit as messages have it: its shortest text, with an exponent from a million on. */
export function limitText(value: RegoNumber): string {
  const { coefficient, exponent } = toParts(value);
  const digits = (coefficient < 0n ? -coefficient : coefficient).toString();
  const sign = coefficient < 0n ? '-' : '';
  if (coefficient === 0n) return '0';
  const power = digits.length + exponent - 1;
  if (power < -4 || power >= GENERAL_DIGITS) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  }
  if (power < 0) return `${sign}0.${'0'.repeat(-power - 1)}${digits}`;
  const fraction = digits.slice(power + 1);
  return `${sign}${digits.slice(0, power + 1).padEnd(power + 1, '0')}${fraction === '' ? '' : `.${fraction}`}`;
}
