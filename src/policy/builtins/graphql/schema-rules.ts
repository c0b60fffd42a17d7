import { BuiltinError } from '../builtin.ts';
import {
  type ArgumentDefinition,
  type Definition,
  type Directive,
  type DirectiveDefinition,
  type FieldDefinition,
  isCompatible,
  type TypeReference,
  typeName,
  typeText,
  ValueKind,
} from './document.ts';
import { byName, inOrder, isComposite, isInput, isLeaf, isRequired, requiredOf, type Schema } from './types.ts';

/*
 * What OPA's validator asks of a schema's parts; the rules are those of
 * https://spec.graphql.org/October2021/#sec-Type-System, not all of them. All throw BuiltinError for the first fault.
 */

type Types = Pick<Schema, 'types' | 'directives' | 'possible'> & { readonly checkDeadline: () => void };
type TypesAndFields = Types & Pick<Schema, 'fields'>;

export function checkDefinitions(schema: TypesAndFields): void {
  for (const definition of schema.types.values()) {
    schema.checkDeadline();
    checkDefinition(schema, definition);
  }
  checkInputCycles(schema);
  for (const directive of schema.directives.values()) {
    checkName(directive.Name);
    checkArguments(schema, directive.Arguments, directive);
  }
}

const wrong = (message: string): BuiltinError => new BuiltinError(`GraphQL schema: ${message}`);

function fault(message: string): never {
  throw wrong(message);
}

function checkName(name: string): void {
  if (name.startsWith('__')) fault(`the name ${name} is reserved`);
}

function checkDefinition(schema: TypesAndFields, definition: Definition): void {
  const { Kind, Name, Fields, Types, Interfaces, EnumValues, Directives, BuiltIn } = definition;
  for (const field of Fields) checkField(schema, definition, field);
  for (const member of Types) {
    if (schema.types.get(member)?.Kind !== 'OBJECT') fault(`${Name}: the member ${member} is not an object type`);
  }
  const interfaces = new Set(Interfaces);
  for (const name of interfaces) checkImplements(schema, definition, name, interfaces);
  if ((Kind === 'OBJECT' || Kind === 'INTERFACE' || Kind === 'INPUT_OBJECT') && Fields.length === 0) {
    fault(`${Name} must have fields`);
  }
  if (Kind === 'ENUM') checkEnumValues(schema, definition);
  checkUnique(Name, Fields.map(nameOf));
  checkUnique(Name, EnumValues.map(nameOf));
  checkUnique(Name, Types);
  if (!BuiltIn) checkName(Name);
  // Together with those of extensions, which are other places: one directive may be there for each of them.
  checkDirectives(schema, Directives, Kind, { mayRepeat: true });
}

const nameOf = ({ Name }: { readonly Name: string }): string => Name;

function checkUnique(owner: string, names: readonly string[]): void {
  if (new Set(names).size !== names.length) fault(`${owner} has something of one name twice`);
}

function checkField(schema: TypesAndFields, { Kind, Name }: Definition, field: FieldDefinition): void {
  checkName(field.Name);
  const type = checkType(schema, field.Type);
  checkArguments(schema, field.Arguments);
  checkDirectives(schema, field.Directives, Kind === 'INPUT_OBJECT' ? 'INPUT_FIELD_DEFINITION' : 'FIELD_DEFINITION');
  const isOutput = isComposite(type) || isLeaf(type);
  const isWrong = Kind === 'INPUT_OBJECT' ? !isInput(type) : (Kind === 'OBJECT' || Kind === 'INTERFACE') && !isOutput;
  if (isWrong) fault(`${Name}.${field.Name} cannot be of type ${type.Name}`);
}

function checkType({ types }: Types, reference: TypeReference): Definition {
  const name = typeName(reference);
  return types.get(name) ?? fault(`undefined type ${name}`);
}

function checkEnumValues(schema: Types, { Name, EnumValues }: Definition): void {
  if (EnumValues.length === 0) fault(`${Name} must have values`);
  for (const value of EnumValues) {
    if (['true', 'false', 'null'].includes(value.Name)) fault(`${Name} cannot have the value ${value.Name}`);
    checkDirectives(schema, value.Directives, 'ENUM_VALUE');
  }
}

