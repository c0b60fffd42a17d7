import { checkMembers } from '../builtin.ts';
import {
  type Field,
  type FragmentDefinition,
  isField,
  isInlineFragment,
  type OperationDefinition,
  type SelectionSet,
  type TypeReference,
  typeText,
  ValueKind,
  type ValueNode,
} from './document.ts';
import { isLeaf, type Schema } from './types.ts';
import { type FieldPlace, fault, type Walk } from './walk.ts';

/*
 * Fields with one name in the response must be one field: https://spec.graphql.org/October2021/#sec-Field-Selection-Merging.
 * Every two fields are compared at most twice, every two without subfields that look the same not at all.
 */

type Merging = Walk & {
  readonly collected: Map<SelectionSet, ReadonlyMap<string, readonly Field[]>>;
  readonly numbers: Map<Field, number>;
  /** Pairs of fields with subfields, by their numbers. */
  readonly compared: Set<number>;
  readonly spelledArguments: Map<Field, string>;
  /** How many fields were collected. */
  total: number;
};

/** Throws BuiltinError when two fields conflict, HaltError when there are too many to tell. */
export function checkMerging(walk: Walk, operations: readonly OperationDefinition[]): void {
  const merging: Merging = {
    ...walk,
    collected: new Map(),
    numbers: new Map([...walk.places.keys()].map((field, i) => [field, i])),
    compared: new Set(),
    spelledArguments: new Map(),
    total: 0,
  };
  for (const { SelectionSet } of operations) checkWithin(merging, SelectionSet);
  for (const { SelectionSet } of walk.places.keys()) checkWithin(merging, SelectionSet);
}

/** All fields of a selection set by their names in the response, with those of its fragments. */
function fieldsOf(merging: Merging, selections: SelectionSet): ReadonlyMap<string, readonly Field[]> {
  const known = merging.collected.get(selections);
  if (known !== undefined) return known;
  const fields = new Map<string, Field[]>();
  const seen = new Set<FragmentDefinition>();
  const sets = [selections];
  for (const set of sets) {
    merging.checkDeadline();
    for (const selection of set) {
      if (isField(selection)) {
        checkMembers(++merging.total);
        const name = responseName(selection);
        const others = fields.get(name);
        if (others === undefined) fields.set(name, [selection]);
        else others.push(selection);
      } else if (isInlineFragment(selection)) sets.push(selection.SelectionSet);
      else {
        const fragment = merging.fragments.get(selection.Name);
        if (fragment === undefined || seen.has(fragment)) continue;
        seen.add(fragment);
        sets.push(fragment.SelectionSet);
      }
    }
  }
  merging.collected.set(selections, fields);
  return fields;
}

const responseName = ({ Alias, Name }: Field): string => (Alias === '' ? Name : Alias);

function checkWithin(merging: Merging, selections: SelectionSet): void {
  if (selections.length === 0) return;
  for (const all of fieldsOf(merging, selections).values()) {
    const fields = distinct(merging, all);
    fields.forEach((field, i) => {
      for (let other = i + 1; other < fields.length; other++) compare(merging, field, fields[other] ?? field, false);
    });
  }
}

function checkBetween(merging: Merging, a: SelectionSet, b: SelectionSet, areExclusive: boolean): void {
  if (a.length === 0 || b.length === 0) return;
  const others = fieldsOf(merging, b);
  for (const [name, fields] of fieldsOf(merging, a)) {
    const same = distinct(merging, others.get(name) ?? []);
    if (same.length === 0) continue;
    for (const field of distinct(merging, fields)) {
      for (const other of same) compare(merging, field, other, areExclusive);
    }
  }
}

/** Of the fields without subfields that look the same, one of each look. */
function distinct(merging: Merging, fields: readonly Field[]): readonly Field[] {
  if (fields.length < 2) return fields;
  const looks = new Map<string | Field, Field>();
  for (const field of fields) looks.set(field.SelectionSet.length > 0 ? field : lookOf(merging, field), field);
  return [...looks.values()];
}

function lookOf(merging: Merging, field: Field): string {
  const { parent, definition } = merging.places.get(field) ?? NOWHERE;
  const type = definition === undefined ? '' : typeText(definition.Type);
  return JSON.stringify([field.Name, parent?.Name, type, argumentsOf(merging, field)]);
}

const NOWHERE: FieldPlace = { parent: undefined, definition: undefined };

function compare(merging: Merging, a: Field, b: Field, parentsAreExclusive: boolean): void {
  if (a === b) return;
  const { parent: parentA, definition: definitionA } = merging.places.get(a) ?? NOWHERE;
  const { parent: parentB, definition: definitionB } = merging.places.get(b) ?? NOWHERE;
  if (parentA === undefined || parentB === undefined) return;
  const areExclusive =
    parentsAreExclusive || (parentA !== parentB && parentA.Kind === 'OBJECT' && parentB.Kind === 'OBJECT');
  const hasSubfields = a.SelectionSet.length > 0 && b.SelectionSet.length > 0;
  if (hasSubfields && !isNew(merging, a, b, areExclusive)) return;
  merging.checkDeadline();
  const isSame = a.Name === b.Name && argumentsOf(merging, a) === argumentsOf(merging, b);
  if (!areExclusive && !isSame) fault(`different fields are named ${responseName(a)}`);
  if (definitionA && definitionB && typesConflict(merging.schema, definitionA.Type, definitionB.Type)) {
    fault(`fields of different types are named ${responseName(a)}`);
  }
  checkBetween(merging, a.SelectionSet, b.SelectionSet, areExclusive);
}

function isNew({ numbers, compared }: Merging, a: Field, b: Field, areExclusive: boolean): boolean {
  const one = numbers.get(a) ?? 0;
  const other = numbers.get(b) ?? 0;
  const pair = 2 * (Math.min(one, other) * numbers.size + Math.max(one, other)) + (areExclusive ? 1 : 0);
  if (compared.has(pair)) return false;
  compared.add(pair);
  checkMembers(compared.size);
  return true;
}

/** Text that is the same for the same arguments in whatever order. */
function argumentsOf({ spelledArguments }: Merging, field: Field): string {
  if (field.Arguments.length === 0) return '';
  let text = spelledArguments.get(field);
  if (text === undefined) {
    text = JSON.stringify(sortedByName(field.Arguments).map(({ Name, Value }) => [Name, spelled(Value)]));
    spelledArguments.set(field, text);
  }
  return text;
}

type Spelled = readonly [kind: number, raw: string, children: readonly (readonly [string, Spelled])[]];

function spelled({ Kind, Raw, Children }: ValueNode): Spelled {
  const children = Kind === ValueKind.object ? sortedByName(Children) : Children;
  return [Kind, Raw, children.map(({ Name, Value }) => [Name, spelled(Value)])];
}

function sortedByName<T extends { readonly Name: string }>(parts: readonly T[]): readonly T[] {
  return parts.toSorted((a, b) => (a.Name < b.Name ? -1 : a.Name > b.Name ? 1 : 0));
}

/** Whether the two cannot be one type in a response: different lists, nullness or leaves. */
function typesConflict(schema: Schema, a: TypeReference, b: TypeReference): boolean {
  if (a.Elem !== undefined && b.Elem !== undefined) return typesConflict(schema, a.Elem, b.Elem);
  if (a.Elem !== undefined || b.Elem !== undefined || a.NonNull !== b.NonNull) return true;
  const one = schema.types.get(a.NamedType);
  const other = schema.types.get(b.NamedType);
  return one !== undefined && other !== undefined && isLeaf(one) && isLeaf(other) && one.Name !== other.Name;
}
