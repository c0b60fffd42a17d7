import { type Field, type FragmentDefinition, isField, isInlineFragment, type SelectionSet } from './document.ts';
import { inOrder } from './types.ts';
import { fault } from './walk.ts';

/*
 * What is asked of fragments as a whole: that they have an end (https://spec.graphql.org/October2021/#sec-Fragment-spreads-must-not-form-cycles)
 * and that introspection does not go through lists in lists in lists.
 */

/** Fragments after those that they spread. Undefined when one is spread within itself. */
export function orderedFragments(fragments: readonly FragmentDefinition[]): readonly FragmentDefinition[] | undefined {
  const named = new Map(fragments.map((fragment) => [fragment.Name, fragment]));
  const spreads = fragments.map((fragment) => [fragment.Name, spreadsIn(fragment.SelectionSet)] as const);
  return inOrder(new Map(spreads))?.flatMap((name) => named.get(name) ?? []);
}

function spreadsIn(selections: SelectionSet): readonly string[] {
  const names: string[] = [];
  const sets = [selections];
  for (const set of sets) {
    for (const selection of set) {
      if (isField(selection) || isInlineFragment(selection)) sets.push(selection.SelectionSet);
      else names.push(selection.Name);
    }
  }
  return names;
}

const LISTS: ReadonlySet<string> = new Set(['fields', 'interfaces', 'possibleTypes', 'inputFields']);
const MAX_LISTS = 3;

/** Throws BuiltinError when one of the fields is introspection with too many lists in each other. */
export function checkIntrospection(fields: Iterable<Field>, ordered: readonly FragmentDefinition[]): void {
  let lists: Map<string, number> | undefined;
  for (const { Name, SelectionSet } of fields) {
    if (Name !== '__schema' && Name !== '__type') continue;
    lists ??= listsOf(ordered);
    if (listsIn(SelectionSet, lists) >= MAX_LISTS) fault('maximum introspection depth exceeded');
  }
}

function listsOf(ordered: readonly FragmentDefinition[]): Map<string, number> {
  const lists = new Map<string, number>();
  for (const { Name, SelectionSet } of ordered) lists.set(Name, listsIn(SelectionSet, lists));
  return lists;
}

/** How many lists are in each other at most. */
function listsIn(selections: SelectionSet, fragments: ReadonlyMap<string, number>): number {
  let most = 0;
  for (const selection of selections) {
    let lists: number;
    if (isField(selection)) lists = listsIn(selection.SelectionSet, fragments) + (LISTS.has(selection.Name) ? 1 : 0);
    else if (isInlineFragment(selection)) lists = listsIn(selection.SelectionSet, fragments);
    else lists = fragments.get(selection.Name) ?? 0;
    if (lists > most) most = lists;
  }
  return most;
}
