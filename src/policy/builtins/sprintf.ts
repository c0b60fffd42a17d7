import { dump } from '../../values/dump.ts';
import { isNumber, numberText, toDouble } from '../../values/number.ts';
import { isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import type { Builtin } from './builtin.ts';
import { type GoValue, quote, sprintf } from './go-format.ts';
import { arrayAt, stringAt } from './operands.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/strings
 */

const MAX_INT = 2n ** 63n - 1n;

function toGo(value: Value): GoValue {
  if (typeof value === 'string') return { type: 'string', value };
  if (!isNumber(value)) return { type: 'string', value: termText(value) };
  // A number with a point or an exponent is a float, whatever its value.
  const text = numberText(value);
  if (/[.eE]/.test(text)) {
    const double = toDouble(value);
    return Number.isFinite(double) ? { type: 'float64', value: double } : { type: 'string', value: text };
  }
  const integer = BigInt(text);
  const isSmall = integer <= MAX_INT && integer >= -MAX_INT - 1n;
  return { type: isSmall ? 'int64' : '*big.Int', value: integer };
}

/** As OPA prints terms: a blank after each comma and colon. */
function termText(value: Value): string {
  if (typeof value === 'string') return quote(value);
  if (isArray(value)) return `[${value.map(termText).join(', ')}]`;
  if (value instanceof RegoSet) return value.size === 0 ? 'set()' : `{${value.sorted().map(termText).join(', ')}}`;
  if (!(value instanceof RegoObject)) return dump(value);
  return `{${value
    .sorted()
    .map(([key, member]) => `${termText(key)}: ${termText(member)}`)
    .join(', ')}}`;
}

export const sprintfBuiltins: readonly Builtin[] = [
  {
    name: 'sprintf',
    arity: 2,
    keepsSpelling: true,
    run: (_ctx, format, args) => sprintf(stringAt(1, format), arrayAt(2, args).map(toGo)),
  },
];
