import { either, type Held } from './values.ts';

/*
 * The locals of a function at one place of its code. A function of many rules has thousands, and each rule changes a few:
 * they are the leaves of a tree of even depth, and what is kept for one place shares all else with what is kept for others.
 */

export type Locals = { readonly top: Branch; readonly shift: number };
type Branch = readonly (Branch | Held)[];

const BITS = 4;
const WIDTH = 2 ** BITS;

export function localsOf(values: readonly Held[]): Locals {
  let top: Branch = values;
  let shift = 0;
  for (; top.length > WIDTH; shift += BITS) {
    const level: Branch = top;
    top = Array.from({ length: Math.ceil(level.length / WIDTH) }, (_, i) => level.slice(i * WIDTH, (i + 1) * WIDTH));
  }
  return { top, shift };
}

const isBranch = (each: Branch | Held | undefined): each is Branch => Array.isArray(each);

/** Undefined when there are not so many. */
export function localAt({ top, shift }: Locals, index: number): Held | undefined {
  let at: Branch | Held | undefined = top;
  for (let by = shift; by >= 0 && isBranch(at); by -= BITS) at = at[by === shift ? index >> by : (index >> by) % WIDTH];
  return isBranch(at) ? undefined : at;
}

/** The same with another value in one of them. */
export function withLocal(locals: Locals, index: number, held: Held): Locals {
  const replaced = (branch: Branch, shift: number): Branch => {
    const at = (index >> shift) % WIDTH;
    const below = branch[at];
    return branch.with(at, isBranch(below) ? replaced(below, shift - BITS) : held);
  };
  return localAt(locals, index) === held ? locals : { ...locals, top: replaced(locals.top, locals.shift) };
}

/** What they may be where two ways meet; `a` itself when `b` adds nothing. `spend` hears of how much is compared. */
export function joined(a: Locals, b: Locals, spend: (steps: number) => void): Locals {
  const join = (one: Branch, other: Branch): Branch => {
    if (one === other) return one;
    spend(one.length);
    const all = one.map((each, i) => {
      const more = other[i];
      if (isBranch(each)) return isBranch(more) ? join(each, more) : each;
      if (more === undefined || isBranch(more) || more === each) return each;
      spend(more.places.size);
      return either(each, more);
    });
    return all.every((each, i) => each === one[i]) ? one : all;
  };
  const top = join(a.top, b.top);
  return top === a.top ? a : { ...a, top };
}
