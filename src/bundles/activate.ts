import type { JsonObject } from '../model/json.ts';
import { emptyObject } from '../values/json.ts';
import type { Bundle, Module } from './bundle.ts';
import { mergeInto } from './data.ts';
import { BundleError } from './error.ts';
import { rootsOverlap } from './roots.ts';

/** All bundles as one policy. */
export type Policy = {
  readonly modules: readonly Module[];
  readonly data: JsonObject;
  readonly revisions: { readonly [bundle: string]: string };
};

/**
 * Merges bundles whose roots are disjoint, so that there is one answer at each path: modules answer below the roots of
 * their bundle only. Throws BundleError.
 */
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
  const isOnly = list.filter(([, { modules }]) => modules.length > 0).length === 1;
  return {
    modules: list.flatMap(([name, { modules }]) =>
      isOnly ? modules : modules.map((module) => ({ ...module, path: `${name}: ${module.path}` })),
    ),
    data,
    revisions: Object.fromEntries(list.map(([name, { revision }]) => [name, revision])) as { [name: string]: string },
  };
}

export type Activation = {
  /**
   * Takes a new version of one bundle. Resolves with the revisions that serve now and did not before; with none while
   * other bundles are still to come. Rejects when it cannot serve, and then what served before still does.
   */
  readonly offer: (name: string, bundle: Bundle) => Promise<ReadonlyMap<string, string>>;
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
  let last: Promise<unknown> = Promise.resolve();
  const waiting = new Set<string>();

  async function activate(name: string, bundle: Bundle): Promise<ReadonlyMap<string, string>> {
    const next = new Map(accepted).set(name, bundle);
    const isComplete = names.every((needed) => next.has(needed));
    if (isComplete) commit(await prepare(mergeBundles(next)));
    accepted = next;
    waiting.add(name);
    if (!isComplete) return new Map();
    const fresh = [...waiting].map((each) => [each, next.get(each)?.revision ?? ''] as const);
    waiting.clear();
    return new Map(fresh);
  }

  return {
    offer: (name, bundle) => {
      const turn = last.then(() => activate(name, bundle));
      last = turn.catch(() => {});
      return turn;
    },
  };
}
