import { powerOfTen } from '../../values/decimal.ts';
import { number, type RegoNumber, toParts } from '../../values/number.ts';
import type { Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError, checkMembers, MAX_RESULT_MEMBERS } from './builtin.ts';
import { integerAt, numberAt, stringAt } from './operands.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/numbers
 */

/** Whether a double holds it and all that is nearer to zero. */
const isSafe = (integer: bigint): boolean => Number.isSafeInteger(Number(integer));

/** Integers from `from` to `to`, both included, up or down. */
function range(from: bigint, to: bigint, step: bigint): readonly Value[] {
  if (step <= 0n) throw new BuiltinError('numbers.range_step: step must be a positive integer');
  const distance = to >= from ? to - from : from - to;
  const steps = distance / step;
  checkMembers(steps > BigInt(MAX_RESULT_MEMBERS) ? Number.POSITIVE_INFINITY : Number(steps) + 1);
  const towards = to >= from ? step : -step;
  if (isSafe(from) && isSafe(to)) {
    const [start, stride] = [Number(from), Number(towards)];
    return Array.from({ length: Number(steps) + 1 }, (_, i) => start + i * stride);
  }
  return Array.from({ length: Number(steps) + 1 }, (_, i) => number(from + BigInt(i) * towards));
}

const RANDOM_BYTES = 16;

/** An integer in [0, n), the same for the same key and n within one evaluation. */
function randomInteger(ctx: BuiltinContext, key: string, n: bigint): Value {
  const bound = n < 0n ? -n : n;
  if (bound === 0n) return 0;
  const memoKey = `rand.intn:${bound}:${key}`;
  const known = ctx.memo.get(memoKey);
  if (known !== undefined) return known;
  // With 64 bits more than it needs the remainder's bias is beyond notice.
  const random = BigInt(`0x${Buffer.from(ctx.random(RANDOM_BYTES)).toString('hex')}`) % bound;
  const value = number(random);
  ctx.memo.set(memoKey, value);
  return value;
}

/** An integer's digits; of a fraction, those before the point. */
function formatInteger(value: RegoNumber, base: Value): string {
  if (base !== 2 && base !== 8 && base !== 10 && base !== 16) {
    throw new BuiltinError('operand 2 must be one of {2, 8, 10, 16}', 'eval_type_error');
  }
  const { coefficient, exponent } = toParts(value);
  const integer = exponent < 0 ? coefficient / powerOfTen(-exponent) : coefficient * powerOfTen(exponent);
  return integer.toString(base);
}

export const numbersBuiltins: readonly Builtin[] = [
  { name: 'format_int', arity: 2, run: (_ctx, value, base = null) => formatInteger(numberAt(1, value), base) },
  {
    name: 'numbers.range_step',
    arity: 3,
    run: (_ctx, from, to, step) => range(integerAt(1, from), integerAt(2, to), integerAt(3, step)),
  },
  { name: 'rand.intn', arity: 2, run: (ctx, key, n) => randomInteger(ctx, stringAt(1, key), integerAt(2, n)) },
];
