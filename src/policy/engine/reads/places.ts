import type { Reads } from '../../../model/reads.ts';

/*
 * The places of the input that a policy can get at, as a tree: one for each path of constant keys.
 */

/** A value of the input, as the policy may hold it in a local. */
export type Place = { readonly depth: number; readonly below: Map<string, Place>; isWhole: boolean };

export type Places = {
  readonly input: Place;
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
  const input = create(0);

  function at(place: Place, key: string): Place | undefined {
    const known = place.below.get(key);
    if (place.isWhole || known !== undefined) return place.isWhole ? undefined : known;
    if (place.depth >= MAX_DEPTH || count >= MAX_PLACES || key === '__proto__' || AMBIGUOUS.test(key)) {
      place.isWhole = true;
      return undefined;
    }
    count++;
    const next = create(place.depth + 1);
    place.below.set(key, next);
    return next;
  }

  const readsAt = (place: Place): Reads =>
    place.isWhole || Object.fromEntries([...place.below].map(([key, next]) => [key, readsAt(next)]));

  return { input, keep: (place) => (place.isWhole = true), at, reads: () => readsAt(input) };
}
