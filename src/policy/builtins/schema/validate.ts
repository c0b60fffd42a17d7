import { align } from '../../../values/decimal.ts';
import { compareNumbers, isNumber, type RegoNumber, toParts } from '../../../values/number.ts';
import { isArray, isRegoObject, type RegoObject, type Value } from '../../../values/value.ts';
import { type BuiltinContext, checkChars, HaltError } from '../builtin.ts';
import { searchIn } from '../patterns.ts';
import type { CountKeyword, Schema } from './compile.ts';
import { matchesFormat } from './formats.ts';
import { membersOf } from './references.ts';
import { doubleText, limitText } from './text.ts';

/*
 * Validation of JSON documents, with the errors of OPA's validator in its order (a fork of
 * https://github.com/xeipuuv/gojsonschema).
 */

/** What is wrong with a part of a document. `field` is its path, such as `a.0.b`; of the whole document `(Root)`. */
export type Violation = { readonly field: string; readonly type: string; readonly desc: string };

/** The score tells which of several schemas a value is nearest to. */
type Outcome = { violations: Violation[]; score: number };

type Validator = {
  readonly ctx: BuiltinContext;
  depth: number;
  /** UTF-16 units of all violations that were found. */
  chars: number;
};

/** A value at its path; paths begin with `(Root)`. */
type Place = { readonly value: Value; readonly path: string };

const MAX_DEPTH = 600;
const ROOT = '(Root)';

/**
 * All violations. `document` has no sets and only strings as keys. Throws HaltError when it takes too long, SchemaError
 * for numbers that `enum`, `const` and `uniqueItems` cannot compare.
 */
export function validate(schema: Schema, document: Value, ctx: BuiltinContext): readonly Violation[] {
  const validator: Validator = { ctx, depth: 0, chars: 0 };
  return outcomeOf(validator, schema, { value: document, path: ROOT }).violations;
}

function outcomeOf(validator: Validator, schema: Schema, place: Place): Outcome {
  const outcome: Outcome = { violations: [], score: 0 };
  check(validator, schema, place, outcome);
  return outcome;
}

function report(validator: Validator, outcome: Outcome, { path }: Place, type: string, desc: string): void {
  const field = path.startsWith(`${ROOT}.`) ? path.slice(ROOT.length + 1) : path;
  validator.ctx.checkDeadline();
  validator.chars += field.length + desc.length;
  checkChars(validator.chars);
  outcome.violations.push({ field, type, desc });
  outcome.score -= 2;
}

function merge(validator: Validator, outcome: Outcome, other: Outcome | undefined): void {
  if (other === undefined) return;
  validator.ctx.checkDeadline();
  for (const violation of other.violations) outcome.violations.push(violation);
  outcome.score += other.score;
}

const isValid = ({ violations }: Outcome): boolean => violations.length === 0;

/** Past references, which may lead in a circle. */
function target(validator: Validator, schema: Schema): Schema {
  let found = schema;
  while (found.reference !== undefined) {
    validator.ctx.checkDeadline();
    found = found.reference;
  }
  return found;
}

function check(validator: Validator, written: Schema, place: Place, outcome: Outcome): void {
  validator.ctx.checkDeadline();
  const schema = target(validator, written);
  if (schema.pass !== undefined) {
    if (!schema.pass) report(validator, outcome, place, 'false', 'False always fails validation');
    return;
  }
  const { value } = place;
  const given = jsonType(value);
  if (schema.types.length > 0 && !isOfType(schema.types, given)) {
    const expected = schema.types.length > 1 ? `[${schema.types.join(',')}]` : schema.types[0];
    report(validator, outcome, place, 'invalid_type', `Invalid type. Expected: ${expected}, given: ${given}`);
    return;
  }
  if (++validator.depth > MAX_DEPTH) throw new HaltError('eval_limit_error', 'schemas refer to one another too deep');
  checkCombinations(validator, schema, place, outcome);
  checkDependencies(validator, schema, place, outcome);
  checkCondition(validator, schema, place, outcome);
  outcome.score++;
  if (isNumber(value)) checkNumber(validator, schema, value, place, outcome);
  if (isArray(value)) checkArray(validator, schema, value, place, outcome);
  if (isRegoObject(value)) checkObject(validator, schema, value, place, outcome);
  checkCommon(validator, schema, place, outcome);
  if (typeof value === 'string') checkString(validator, schema, value, place, outcome);
  if (isRegoObject(value)) {
    for (const [key, property] of schema.properties) {
      const member = value.get(key);
      if (member !== undefined) check(validator, property, { value: member, path: `${place.path}.${key}` }, outcome);
    }
  }
  outcome.score++;
  validator.depth--;
}

