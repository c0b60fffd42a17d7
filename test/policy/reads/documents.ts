import type { Json } from '../../../src/model/json.ts';
import type { Reads } from '../../../src/model/reads.ts';
import type { Random } from '../../support/random.ts';

const ODD: readonly Json[] = [null, true, false, 0, '', 'x', [], {}, [1], ['x', { b: 1 }], { b: 1 }, { x: { c: 1 } }];

/** What the policy's text has in it: its strings, its numbers and its keys. */
export const wordsOf = (rego: string): readonly (string | number)[] => [
  ...new Set(
    [...rego.matchAll(/"([^"\\]*)"|\.(\w+)|(\d+)/g)].map(([, text, key, digits]) => text ?? key ?? Number(digits)),
  ),
];

/** A document with something at most of the places that are read, and other things beside them. */
export function documentFor(reads: Reads, words: readonly (string | number)[], { below, pick }: Random): Json {
  const known = words.length > 0 ? words : ['x'];
  const entries = (most: number, depth: number): [string, Json][] =>
    Array.from({ length: below(most) }, () => [String(pick(known)), value(depth - 1)]);

  function value(depth: number): Json {
    const kind = below(depth > 0 ? 10 : 6);
    if (kind < 4) return pick(known);
    if (kind < 6) return pick(ODD);
    if (kind < 8) return Array.from({ length: below(4) }, () => value(depth - 1));
    return Object.fromEntries(entries(4, depth));
  }

  function at(place: Reads): Json {
    if (place === true || below(12) === 0) return value(3);
    const there = Object.entries(place).flatMap(([key, next]): [string, Json][] =>
      below(8) === 0 ? [] : [[key, at(next)]],
    );
    return Object.fromEntries([...there, ...entries(3, 2).filter(([key]) => !Object.hasOwn(place, key))]);
  }

  return at(reads);
}
