import {
  type Argument,
  type ArgumentDefinition,
  type Definition,
  type Directive,
  type Field,
  type FieldDefinition,
  type FragmentDefinition,
  type FragmentSpread,
  type InlineFragment,
  isField,
  isInlineFragment,
  type OperationDefinition,
  type QueryDocument,
  type SelectionSet,
  type TypeReference,
  typeName,
  type VariableDefinition,
} from './document.ts';
import { checkIntrospection, orderedFragments } from './fragments.ts';
import { checkMerging } from './merging.ts';
import { byName, isComposite, isInput, isLeaf, requiredOf, type Schema } from './types.ts';
import { checkValue, type Expected, hasDefault } from './values.ts';
import { checkUnique, fault, type OperationWalk, type Walk } from './walk.ts';

/*
 * Whether a query is good for a schema: https://spec.graphql.org/October2021/#sec-Validation, in the way of OPA's validator.
 * Only the first fault counts. Fragments are looked at where operations spread them, once for each operation.
 */

/** Throws BuiltinError when the query is not valid, HaltError when it takes too long to tell. */
export function validateQuery(schema: Schema, document: QueryDocument, checkDeadline: () => void): void {
  const { Operations, Fragments } = document;
  checkUnique('operation', Operations.map(nameOf));
  checkUnique('fragment', Fragments.map(nameOf));
  if (Operations.length > 1 && Operations.some(({ Name }) => Name === '')) {
    fault('an anonymous operation must be the only one');
  }
  for (const fragment of Fragments) checkTypeCondition(schema, fragment.TypeCondition);
  const ordered = orderedFragments(Fragments) ?? fault('a fragment is spread within itself');
  const walk: Walk = { schema, fragments: byName(Fragments), places: new Map(), spread: new Set(), checkDeadline };
  for (const operation of Operations) walkOperation(walk, operation);
  for (const fragment of Fragments) {
    if (!walk.spread.has(fragment)) fault(`the fragment ${fragment.Name} is never used`);
  }
  checkIntrospection(walk.places.keys(), ordered);
  checkMerging(walk, Operations);
}

const nameOf = ({ Name }: { readonly Name: string }): string => Name;

function checkTypeCondition(schema: Schema, name: string): void {
  const type = schema.types.get(name) ?? fault(`unknown type ${name}`);
  if (!isComposite(type)) fault(`a fragment cannot be on ${name}`);
}

function rootOf(schema: Schema, operation: string): [type: Definition | undefined, location: string] {
  switch (operation) {
    case 'query':
    case '':
      return [schema.query, 'QUERY'];
    case 'mutation':
      return [schema.mutation, 'MUTATION'];
    case 'subscription':
      return [schema.subscription, 'SUBSCRIPTION'];
    default:
      return fault(`unknown operation ${operation}`);
  }
}

function walkOperation(shared: Walk, operation: OperationDefinition): void {
  const { Operation, VariableDefinitions, Directives, SelectionSet } = operation;
  const [root, location] = rootOf(shared.schema, Operation);
  if (root === undefined) fault(`the schema has no ${Operation}`);
  checkUnique(
    'variable',
    VariableDefinitions.map(({ Variable }) => Variable),
  );
  const walk: OperationWalk = {
    ...shared,
    variables: new Map(VariableDefinitions.map((variable) => [variable.Variable, variable])),
    usedVariables: new Set(),
    reached: new Set(),
  };
  for (const variable of VariableDefinitions) walkVariable(walk, variable);
  walkDirectives(walk, Directives, location);
  walkSelections(walk, root, SelectionSet);
  // Grows while it is gone through: a chain of fragments may be longer than the stack is deep.
  for (const fragment of walk.reached) {
    walk.spread.add(fragment);
    walkDirectives(walk, fragment.Directives, 'FRAGMENT_DEFINITION');
    walkSelections(walk, walk.schema.types.get(fragment.TypeCondition), fragment.SelectionSet);
  }
  for (const variable of VariableDefinitions) {
    if (!variable.Used && !walk.usedVariables.has(variable)) fault(`the variable ${variable.Variable} is never used`);
  }
  if (Operation === 'subscription') checkSubscription(walk, SelectionSet);
}

function walkVariable(walk: OperationWalk, { Type, DefaultValue, Directives }: VariableDefinition): void {
  const definition = walk.schema.types.get(typeName(Type)) ?? fault(`unknown type ${typeName(Type)}`);
  if (!isInput(definition)) fault(`a variable cannot be of type ${definition.Name}`);
  if (DefaultValue !== undefined) checkValue(walk, DefaultValue, expectedOf(walk, Type));
  walkDirectives(walk, Directives, 'VARIABLE_DEFINITION');
}

function expectedOf(walk: Walk, type: TypeReference): Expected | undefined {
  const definition = walk.schema.types.get(typeName(type));
  return definition === undefined ? undefined : { type, definition, hasDefault: false };
}

