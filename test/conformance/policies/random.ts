/** Numbers that look random and are the same in each run of one seed. */
export type Random = {
  /** In [0, below). */
  readonly int: (below: number) => number;
  readonly chance: (ofHundred: number) => boolean;
  readonly pick: <T>(choices: readonly T[]) => T;
  /** `count` different members, in their order. */
  readonly some: <T>(choices: readonly T[], count: number) => T[];
};

/** mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;

  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  const int = (below: number): number => Math.floor(next() * below);

  function pick<T>(choices: readonly T[]): T {
    const chosen = choices[int(choices.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  function some<T>(choices: readonly T[], count: number): T[] {
    const left = choices.map((_, index) => index);
    while (left.length > count) left.splice(int(left.length), 1);
    return left.flatMap((index) => choices.slice(index, index + 1));
  }

  return { int, pick, some, chance: (ofHundred) => int(100) < ofHundred };
}
