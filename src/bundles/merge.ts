import type { JsonObject } from '../model/json.ts';
import { emptyObject } from '../values/json.ts';
import type { Bundle } from './bundle.ts';
import { mergeInto } from './data.ts';
import { BundleError } from './error.ts';
import { rootsOverlap } from './roots.ts';

/** The data of bundles whose roots are disjoint and of which one has modules. Throws BundleError. */
export function mergeBundles(bundles: ReadonlyMap<string, Pick<Bundle, 'roots' | 'modules' | 'data'>>): JsonObject {
  const list = [...bundles];
  const data = emptyObject();
  list.forEach(([name, bundle], i) => {
    for (const [other, earlier] of list.slice(0, i)) {
      const clash = bundle.roots.find((root) => earlier.roots.some((taken) => rootsOverlap(root, taken)));
      if (clash !== undefined) throw new BundleError(`the roots of ${name} and ${other} overlap at "${clash}"`);
    }
    mergeInto(data, bundle.data, name);
  });
  const compiled = list.filter(([, { modules }]) => modules.length > 0).map(([name]) => name);
  // A module says itself what it answers for; a second one could answer for what the roots give to the first.
  if (compiled.length > 1) throw new BundleError(`only one bundle may have policy modules: ${compiled.join(', ')}`);
  return data;
}