function checkArguments(schema: Types, given: readonly ArgumentDefinition[], of?: DirectiveDefinition): void {
  for (const argument of given) {
    checkName(argument.Name);
    if (!isInput(checkType(schema, argument.Type))) {
      fault(`the argument ${argument.Name} cannot be of type ${typeText(argument.Type)}`);
    }
    checkDirectives(schema, argument.Directives, 'ARGUMENT_DEFINITION', { of });
  }
}

type DirectiveOptions = {
  /** The directive in whose definition they are. */
  readonly of?: DirectiveDefinition | undefined;
  readonly mayRepeat?: boolean;
};

/** Directives at one `location` of a schema. Throws BuiltinError. */
export function checkDirectives(
  { directives, checkDeadline }: Types,
  given: readonly Directive[],
  location: string,
  { of, mayRepeat = false }: DirectiveOptions = {},
): void {
  const seen = new Set<string>();
  for (const { Name, Arguments } of given) {
    checkDeadline();
    checkName(Name);
    if (Name === of?.Name) fault(`the directive ${Name} cannot refer to itself`);
    const definition = directives.get(Name) ?? fault(`undefined directive ${Name}`);
    if (!mayRepeat && !definition.IsRepeatable && seen.has(Name)) fault(`the directive ${Name} is there twice`);
    seen.add(Name);
    if (!definition.Locations.includes(location)) fault(`the directive ${Name} cannot be on ${location}`);
    const defined = byName(definition.Arguments);
    const values = byName(Arguments);
    for (const name of values.keys()) {
      if (!defined.has(name)) fault(`undefined argument ${name} of the directive ${Name}`);
    }
    for (const name of requiredOf(definition.Arguments)) {
      const kind = values.get(name)?.Value.Kind ?? ValueKind.null;
      if (kind === ValueKind.null) fault(`the directive ${Name} needs the argument ${name}`);
    }
  }
}

/** https://spec.graphql.org/October2021/#IsValidImplementation() */
function checkImplements(
  schema: TypesAndFields,
  definition: Definition,
  name: string,
  interfaces: ReadonlySet<string>,
): void {
  const implemented = schema.types.get(name);
  if (implemented?.Kind !== 'INTERFACE') throw wrong(`${definition.Name}: ${name} is not an interface`);
  schema.checkDeadline();
  const fields = schema.fields.get(definition);
  for (const wanted of implemented.Fields) {
    const found = fields?.get(wanted.Name) ?? fault(`${definition.Name} needs the field ${wanted.Name} of ${name}`);
    const isSame = isCovariant(schema, wanted.Type, found.Type) && argumentsFit(wanted, found);
    if (!isSame) fault(`${definition.Name}.${wanted.Name} is not as ${name} has it`);
  }
  for (const other of implemented.Interfaces) {
    if (!interfaces.has(other)) fault(`${definition.Name} must implement ${other} as ${name} does`);
  }
}

function argumentsFit(wanted: FieldDefinition, found: FieldDefinition): boolean {
  const has = byName(found.Arguments);
  const wants = byName(wanted.Arguments);
  return (
    wanted.Arguments.every(({ Name, Type }) => {
      const argument = has.get(Name);
      return argument !== undefined && isCompatible(Type, argument.Type);
    }) && found.Arguments.every((argument) => wants.has(argument.Name) || !isRequired(argument))
  );
}

function isCovariant(schema: Types, wanted: TypeReference, found: TypeReference): boolean {
  if (wanted.NonNull && !found.NonNull) return false;
  if (wanted.NamedType !== '') {
    if (wanted.NamedType === found.NamedType) return true;
    return schema.possible.get(wanted.NamedType)?.has(found.NamedType) ?? false;
  }
  if (wanted.Elem === undefined || found.Elem === undefined) return false;
  return isCovariant(schema, wanted.Elem, found.Elem);
}

/** Input objects that could never be written down, as each needs another one in it. */
function checkInputCycles({ types }: Types): void {
  const needs = new Map<string, readonly string[]>();
  for (const { Kind, Name, Fields } of types.values()) {
    if (Kind !== 'INPUT_OBJECT') continue;
    needs.set(
      Name,
      Fields.flatMap(({ Type }) => (Type.NonNull && Type.NamedType !== '' ? [Type.NamedType] : [])),
    );
  }
  if (inOrder(needs) === undefined) fault('an input object needs itself');
}