function jsonType(value: Value): string {
  if (value === null) return 'null';
  if (isNumber(value)) return toParts(value).exponent >= 0 ? 'integer' : 'number';
  if (isArray(value)) return 'array';
  return typeof value === 'object' ? 'object' : typeof value;
}

const isOfType = (types: readonly string[], given: string): boolean =>
  types.includes(given) || (given === 'integer' && types.includes('number'));

function checkCombinations(validator: Validator, schema: Schema, place: Place, outcome: Outcome): void {
  checkAnyOf(validator, schema.anyOf, place, outcome);
  checkOneOf(validator, schema.oneOf, place, outcome);
  let isGood = true;
  for (const part of schema.allOf) {
    const result = outcomeOf(validator, part, place);
    isGood = isValid(result) && isGood;
    merge(validator, outcome, result);
  }
  if (!isGood) report(validator, outcome, place, 'number_all_of', 'Must validate all the schemas (allOf)');
  if (schema.not !== undefined && isValid(outcomeOf(validator, schema.not, place))) {
    report(validator, outcome, place, 'number_not', 'Must not validate the schema (not)');
  }
}

const better = (best: Outcome | undefined, other: Outcome): Outcome =>
  best === undefined || other.score > best.score ? other : best;

function checkAnyOf(validator: Validator, parts: readonly Schema[], place: Place, outcome: Outcome): void {
  let best: Outcome | undefined;
  for (const part of parts) {
    const result = outcomeOf(validator, part, place);
    if (isValid(result)) return;
    best = better(best, result);
  }
  if (best === undefined) return;
  report(validator, outcome, place, 'number_any_of', 'Must validate at least one schema (anyOf)');
  merge(validator, outcome, best);
}

function checkOneOf(validator: Validator, parts: readonly Schema[], place: Place, outcome: Outcome): void {
  if (parts.length === 0) return;
  let best: Outcome | undefined;
  let count = 0;
  for (const part of parts) {
    const result = outcomeOf(validator, part, place);
    if (isValid(result)) count++;
    else if (count === 0) best = better(best, result);
  }
  if (count === 1) return;
  report(validator, outcome, place, 'number_one_of', 'Must validate one and only one schema (oneOf)');
  if (count === 0) merge(validator, outcome, best);
}

function checkDependencies(validator: Validator, schema: Schema, place: Place, outcome: Outcome): void {
  const { value } = place;
  if (schema.dependencies.size === 0 || !isRegoObject(value)) return;
  for (const [key, needs] of schema.dependencies) {
    if (!value.has(key)) continue;
    if (!Array.isArray(needs)) check(validator, needs as Schema, place, outcome);
    else {
      for (const needed of needs) {
        if (!value.has(needed)) {
          report(validator, outcome, place, 'missing_dependency', `Has a dependency on ${needed}`);
        }
      }
    }
  }
}

function checkCondition(validator: Validator, schema: Schema, place: Place, outcome: Outcome): void {
  if (schema.if === undefined) return;
  const isMet = isValid(outcomeOf(validator, schema.if, place));
  const branch = isMet ? schema.then : schema.else;
  if (branch === undefined) return;
  const result = outcomeOf(validator, branch, place);
  if (isValid(result)) return;
  if (isMet) report(validator, outcome, place, 'condition_then', 'Must validate "then" as "if" was valid');
  else report(validator, outcome, place, 'condition_else', 'Must validate "else" as "if" was not valid');
  merge(validator, outcome, result);
}

