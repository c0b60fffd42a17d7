import type { JsonObject } from '../model/json.ts';
import { emptyObject } from '../values/json.ts';
import type { Bundle } from './bundle.ts';
import { mergeInto } from './data.ts';
import { BundleError } from './error.ts';
import { rootsOverlap } from './roots.ts';

/**
 * The data of bundles whose roots are disjoint, so that there is one answer at each path: modules answer below the roots
 * of their bundle only. Throws BundleError.
 */
export function mergeBundles(bundles: ReadonlyMap<string, Pick<Bundle, 'roots' | 'data'>>): JsonObject {
  const list = [...bundles];
  const data = emptyObject();
  list.forEach(([name, bundle], i) => {
    for (const [other, earlier] of list.slice(0, i)) {
      const clash = bundle.roots.find((root) => earlier.roots.some((taken) => rootsOverlap(root, taken)));
      if (clash !== undefined) throw new BundleError(`the roots of ${name} and ${other} overlap at "${clash}"`);
    }
    mergeInto(data, bundle.data, name);
  });
  return data;
}
