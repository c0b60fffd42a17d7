import { compareNumbers, isNumber, number, toBigInt } from '../../values/number.ts';
import { isArray, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError } from './builtin.ts';
import { integerAt, numberAt, stringAt, wrongType } from './operands.ts';
import { addDate, difference, fieldsOf, type Instant, instantOf, isInt64 } from './time/calendar.ts';
import { parseDuration } from './time/duration.ts';
import { formatTime } from './time/go-time-format.ts';
import { RFC3339, RFC3339_NANO, WEEKDAYS } from './time/go-time-layout.ts';
import { parseTime } from './time/go-time-parse.ts';
import { loadZone, utc } from './time/zones.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/time
 */

const EXPECTED = 'either number (ns) or [number (ns), string (tz)]';
/** Compared with before a number is made an integer, so that none of a million digits is ever made. */
const BOUND = 2 ** 64;

/** Nanoseconds, [nanoseconds, zone] or [nanoseconds, zone, layout]. */
type Stamp = { readonly instant: Instant; readonly layout: string };

/** Throws BuiltinError for other types, unknown zones and what does not fit into an int64. */
function stampOf(value: Value = null): Stamp {
  if (!isArray(value)) return { instant: instantOf(int64Of(value), utc), layout: '' };
  if (value.length === 0) throw wrongType(1, EXPECTED, value);
  const [ns = null, zoneName = '', layout = ''] = value;
  const time = numberAt(1, ns);
  const zone = loadZone(stringAt(1, zoneName));
  if (zone === undefined) throw new BuiltinError(`unknown time zone ${String(zoneName).slice(0, 100)}`);
  return { instant: instantOf(int64Of(time), zone), layout: stringAt(1, layout) };
}

/** Throws BuiltinError for what is no number and no int64. */
function int64Of(value: Value): bigint {
  if (!isNumber(value)) throw wrongType(1, EXPECTED, value);
  const isFar = compareNumbers(value, BOUND) > 0 || compareNumbers(value, -BOUND) < 0;
  const ns = isFar ? undefined : toBigInt(value);
  if (ns === undefined || !isInt64(ns)) throw new BuiltinError('timestamp too big');
  return ns;
}

/** An integer of time.add_date. Throws BuiltinError for others and for what does not fit into an int64. */
function countAt(position: number, value: Value | undefined): bigint {
  const count = integerAt(position, value);
  if (!isInt64(count)) throw new BuiltinError(`operand ${position} must be a smaller integer`, 'eval_type_error');
  return count;
}

export const timeBuiltins: readonly Builtin[] = [
  { name: 'time.now_ns', arity: 0, run: (ctx) => number(ctx.nowNs) },
  {
    name: 'time.add_date',
    arity: 4,
    run: (_ctx, time, years, months, days) =>
      number(addDate(stampOf(time).instant, countAt(2, years), countAt(3, months), countAt(4, days))),
  },
  {
    name: 'time.clock',
    arity: 1,
    run: (_ctx, time) => {
      const { hour, minute, second } = fieldsOf(stampOf(time).instant);
      return [hour, minute, second];
    },
  },
  {
    name: 'time.date',
    arity: 1,
    run: (_ctx, time) => {
      const { year, month, day } = fieldsOf(stampOf(time).instant);
      return [year, month, day];
    },
  },
  { name: 'time.diff', arity: 2, run: (_ctx, a, b) => difference(stampOf(a).instant, stampOf(b).instant) },
  {
    name: 'time.format',
    arity: 1,
    run: (_ctx, time) => {
      const { instant, layout } = stampOf(time);
      return formatTime(instant, layout === '' ? RFC3339_NANO : layout);
    },
  },
  { name: 'time.parse_duration_ns', arity: 1, run: (_ctx, text) => number(parseDuration(stringAt(1, text))) },
  {
    name: 'time.parse_ns',
    arity: 2,
    run: (_ctx, layout, text) => number(parseTime(stringAt(1, layout), stringAt(2, text))),
  },
  { name: 'time.parse_rfc3339_ns', arity: 1, run: (_ctx, text) => number(parseTime(RFC3339, stringAt(1, text))) },
  { name: 'time.weekday', arity: 1, run: (_ctx, time) => WEEKDAYS[fieldsOf(stampOf(time).instant).weekday] },
];