function checkCommon(validator: Validator, schema: Schema, place: Place, outcome: Outcome): void {
  const { value, path } = place;
  const field = path.startsWith(`${ROOT}.`) ? path.slice(ROOT.length + 1) : path;
  if (schema.constant !== undefined && doubleText(value) !== schema.constant) {
    report(validator, outcome, place, 'const', `${field} does not match: ${schema.constant}`);
  }
  if (schema.allowed !== undefined && !schema.allowed.includes(doubleText(value))) {
    const allowed = schema.allowed.join(', ');
    report(validator, outcome, place, 'enum', `${field} must be one of the following: ${allowed}`);
  }
  if (schema.format !== undefined && typeof value === 'string' && !matchesFormat(schema.format, value)) {
    report(validator, outcome, place, 'format', `Does not match format '${schema.format}'`);
  }
  outcome.score++;
}

function checkNumber(validator: Validator, schema: Schema, value: RegoNumber, place: Place, outcome: Outcome): void {
  const { multipleOf, maximum, exclusiveMaximum, minimum, exclusiveMinimum } = schema;
  const fail = (type: string, words: string, limit: RegoNumber): void =>
    report(validator, outcome, place, type, `Must be ${words} ${limitText(limit)}`);
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) fail('multiple_of', 'a multiple of', multipleOf);
  if (maximum !== undefined && compareNumbers(value, maximum) > 0) {
    fail('number_lte', 'less than or equal to', maximum);
  }
  if (exclusiveMaximum !== undefined && compareNumbers(value, exclusiveMaximum) >= 0) {
    fail('number_lt', 'less than', exclusiveMaximum);
  }
  if (minimum !== undefined && compareNumbers(value, minimum) < 0) {
    fail('number_gte', 'greater than or equal to', minimum);
  }
  if (exclusiveMinimum !== undefined && compareNumbers(value, exclusiveMinimum) <= 0) {
    fail('number_gt', 'greater than', exclusiveMinimum);
  }
  outcome.score++;
}

function isMultiple(value: RegoNumber, factor: RegoNumber): boolean {
  const { a, b } = align(toParts(value), toParts(factor));
  return a % b === 0n;
}

function checkArray(
  validator: Validator,
  schema: Schema,
  values: readonly Value[],
  place: Place,
  outcome: Outcome,
): void {
  const at = (index: number): Place => ({ value: values[index] ?? null, path: `${place.path}.${index}` });
  const { items, additionalItems } = schema;
  const single = Array.isArray(items) ? undefined : items;
  const list = Array.isArray(items) ? items : [];
  for (let i = 0; i < values.length; i++) {
    const part = single ?? list[i] ?? (list.length > 0 && typeof additionalItems === 'object' ? additionalItems : null);
    if (part !== null) merge(validator, outcome, outcomeOf(validator, part, at(i)));
  }
  if (list.length > 0 && list.length < values.length && additionalItems === false) {
    report(validator, outcome, place, 'array_no_additional_items', 'No additional items allowed on array');
  }
  checkCount(validator, schema, 'minItems', values.length, (least) => {
    report(validator, outcome, place, 'array_min_items', `Array must have at least ${least} items`);
  });
  checkCount(validator, schema, 'maxItems', values.length, (most) => {
    report(validator, outcome, place, 'array_max_items', `Array must have at most ${most} items`);
  });
  if (schema.uniqueItems) checkUnique(validator, values, place, outcome);
  if (schema.contains !== undefined) checkContains(validator, schema.contains, values.length, at, place, outcome);
  outcome.score++;
}

function checkCount(
  validator: Validator,
  schema: Schema,
  key: CountKeyword,
  count: number,
  fail: (limit: bigint) => void,
): void {
  const limit = schema.counts[key];
  if (limit === undefined) return;
  validator.ctx.checkDeadline();
  if (key.startsWith('min') ? BigInt(count) < limit : BigInt(count) > limit) fail(limit);
}

