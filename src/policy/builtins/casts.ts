import { isArray, RegoSet, type Value } from '../../values/value.ts';
import type { Builtin } from './builtin.ts';
import { booleanAt, objectAt, stringAt, wrongType } from './operands.ts';

/*
 * Casts of Rego's first versions, which today's policies hardly use: a value of the type, or an error. Arrays and sets are
 * turned into each other. https://www.openpolicyagent.org/docs/policy-reference, "Deprecated"
 */

function toArray(value: Value = null): Value {
  if (isArray(value)) return value;
  if (value instanceof RegoSet) return value.sorted();
  throw wrongType(1, 'one of {array, set}', value);
}

function toSet(value: Value = null): Value {
  if (value instanceof RegoSet) return value;
  if (isArray(value)) return new RegoSet(value);
  throw wrongType(1, 'one of {array, set}', value);
}

function toNull(value: Value = null): Value {
  if (value === null) return value;
  throw wrongType(1, 'null', value);
}

export const castsBuiltins: readonly Builtin[] = [
  { name: 'cast_array', arity: 1, run: (_ctx, value) => toArray(value) },
  { name: 'cast_set', arity: 1, run: (_ctx, value) => toSet(value) },
  { name: 'cast_null', arity: 1, run: (_ctx, value) => toNull(value) },
  { name: 'cast_string', arity: 1, run: (_ctx, value) => stringAt(1, value) },
  { name: 'cast_boolean', arity: 1, run: (_ctx, value) => booleanAt(1, value) },
  { name: 'cast_object', arity: 1, run: (_ctx, value) => objectAt(1, value) },
];