function walkDirectives(walk: OperationWalk, directives: readonly Directive[], location: string): void {
  const seen = new Set<string>();
  for (const { Name, Arguments } of directives) {
    walk.checkDeadline();
    const definition = walk.schema.directives.get(Name) ?? fault(`unknown directive @${Name}`);
    if (!definition.Locations.includes(location)) fault(`the directive @${Name} cannot be on ${location}`);
    if (!definition.IsRepeatable && seen.has(Name)) fault(`the directive @${Name} is there twice`);
    seen.add(Name);
    walkArguments(walk, Arguments, definition.Arguments, `@${Name}`);
  }
}

const NONE: readonly ArgumentDefinition[] = [];

/** `defined` is undefined where nothing is known of what the arguments are for. */
function walkArguments(
  walk: OperationWalk,
  given: readonly Argument[],
  defined: readonly ArgumentDefinition[] | undefined,
  owner: string,
): void {
  checkUnique(`argument of ${owner}`, given.map(nameOf));
  const definitions = byName(defined ?? NONE);
  for (const { Name, Value } of given) {
    const definition = definitions.get(Name);
    if (definition === undefined && defined !== undefined) fault(`unknown argument ${Name} of ${owner}`);
    const expected = definition === undefined ? undefined : expectedOf(walk, definition.Type);
    checkValue(walk, Value, expected && { ...expected, hasDefault: hasDefault(definition) });
  }
  const names = byName(given);
  const missing = requiredOf(defined ?? NONE).find((name) => !names.has(name));
  if (missing !== undefined) fault(`${owner} needs the argument ${missing}`);
}

function walkSelections(walk: OperationWalk, parent: Definition | undefined, selections: SelectionSet): void {
  walk.checkDeadline();
  for (const selection of selections) {
    if (isField(selection)) walkField(walk, parent, selection);
    else if (isInlineFragment(selection)) walkInlineFragment(walk, parent, selection);
    else walkSpread(walk, parent, selection);
  }
}

const TYPENAME: FieldDefinition = {
  Description: '',
  Name: '__typename',
  Arguments: [],
  Type: { NamedType: 'String', NonNull: false },
  Directives: [],
};

function walkField(walk: OperationWalk, parent: Definition | undefined, field: Field): void {
  const { Name, Arguments, Directives, SelectionSet } = field;
  const known = parent === undefined ? undefined : walk.schema.fields.get(parent)?.get(Name);
  const definition = Name === TYPENAME.Name ? TYPENAME : known;
  if (definition === undefined && parent !== undefined) fault(`${parent.Name} has no field ${Name}`);
  walk.places.set(field, { parent, definition });
  const type = definition === undefined ? undefined : walk.schema.types.get(typeName(definition.Type));
  walkArguments(walk, Arguments, definition?.Arguments, Name);
  walkDirectives(walk, Directives, 'FIELD');
  walkSelections(walk, type, SelectionSet);
  if (type !== undefined && isLeaf(type) !== (SelectionSet.length === 0)) {
    fault(`the field ${Name} of type ${type.Name} ${isLeaf(type) ? 'has no' : 'needs a selection of'} subfields`);
  }
}

function walkInlineFragment(walk: OperationWalk, parent: Definition | undefined, fragment: InlineFragment): void {
  const { TypeCondition, Directives, SelectionSet } = fragment;
  if (TypeCondition !== '') {
    checkTypeCondition(walk.schema, TypeCondition);
    checkPossible(walk.schema, parent, TypeCondition);
  }
  walkDirectives(walk, Directives, 'INLINE_FRAGMENT');
  walkSelections(walk, TypeCondition === '' ? parent : walk.schema.types.get(TypeCondition), SelectionSet);
}

function walkSpread(walk: OperationWalk, parent: Definition | undefined, { Name, Directives }: FragmentSpread): void {
  const fragment = walk.fragments.get(Name) ?? fault(`unknown fragment ${Name}`);
  checkPossible(walk.schema, parent, fragment.TypeCondition);
  walkDirectives(walk, Directives, 'FRAGMENT_SPREAD');
  walk.reached.add(fragment);
}

/** Throws BuiltinError when nothing of type `parent` can be of the type that a fragment is on. */
function checkPossible({ possible }: Schema, parent: Definition | undefined, condition: string): void {
  if (parent === undefined || !isComposite(parent)) return;
  const parents = parent.Kind === 'OBJECT' ? new Set([parent.Name]) : (possible.get(parent.Name) ?? new Set());
  const wanted = possible.get(condition) ?? new Set();
  if (wanted.isDisjointFrom(parents)) fault(`${parent.Name} can never be ${condition}`);
}

/** https://spec.graphql.org/October2021/#sec-Single-root-field, by the fields' names. */
function checkSubscription(walk: OperationWalk, selections: SelectionSet): void {
  const names = new Set<string>();
  const sets = [selections];
  const seen = new Set<FragmentDefinition>();
  for (const set of sets) {
    for (const selection of set) {
      if (isField(selection)) names.add(selection.Name);
      else if (isInlineFragment(selection)) sets.push(selection.SelectionSet);
      else {
        const fragment = walk.fragments.get(selection.Name);
        if (fragment !== undefined && !seen.has(fragment)) sets.push(fragment.SelectionSet);
        if (fragment !== undefined) seen.add(fragment);
      }
    }
  }
  if (names.size > 1) fault('a subscription must have one field');
  if ([...names].some((name) => name.startsWith('__'))) fault('a subscription cannot be introspection');
}
