import {
  type Definition,
  isCompatible,
  type TypeReference,
  typeName,
  typeText,
  ValueKind,
  type ValueNode,
} from './document.ts';
import { byName, requiredOf } from './types.ts';
import { checkUnique, fault, type OperationWalk } from './walk.ts';

/*
 * Values where a type is expected: https://spec.graphql.org/October2021/#sec-Values, in the way of OPA's validator. It takes
 * integers of 64 bits for `Int`, and anything for scalars of the schema.
 */

export type Expected = {
  readonly type: TypeReference;
  /** Of what the type is or is a list of. */
  readonly definition: Definition;
  /** Whether something stands in for a value that is null. */
  readonly hasDefault: boolean;
};

const SCALARS: ReadonlySet<string> = new Set(['Int', 'Float', 'String', 'Boolean', 'ID']);

/** A value and those in it; `expected` is undefined where anything goes. Throws BuiltinError. */
export function checkValue(walk: OperationWalk, value: ValueNode, expected: Expected | undefined): void {
  walk.checkDeadline();
  switch (value.Kind) {
    case ValueKind.variable:
      checkVariable(walk, value, expected);
      break;
    case ValueKind.object:
      for (const child of value.Children) checkValue(walk, child.Value, expectedIn(walk, child.Name, expected));
      checkUnique(
        'input field',
        value.Children.map(({ Name }) => Name),
      );
      break;
    case ValueKind.list:
      for (const child of value.Children) checkValue(walk, child.Value, elementOf(expected));
      break;
  }
  if (expected !== undefined) checkType(walk, value, expected);
}

function expectedIn(walk: OperationWalk, name: string, expected: Expected | undefined): Expected | undefined {
  const field = expected && walk.schema.fields.get(expected.definition)?.get(name);
  const definition = field && walk.schema.types.get(typeName(field.Type));
  return definition && { type: field.Type, definition, hasDefault: hasDefault(field) };
}

function elementOf(expected: Expected | undefined): Expected | undefined {
  return expected?.type.Elem && { type: expected.type.Elem, definition: expected.definition, hasDefault: false };
}

/** Whether there is a value other than null to stand in. */
export function hasDefault(owner: { readonly DefaultValue?: ValueNode | undefined } | undefined): boolean {
  return (owner?.DefaultValue?.Kind ?? ValueKind.null) !== ValueKind.null;
}

/** https://spec.graphql.org/October2021/#sec-All-Variable-Usages-are-Allowed */
function checkVariable(walk: OperationWalk, { Raw }: ValueNode, expected: Expected | undefined): void {
  const variable = walk.variables.get(Raw) ?? fault(`the variable ${Raw} is not defined`);
  walk.usedVariables.add(variable);
  if (expected === undefined) return;
  const mayBeNull = expected.hasDefault || hasDefault(variable);
  const wanted = mayBeNull ? { ...expected.type, NonNull: false } : expected.type;
  if (!isCompatible(variable.Type, wanted)) {
    fault(`the variable ${Raw} of type ${typeText(variable.Type)} is used as ${typeText(expected.type)}`);
  }
}

function checkType(walk: OperationWalk, value: ValueNode, { type, definition }: Expected): void {
  const { Kind } = value;
  const wrong = (): never => fault(`a value of type ${typeText(type)} was expected`);
  if (Kind === ValueKind.null && type.NonNull) wrong();
  if (definition.Kind === 'SCALAR' && !SCALARS.has(definition.Name)) return;
  if (!isReadable(walk, value)) wrong();
  switch (Kind) {
    case ValueKind.variable:
    case ValueKind.null:
      break;
    case ValueKind.list:
      if (type.Elem === undefined) wrong();
      break;
    case ValueKind.object:
      checkFields(walk, value, definition);
      break;
    case ValueKind.enum:
      if (definition.Kind !== 'ENUM' || !byName(definition.EnumValues).has(value.Raw)) wrong();
      break;
    default:
      if (!isSpelled(Kind, definition.Name)) wrong();
  }
}

/** Whether the scalar type of this name has literals of this kind. */
function isSpelled(kind: number, name: string): boolean {
  switch (kind) {
    case ValueKind.int:
      return name === 'Int' || name === 'Float' || name === 'ID';
    case ValueKind.float:
      return name === 'Float';
    case ValueKind.boolean:
      return name === 'Boolean';
    default:
      return name === 'String' || name === 'ID';
  }
}

const INT64_DIGITS = 19;
const INT = /^[+-]?[0-9]+$/;
const FLOAT = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const BOOLEAN = /^(?:1|t|T|true|TRUE|True|0|f|F|false|FALSE|False)$/;

/** Whether all the numbers in it are within the bounds of 64 bits, also those that variables stand for by default. */
function isReadable(walk: OperationWalk, value: ValueNode): boolean {
  switch (value.Kind) {
    case ValueKind.int: {
      const digits = value.Raw.replace(/^[+-]?0*/, '');
      return INT.test(value.Raw) && digits.length <= INT64_DIGITS && isInt64(BigInt(value.Raw.replace('+', '')));
    }
    case ValueKind.float:
      return FLOAT.test(value.Raw) && Number.isFinite(Number(value.Raw));
    case ValueKind.boolean:
      return BOOLEAN.test(value.Raw);
    case ValueKind.variable: {
      walk.checkDeadline();
      const byDefault = walk.variables.get(value.Raw)?.DefaultValue;
      return byDefault === undefined || isReadable(walk, byDefault);
    }
    default:
      return value.Children.every((child) => isReadable(walk, child.Value));
  }
}

const isInt64 = (integer: bigint): boolean => BigInt.asIntN(64, integer) === integer;

/** Fields of an input object that must be there, and those that must not. */
function checkFields(walk: OperationWalk, { Children }: ValueNode, definition: Definition): void {
  const given = byName(Children);
  const missing = requiredOf(definition.Fields).find((name) => !given.has(name));
  if (missing !== undefined) fault(`the field ${definition.Name}.${missing} was not provided`);
  const fields = walk.schema.fields.get(definition);
  for (const { Name } of Children) {
    if (!fields?.has(Name)) fault(`the field ${Name} is not defined by type ${definition.Name}`);
  }
  if (byName(definition.Directives).has('oneOf')) checkOneOf(walk, Children, definition.Name);
}

function checkOneOf(walk: OperationWalk, children: ValueNode['Children'], name: string): void {
  const [only, ...more] = children;
  if (only === undefined || more.length > 0) fault(`${name} must have exactly one field`);
  const { Kind, Raw } = only.Value;
  const mayBeNull = Kind === ValueKind.variable && walk.variables.get(Raw)?.Type.NonNull === false;
  if (Kind === ValueKind.null || mayBeNull) fault(`the field of ${name} must not be null`);
}
