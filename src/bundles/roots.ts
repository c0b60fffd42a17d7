import type { Json, JsonObject } from '../model/json.ts';
import { isObject } from '../values/json.ts';
import { BundleError } from './error.ts';

const owns = (root: string, path: string): boolean => root === '' || path === root || path.startsWith(`${root}/`);

/** Whether one root is the other or leads to it; the empty one owns everything. */
export const rootsOverlap = (a: string, b: string): boolean => owns(a, b) || owns(b, a);

export const isBelowRoots = (path: string, roots: readonly string[]): boolean => roots.some((root) => owns(root, path));

/** The same for a path in segments, which may have slashes in them. */
export const isWithinRoots = (path: readonly string[], roots: readonly string[]): boolean =>
  roots.some((root) => root === '' || root.split('/').every((segment, i) => path[i] === segment));

/** Throws BundleError when one root of a bundle contains another, as OPA does. */
export function requireDisjoint(roots: readonly string[]): void {
  for (const [i, root] of roots.entries()) {
    const other = roots.slice(0, i).find((earlier) => rootsOverlap(root, earlier));
    if (other !== undefined) throw new BundleError(`.manifest: the roots "${other}" and "${root}" overlap`);
  }
}

/** Throws BundleError for data at a path that the bundle does not own. */
export function requireBelowRoots(data: JsonObject, roots: readonly string[]): void {
  const segments = roots.map((root) => (root === '' ? [] : root.split('/')));
  // `left` are the roots that lead on from here, and what is left of them.
  const outside = (value: Json, path: string, left: readonly (readonly string[])[]): string | undefined => {
    if (left.some((root) => root.length === 0)) return undefined;
    if (left.length === 0 || !isObject(value)) return path;
    for (const [key, item] of Object.entries(value)) {
      const below = left.filter(([first]) => first === key).map((root) => root.slice(1));
      const found = outside(item, path === '' ? key : `${path}/${key}`, below);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const stray = outside(data, '', segments);
  if (stray !== undefined) throw new BundleError(`the data at ${stray || 'the top'} is outside of the bundle's roots`);
}
