import type { JsonObject } from '../model/json.ts';
import { emptyObject } from '../values/json.ts';
import { type Bundle, BundleError, type Module, mergeInto, rootsOverlap } from './bundle.ts';

/** All bundles as one policy. */
export type Policy = {
  readonly modules: readonly Module[];
  readonly data: JsonObject;
  readonly revisions: { readonly [bundle: string]: string };
};

/** Merges bundles whose roots are disjoint. Throws BundleError. */
function mergeBundles(bundles: ReadonlyMap<string, Bundle>): Policy {
  const list = [...bundles];
  const data = emptyObject();
  list.forEach(([name, bundle], i) => {
    for (const [other, earlier] of list.slice(0, i)) {
      const clash = bundle.roots.find((root) => earlier.roots.some((taken) => rootsOverlap(root, taken)));
      if (clash !== undefined) throw new BundleError(`the roots of ${name} and ${other} overlap at "${clash}"`);
    }
    mergeInto(data, bundle.data, name);
  });
  return {
    modules: list.flatMap(([, { modules }]) => modules),
    data,
    revisions: Object.fromEntries(list.map(([name, { revision }]) => [name, revision])) as { [name: string]: string },
  };
}

export type Activation = {
  /** Takes a new version of one bundle; resolves when it serves. Rejects when it cannot, and then the old one serves. */
  readonly offer: (name: string, bundle: Bundle) => Promise<void>;
};

/**
 * One activation at a time: merge, prepare away from the requests, then replace one reference. Nothing is activated
 * before every bundle in `names` has come once.
 */
export function createActivation<Prepared>(
  names: readonly string[],
  prepare: (policy: Policy) => Promise<Prepared>,
  commit: (prepared: Prepared) => void,
): Activation {
  let accepted: ReadonlyMap<string, Bundle> = new Map();
  let last: Promise<void> = Promise.resolve();

  async function activate(name: string, bundle: Bundle): Promise<void> {
    const next = new Map(accepted).set(name, bundle);
    if (names.every((needed) => next.has(needed))) commit(await prepare(mergeBundles(next)));
    accepted = next;
  }

  return {
    offer: (name, bundle) => {
      const turn = last.then(() => activate(name, bundle));
      last = turn.catch(() => {});
      return turn;
    },
  };
}
