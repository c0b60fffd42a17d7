import type { Place } from './places.ts';

/**
 * What a local may hold: one of these places of the input (or null, where the input has nothing), one of these numbers
 * (the addresses of constant strings among them, and 0, which is null), or something else, all of which is kept.
 */
export type Held = {
  readonly places: ReadonlySet<Place>;
  readonly numbers: ReadonlySet<number>;
  readonly other: boolean;
};

const MAX_NUMBERS = 64;

const none: ReadonlySet<never> = new Set();
/** Nothing at all: whoever would hold it is not reached. */
export const NOTHING: Held = { places: none, numbers: none, other: false };
export const OTHER: Held = { ...NOTHING, other: true };
export const numberOf = (number: number): Held => ({ ...NOTHING, numbers: new Set([number]) });
export const NULL = numberOf(0);
export const placeOf = (...places: readonly Place[]): Held => ({ ...NOTHING, places: new Set(places) });

export const isNothing = (held: Held): boolean => !held.other && held.places.size + held.numbers.size === 0;
export const mayBeNull = ({ places, numbers, other }: Held): boolean => other || places.size > 0 || numbers.has(0);
export const mayBeSet = ({ places, numbers, other }: Held): boolean =>
  other || places.size > 0 || numbers.size > (numbers.has(0) ? 1 : 0);

/** Once it is known not to be null. */
export function withoutNull(held: Held): Held {
  if (!held.numbers.has(0)) return held;
  return { ...held, numbers: new Set([...held.numbers].filter((number) => number !== 0)) };
}

/** Either; `a` itself when `b` adds nothing. */
export function either(a: Held, b: Held): Held {
  if (a === b || contains(a, b)) return a;
  const other = a.other || b.other;
  const places = union(a.places, b.places);
  const numbers = other ? none : union(a.numbers, b.numbers);
  return numbers.size > MAX_NUMBERS ? { places, numbers: none, other: true } : { places, numbers, other };
}

const contains = (a: Held, b: Held): boolean =>
  (a.other || (!b.other && isIn(a.numbers, b.numbers))) && isIn(a.places, b.places);

/** Nearly all sets are empty or of one. */
const isIn = <T>(all: ReadonlySet<T>, some: ReadonlySet<T>): boolean =>
  some.size === 0 || (some.size <= all.size && some.isSubsetOf(all));

const union = <T>(a: ReadonlySet<T>, b: ReadonlySet<T>): ReadonlySet<T> =>
  isIn(a, b) ? a : isIn(b, a) ? b : new Set([...a, ...b]);
