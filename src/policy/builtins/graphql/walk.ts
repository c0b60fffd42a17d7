import { BuiltinError } from '../builtin.ts';
import type { Definition, Field, FieldDefinition, FragmentDefinition, VariableDefinition } from './document.ts';
import type { Schema } from './types.ts';

/*
 * What the rules for queries have in common: what was found on the way through a query, and how a fault is told.
 */

/** What is known of a field at its place. */
export type FieldPlace = {
  readonly parent: Definition | undefined;
  readonly definition: FieldDefinition | undefined;
};

export type Walk = {
  readonly schema: Schema;
  readonly fragments: ReadonlyMap<string, FragmentDefinition>;
  readonly places: Map<Field, FieldPlace>;
  /** Fragments that some operation spreads. */
  readonly spread: Set<FragmentDefinition>;
  readonly checkDeadline: () => void;
};

/** The part of a walk that is about one operation. */
export type OperationWalk = Walk & {
  readonly variables: ReadonlyMap<string, VariableDefinition>;
  readonly usedVariables: Set<VariableDefinition>;
  /** Fragments that this operation spreads, in the order in which they were met; those not walked yet are at the end. */
  readonly reached: Set<FragmentDefinition>;
};

/** Throws BuiltinError. */
export function fault(message: string): never {
  throw new BuiltinError(`GraphQL query: ${message}`);
}

/** Throws BuiltinError when a name is there twice. */
export function checkUnique(what: string, names: readonly string[]): void {
  if (new Set(names).size !== names.length) fault(`two of one name: ${what}`);
}
