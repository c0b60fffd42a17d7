import { isNumber, type RegoNumber, toBigInt, toSafeInteger } from '../../values/number.ts';
import { isArray, RegoObject, RegoSet, typeName, type Value } from '../../values/value.ts';
import { BuiltinError } from './builtin.ts';

/*
 * Arguments of built-ins as the types they must have. `position` counts from 1. All throw BuiltinError `eval_type_error`.
 */

export function wrongType(position: number, expected: string, got: Value): BuiltinError {
  return new BuiltinError(`operand ${position} must be ${expected} but got ${typeName(got)}`, 'eval_type_error');
}

export function stringAt(position: number, value: Value | undefined): string {
  if (typeof value !== 'string') throw wrongType(position, 'string', value ?? null);
  return value;
}

export function booleanAt(position: number, value: Value | undefined): boolean {
  if (typeof value !== 'boolean') throw wrongType(position, 'boolean', value ?? null);
  return value;
}

export function numberAt(position: number, value: Value | undefined): RegoNumber {
  if (!isNumber(value)) throw wrongType(position, 'number', value ?? null);
  return value;
}

/** An integer of any size. */
export function integerAt(position: number, value: Value | undefined): bigint {
  const integer = toBigInt(numberAt(position, value));
  if (integer === undefined) {
    throw new BuiltinError(
      `operand ${position} must be integer number but got floating-point number`,
      'eval_type_error',
    );
  }
  return integer;
}

/** An integer that a double holds exactly. */
export function safeIntegerAt(position: number, value: Value | undefined): number {
  const integer = toSafeInteger(numberAt(position, value));
  if (integer === undefined) throw new BuiltinError(`operand ${position} must be a smaller integer`, 'eval_type_error');
  return integer;
}

export function arrayAt(position: number, value: Value | undefined): readonly Value[] {
  if (!isArray(value)) throw wrongType(position, 'array', value ?? null);
  return value;
}

export function objectAt(position: number, value: Value | undefined): RegoObject {
  if (!(value instanceof RegoObject)) throw wrongType(position, 'object', value ?? null);
  return value;
}

/** Members of an array or a set. */
export function listAt(position: number, value: Value | undefined): readonly Value[] {
  if (isArray(value)) return value;
  if (value instanceof RegoSet) return value.sorted();
  throw wrongType(position, 'one of {set, array}', value ?? null);
}

/** Strings of an array or a set. */
export function stringsAt(position: number, value: Value | undefined): readonly string[] {
  return listAt(position, value).map((member) => stringAt(position, member));
}