function checkUnique(validator: Validator, values: readonly Value[], place: Place, outcome: Outcome): void {
  const seen = new Map<string, number>();
  for (const [index, value] of values.entries()) {
    validator.ctx.checkDeadline();
    const text = doubleText(value);
    const before = seen.get(text);
    if (before !== undefined) {
      report(validator, outcome, place, 'unique', `array items[${before},${index}] must be unique`);
    }
    seen.set(text, index);
  }
}

function checkContains(
  validator: Validator,
  contains: Schema,
  count: number,
  at: (index: number) => Place,
  place: Place,
  outcome: Outcome,
): void {
  let best: Outcome | undefined;
  for (let i = 0; i < count; i++) {
    const result = outcomeOf(validator, contains, at(i));
    if (isValid(result)) return;
    best = better(best, result);
  }
  report(validator, outcome, place, 'contains', 'At least one of the items must match');
  merge(validator, outcome, best);
}

function checkObject(validator: Validator, schema: Schema, object: RegoObject, place: Place, outcome: Outcome): void {
  checkCount(validator, schema, 'minProperties', object.size, (least) => {
    report(validator, outcome, place, 'array_min_properties', `Must have at least ${least} properties`);
  });
  checkCount(validator, schema, 'maxProperties', object.size, (most) => {
    report(validator, outcome, place, 'array_max_properties', `Must have at most ${most} properties`);
  });
  for (const key of schema.required) {
    if (object.has(key)) outcome.score++;
    else report(validator, outcome, place, 'required', `${key} is required`);
  }
  for (const [key, value] of membersOf(object)) {
    checkProperty(validator, schema, key, { value, path: place.path }, outcome);
  }
  if (schema.propertyNames !== undefined) {
    for (const [key] of membersOf(object)) {
      const result = outcomeOf(validator, schema.propertyNames, { value: key, path: place.path });
      if (isValid(result)) continue;
      report(validator, outcome, place, 'invalid_property_name', `Property name of "${key}" does not match`);
      merge(validator, outcome, result);
    }
  }
  outcome.score++;
}

/** A member against `patternProperties` and `additionalProperties`. The path is the object's. */
function checkProperty(validator: Validator, schema: Schema, key: string, place: Place, outcome: Outcome): void {
  validator.ctx.checkDeadline();
  const inner = (): Place => ({ value: place.value, path: `${place.path}.${key}` });
  let isMatched = false;
  for (const { pattern, schema: part } of schema.patternProperties) {
    if (!searchIn(validator.ctx, pattern, key).find()) continue;
    isMatched = true;
    merge(validator, outcome, outcomeOf(validator, part, inner()));
  }
  if (isMatched) outcome.score++;
  const { additionalProperties } = schema;
  if (isMatched || schema.properties.has(key) || additionalProperties === undefined) return;
  if (additionalProperties === false) {
    const desc = `Additional property ${key} is not allowed`;
    report(validator, outcome, place, 'additional_property_not_allowed', desc);
  } else if (additionalProperties !== true) {
    merge(validator, outcome, outcomeOf(validator, additionalProperties, inner()));
  }
}

function checkString(validator: Validator, schema: Schema, text: string, place: Place, outcome: Outcome): void {
  const { minLength, maxLength } = schema.counts;
  if (minLength !== undefined || maxLength !== undefined) {
    const length = [...text].length;
    checkCount(validator, schema, 'minLength', length, (least) => {
      report(validator, outcome, place, 'string_gte', `String length must be greater than or equal to ${least}`);
    });
    checkCount(validator, schema, 'maxLength', length, (most) => {
      report(validator, outcome, place, 'string_lte', `String length must be less than or equal to ${most}`);
    });
  }
  if (schema.pattern !== undefined && !searchIn(validator.ctx, schema.pattern, text).find()) {
    report(validator, outcome, place, 'pattern', `Does not match pattern '${schema.pattern.pattern()}'`);
  }
  outcome.score++;
}
