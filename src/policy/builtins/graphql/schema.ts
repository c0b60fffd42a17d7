import { BuiltinError } from '../builtin.ts';
import type { Definition, DirectiveDefinition, FieldDefinition, SchemaDefinition, SchemaDocument } from './document.ts';
import { BUILT_IN_SCHEMA, ROOT_FIELDS } from './introspection.ts';
import { parseSchema } from './schema-parser.ts';
import { checkDefinitions, checkDirectives } from './schema-rules.ts';
import { byName, type Schema } from './types.ts';

/*
 * A schema's document put together to what queries are checked against, by the rules of OPA's validator, which asks for
 * less than https://spec.graphql.org/October2021/#sec-Type-System: a schema needs no query type.
 */

/** Directives that a schema may define though they are there already. */
const REDEFINABLE: ReadonlySet<string> = new Set(['include', 'skip', 'deprecated', 'specifiedBy', 'defer', 'oneOf']);

const builtIn: { document?: SchemaDocument; rootFields?: readonly FieldDefinition[] } = {};

function builtInDocument(): SchemaDocument {
  if (builtIn.document === undefined) {
    const parsed = parseSchema(BUILT_IN_SCHEMA, () => {});
    const definitions = parsed.Definitions.map((definition) => ({ ...definition, BuiltIn: true }));
    builtIn.document = { ...parsed, Definitions: definitions };
  }
  return builtIn.document;
}

function rootFields(): readonly FieldDefinition[] {
  builtIn.rootFields ??= parseSchema(ROOT_FIELDS, () => {}).Definitions.flatMap(({ Fields }) => Fields);
  return builtIn.rootFields;
}

/** Throws BuiltinError when the document is not a good schema. */
export function buildSchema(document: SchemaDocument, checkDeadline: () => void): Schema {
  const types = mergedTypes(document);
  const directives = mergedDirectives(document);
  const roots = rootsOf(document, types);
  const base = { types, directives, possible: possibleTypes(types) };
  const checked = { ...base, fields: fieldsOf(types, undefined), checkDeadline };
  for (const { Directives } of [...document.Schema, ...document.SchemaExtension]) {
    checkDirectives(checked, Directives, 'SCHEMA');
  }
  checkDefinitions(checked);
  return { ...base, ...roots, fields: fieldsOf(types, roots.query) };
}

/** Definitions with what their extensions add. An extension of nothing is a definition. */
function mergedTypes(document: SchemaDocument): ReadonlyMap<string, Definition> {
  const parts = new Map<string, [Definition, ...Definition[]]>();
  for (const definition of [...builtInDocument().Definitions, ...document.Definitions]) {
    if (parts.has(definition.Name)) throw new BuiltinError(`Cannot redeclare type ${definition.Name}`);
    parts.set(definition.Name, [definition]);
  }
  for (const extension of document.Extensions) {
    const known = parts.get(extension.Name);
    if (known === undefined) parts.set(extension.Name, [{ ...extension, BuiltIn: false }]);
    else if (known[0].Kind === extension.Kind) known.push(extension);
    else throw new BuiltinError(`Cannot extend type ${extension.Name}: it is not ${extension.Kind}`);
  }
  return new Map([...parts].map(([name, all]) => [name, all.length === 1 ? all[0] : merged(all)]));
}

function merged(parts: readonly [Definition, ...Definition[]]): Definition {
  return {
    ...parts[0],
    Directives: parts.flatMap((part) => part.Directives),
    Interfaces: parts.flatMap((part) => part.Interfaces),
    Fields: parts.flatMap((part) => part.Fields),
    Types: parts.flatMap((part) => part.Types),
    EnumValues: parts.flatMap((part) => part.EnumValues),
  };
}

function mergedDirectives(document: SchemaDocument): ReadonlyMap<string, DirectiveDefinition> {
  const directives = new Map<string, DirectiveDefinition>();
  for (const directive of [...builtInDocument().Directives, ...document.Directives]) {
    if (directives.has(directive.Name) && !REDEFINABLE.has(directive.Name)) {
      throw new BuiltinError(`Cannot redeclare directive ${directive.Name}`);
    }
    directives.set(directive.Name, directive);
  }
  return directives;
}

type Roots = Pick<Schema, 'query' | 'mutation' | 'subscription'>;

/** The types of operations: those that the schema names, or else by the names of types. */
function rootsOf(document: SchemaDocument, types: ReadonlyMap<string, Definition>): Roots {
  if (document.Schema.length > 1) throw new BuiltinError('Cannot have multiple schema entry points');
  const named = new Map<string, Definition>();
  for (const { Operation, Type } of [...document.Schema, ...document.SchemaExtension].flatMap(operationTypes)) {
    const type = types.get(Type);
    if (type === undefined) throw new BuiltinError(`Schema root ${Operation} refers to a type that does not exist`);
    named.set(Operation, type);
  }
  const implied = (name: string): Definition | undefined =>
    document.Schema.length === 0 ? types.get(name) : undefined;
  return {
    query: named.get('query') ?? implied('Query'),
    mutation: named.get('mutation') ?? implied('Mutation'),
    subscription: named.get('subscription') ?? implied('Subscription'),
  };
}

const operationTypes = (schema: SchemaDefinition): SchemaDefinition['OperationTypes'] => schema.OperationTypes;

function possibleTypes(types: ReadonlyMap<string, Definition>): ReadonlyMap<string, ReadonlySet<string>> {
  const possible = new Map<string, Set<string>>();
  const add = (name: string, member: string): void => {
    const members = possible.get(name);
    if (members === undefined) possible.set(name, new Set([member]));
    else members.add(member);
  };
  for (const { Kind, Name, Types, Interfaces } of types.values()) {
    if (Kind === 'UNION') for (const member of Types) add(Name, member);
    if (Kind === 'OBJECT' || Kind === 'INPUT_OBJECT') add(Name, Name);
    if (Kind === 'OBJECT' || Kind === 'INPUT_OBJECT' || Kind === 'INTERFACE') {
      for (const implemented of Interfaces) add(implemented, Name);
    }
  }
  return possible;
}

function fieldsOf(types: ReadonlyMap<string, Definition>, query: Definition | undefined): Schema['fields'] {
  return new Map(
    [...types.values()].map((type) => [type, byName(type === query ? [...type.Fields, ...rootFields()] : type.Fields)]),
  );
}
