import type { Reads } from '../../../model/reads.ts';

/*
 * The places of the input that a policy can get at, as a tree: one for each path of constant keys.
 */

/** What the policy may hold in a local that leads to the input. */
export type Place = { readonly depth: number; readonly below: Map<string, Place>; isWhole: boolean };

export type Places = {
  readonly input: Place;
  /** What `eval` is given: where the input is, the data, the result's place, the entrypoint (wasm/src/context.h). */
  readonly context: Place;
  /** A rule's number in the table of functions; leads to nothing. */
  readonly element: Place;
  /** Marks all of `place` as read. */
  readonly keep: (place: Place) => void;
  /** The place behind `key`; undefined when `place` is read as a whole, now or from now on. */
  readonly at: (place: Place, key: string) => Place | undefined;
  readonly reads: () => Reads;
};

const MAX_DEPTH = 32;
const MAX_PLACES = 1_000;

/**
 * Keys that another key of a document could be taken for: the module decodes unpaired surrogates to characters from
 * U+FC00 on (wasm/src/unicode.c).
 */
const AMBIGUOUS = /[\ud800-\udfff\ufc00-\uffff]/;

export function createPlaces(): Places {
  let count = 0;
  const create = (depth: number): Place => ({ depth, below: new Map(), isWhole: false });
  const [input, context, element] = [create(0), create(0), create(0)];

  function keep(place: Place): void {
    place.isWhole = true;
    if (place === context) input.isWhole = true;
  }

  function at(place: Place, key: string): Place | undefined {
    if (place.isWhole) return undefined;
    const known = place.below.get(key);
    if (known !== undefined) return known;
    const isBeyond = place.depth >= MAX_DEPTH || count >= MAX_PLACES || place === context;
    if (isBeyond || key === '__proto__' || AMBIGUOUS.test(key)) {
      keep(place);
      return undefined;
    }
    count++;
    const next = create(place.depth + 1);
    place.below.set(key, next);
    return next;
  }

  const readsAt = (place: Place): Reads =>
    place.isWhole || Object.fromEntries([...place.below].map(([key, next]) => [key, readsAt(next)]));

  return { input, context, element, keep, at, reads: () => readsAt(input) };
}
