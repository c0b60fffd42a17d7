import { type Parts, partsOf, powerOfTen } from '../../values/decimal.ts';
import { number } from '../../values/number.ts';
import type { Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { stringAt } from './operands.ts';

/*
 * Amounts with units, such as `10Gi` or `1.5kb`. https://www.openpolicyagent.org/docs/policy-reference/builtins/units
 */

const MAX_EXPONENT_DIGITS = 6;
/** Decimals of a result that is no integer. */
const DECIMALS = 10;

const powers = (base: bigint, names: readonly (readonly string[])[]): readonly (readonly [string, bigint])[] =>
  names.flatMap((spellings, i) => spellings.map((spelling) => [spelling, base ** BigInt(i + 1)] as const));

const byteUnits = new Map([
  ['', 1n],
  ...powers(1000n, [
    ['kb', 'k'],
    ['mb', 'm'],
    ['gb', 'g'],
    ['tb', 't'],
    ['pb', 'p'],
    ['eb', 'e'],
  ]),
  ...powers(1024n, [
    ['kib', 'ki'],
    ['mib', 'mi'],
    ['gib', 'gi'],
    ['tib', 'ti'],
    ['pib', 'pi'],
    ['eib', 'ei'],
  ]),
]);

const siUnits = new Map([
  ['', 1n],
  ...powers(1000n, [['k', 'K'], ['M'], ['g', 'G'], ['t', 'T'], ['p', 'P'], ['e', 'E']]),
  ...powers(1024n, [
    ['ki', 'Ki'],
    ['mi', 'Mi'],
    ['gi', 'Gi'],
    ['ti', 'Ti'],
    ['pi', 'Pi'],
    ['ei', 'Ei'],
  ]),
]);

/** Where the amount ends: at the first character that is part of no number. An `e` counts when an exponent follows it. */
function split(text: string): readonly [amount: string, unit: string] {
  const [amount = ''] = /^(?:[\d.+-]|[eE](?=[\d+-])[+-]?)*/.exec(text) ?? [];
  for (const [, exponent = ''] of amount.matchAll(/[eE][+-]?(\d*)/g)) {
    if (exponent.length > MAX_EXPONENT_DIGITS) throw new BuiltinError('exponent too large');
  }
  return [amount, text.slice(amount.length)];
}

function read(text: string, units: ReadonlyMap<string, bigint>, caseOf: (unit: string) => string): Parts {
  if (text.includes(' ')) throw new BuiltinError('spaces not allowed in resource strings');
  const [amount, spelling] = split(text);
  if (amount === '') throw new BuiltinError('no amount provided');
  const unit = caseOf(spelling);
  const isMilli = unit === 'm' && units === siUnits;
  const factor = isMilli ? 1n : units.get(unit);
  if (factor === undefined) throw new BuiltinError(`unit ${unit} not recognized`);
  const match = /^([+-]?)(?:(\d+)(\.\d*)?|(\.\d+))([eE][+-]?\d+)?$/.exec(amount);
  const [, sign = '', integer = '0', fraction, onlyFraction, exponent = ''] = match ?? [];
  const canonical = `${sign === '-' ? '-' : ''}${integer}${fraction ?? onlyFraction ?? ''}${exponent}`;
  const parts = match === null ? undefined : partsOf(canonical);
  if (parts === undefined) throw new BuiltinError('could not parse amount to a number');
  return { coefficient: parts.coefficient * factor, exponent: parts.exponent - (isMilli ? 3 : 0) };
}

function parseUnits(text: string): Value {
  const parts = read(text.replaceAll('"', ''), siUnits, (unit) => unit.slice(0, 1) + unit.slice(1).toLowerCase());
  powerOfTen(Math.abs(parts.exponent));
  if (parts.exponent >= -DECIMALS) return number(parts.coefficient, parts.exponent);
  const divisor = powerOfTen(-parts.exponent - DECIMALS);
  const half = parts.coefficient < 0n ? -divisor / 2n : divisor / 2n;
  return number((parts.coefficient + half) / divisor, -DECIMALS);
}

function parseBytes(text: string): Value {
  const parts = read(text.toLowerCase().replaceAll('"', ''), byteUnits, (unit) => unit);
  if (parts.exponent >= 0) return number(parts.coefficient * powerOfTen(parts.exponent));
  return number(parts.coefficient / powerOfTen(-parts.exponent));
}

export const unitsBuiltins: readonly Builtin[] = [
  { name: 'units.parse', arity: 1, run: (_ctx, text) => parseUnits(stringAt(1, text)) },
  { name: 'units.parse_bytes', arity: 1, run: (_ctx, text) => parseBytes(stringAt(1, text)) },
];
