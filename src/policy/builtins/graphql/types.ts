import type { ArgumentDefinition, Definition, DirectiveDefinition, FieldDefinition } from './document.ts';

/*
 * The types of a schema (https://spec.graphql.org/October2021/#sec-Types), ready for queries to be checked against.
 */

export type Schema = {
  readonly types: ReadonlyMap<string, Definition>;
  readonly directives: ReadonlyMap<string, DirectiveDefinition>;
  /** Names of what an object of a type may be: of an interface or a union all members, of an object itself. */
  readonly possible: ReadonlyMap<string, ReadonlySet<string>>;
  readonly fields: ReadonlyMap<Definition, ReadonlyMap<string, FieldDefinition>>;
  readonly query: Definition | undefined;
  readonly mutation: Definition | undefined;
  readonly subscription: Definition | undefined;
};

// Documents never change. What is used once may be defined by thousands, and the other way round.
const named = new WeakMap<object, ReadonlyMap<string, unknown>>();
const required = new WeakMap<object, readonly string[]>();

/** Of those with one name the first. */
export function byName<T extends { readonly Name: string }>(parts: readonly T[]): ReadonlyMap<string, T> {
  const known = named.get(parts) as ReadonlyMap<string, T> | undefined;
  if (known !== undefined) return known;
  const found = new Map<string, T>();
  for (const part of parts) if (!found.has(part.Name)) found.set(part.Name, part);
  named.set(parts, found);
  return found;
}

/** Whether it must be given: not null, and nothing to stand in for it. */
export const isRequired = ({ Type, DefaultValue }: ArgumentDefinition): boolean =>
  Type.NonNull && DefaultValue === undefined;

/** Names of those that must be given. */
export function requiredOf(definitions: readonly (ArgumentDefinition | FieldDefinition)[]): readonly string[] {
  const known = required.get(definitions);
  if (known !== undefined) return known;
  const names = definitions.filter(isRequired).map(({ Name }) => Name);
  required.set(definitions, names);
  return names;
}

const INPUT_KINDS: ReadonlySet<string> = new Set(['SCALAR', 'ENUM', 'INPUT_OBJECT']);
const COMPOSITE_KINDS: ReadonlySet<string> = new Set(['OBJECT', 'INTERFACE', 'UNION']);

export const isInput = ({ Kind }: Definition): boolean => INPUT_KINDS.has(Kind);
export const isLeaf = ({ Kind }: Definition): boolean => Kind === 'SCALAR' || Kind === 'ENUM';
export const isComposite = ({ Kind }: Definition): boolean => COMPOSITE_KINDS.has(Kind);

/** Names such that each comes after those it `needs`; undefined when there is a cycle. Names that are not keys do not count. */
export function inOrder(needs: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const missing = new Map<string, number>();
  const neededBy = new Map<string, string[]>();
  for (const [name, all] of needs) {
    const known = new Set(all.filter((one) => needs.has(one)));
    missing.set(name, known.size);
    for (const one of known) {
      const dependents = neededBy.get(one);
      if (dependents === undefined) neededBy.set(one, [name]);
      else dependents.push(name);
    }
  }
  const order = [...needs.keys()].filter((name) => missing.get(name) === 0);
  for (const name of order) {
    for (const dependent of neededBy.get(name) ?? []) {
      const left = (missing.get(dependent) ?? 0) - 1;
      missing.set(dependent, left);
      if (left === 0) order.push(dependent);
    }
  }
  return order.length === needs.size ? order : undefined;
}
