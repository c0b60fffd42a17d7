import { median } from '../load/open-loop.ts';

/*
 * Things that are compared take turns, so that what else the machine does meets all of them; a ratio is taken within a
 * round, and of the rounds the median.
 */

/** Measures each of several by its name, again and again; gives the rounds of each. */
export async function interleaved<Name extends string, T>(
  names: readonly Name[],
  rounds: number,
  measure: (name: Name, round: number) => Promise<T>,
): Promise<{ readonly [name in Name]: readonly T[] }> {
  const found = Object.fromEntries(names.map((name) => [name, [] as T[]])) as unknown as { [name in Name]: T[] };
  for (let round = 0; round < rounds; round++) {
    for (const name of names) found[name].push(await measure(name, round));
  }
  return found;
}

/** The median over the rounds of what `of` makes of both values of one round. */
export const overRounds = <T>(one: readonly T[], other: readonly T[], of: (one: T, other: T) => number): number =>
  median(one.map((value, round) => of(value, other[round] as T)));
