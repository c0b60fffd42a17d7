import { createOneByOne } from '../lib/one-by-one.ts';
import type { Module } from './bundle.ts';
import type { Read, ReadBundle, ReadTask } from './reader.ts';
import type { RetainedBundles } from './retained.ts';
import type { SignedVersion } from './rollback.ts';

/** All bundles as one policy. */
export type Policy = {
  readonly modules: readonly Module[];
  /** All of the data, as JSON text in UTF-8. */
  readonly data: Uint8Array;
  readonly revisions: { readonly [bundle: string]: string };
  /** Of the versions (SHA-256, hex): the same digest, the same policy and data. */
  readonly digests: { readonly [bundle: string]: string };
};

/** A new version of one bundle, and how it is to be read. */
export type Offer = Pick<ReadTask, 'content' | 'maxBytes' | 'verification' | 'allowRollback' | 'nowMs'>;

/** A policy that could serve. */
export type Prepared = {
  readonly commit: () => Promise<void> | void;
  /** It will not serve. */
  readonly abandon: () => Promise<void> | void;
};

export type ActivationParts = {
  /** Nothing is activated before each of these bundles has come once. */
  readonly names: readonly string[];
  readonly read: (task: ReadTask) => Promise<Read>;
  /** Rejects when it cannot serve. */
  readonly prepare: (policy: Policy) => Promise<Prepared>;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** What served under these names before there was this activation. */
  readonly signedBefore?: ((name: string) => SignedVersion | undefined) | undefined;
  /** Keeps what decisions are made with; left out: nobody wants to know it later. */
  readonly retained?: Pick<RetainedBundles, 'keep' | 'activated'> | undefined;
};

export type Activated = {
  readonly kind: Read['kind'];
  /** Revisions that serve now and did not before; none while other bundles are still to come. */
  readonly fresh: ReadonlyMap<string, string>;
  /** How long it took to read it and to make it ready to serve, ms. */
  readonly took: { readonly readMs: number; readonly prepareMs: number | undefined };
};

export type Activation = {
  /** Takes a new version of one bundle. Rejects when it cannot serve, and then what served before still does. */
  readonly offer: (name: string, offer: Offer) => Promise<Activated>;
  /** The newest signed version of a bundle. */
  readonly signedVersion: (name: string) => SignedVersion | undefined;
};

/** One activation at a time: read and merge, prepare away from the requests, then replace one reference. */
export function createActivation(parts: ActivationParts): Activation {
  const { names, read, prepare, nowMs, signedBefore, retained } = parts;
  let accepted: ReadonlyMap<string, ReadBundle> = new Map();
  const inTurn = createOneByOne();
  const waiting = new Set<string>();

  async function activate(name: string, offer: Offer): Promise<Activated> {
    const isComplete = names.every((needed) => needed === name || accepted.has(needed));
    const others = new Map([...accepted].filter(([other]) => other !== name));
    const beganMs = nowMs();
    const { kind, bundle, packed, merged } = await read({
      ...offer,
      name,
      current: accepted.get(name),
      signedBefore: signedBefore?.(name),
      others: isComplete ? others : undefined,
      packs: retained !== undefined,
    });
    const readMs = nowMs();
    const next = new Map(accepted).set(name, bundle);
    const archive = packed ?? ('archive' in offer.content ? offer.content.archive : undefined);
    if (archive !== undefined)
      await retained?.keep({ ...bundle.origin, bundle: name, revision: bundle.revision }, archive);
    const fresh = new Map([...waiting, name].map((each) => [each, next.get(each)?.revision ?? '']));
    if (merged !== undefined) await serve(next, merged, fresh.keys());
    accepted = next;
    const took = { readMs: readMs - beganMs, prepareMs: merged === undefined ? undefined : nowMs() - readMs };
    if (merged === undefined) {
      waiting.add(name);
      return { kind, took, fresh: new Map() };
    }
    waiting.clear();
    return { kind, took, fresh };
  }

  /** `fresh`: the bundles whose versions have not served before. */
  async function serve(all: ReadonlyMap<string, ReadBundle>, data: Uint8Array, fresh: Iterable<string>): Promise<void> {
    const prepared = await prepare(policyOf(all, data));
    // Before the first decision is made with them.
    await retained?.activated([...fresh].flatMap((name) => all.get(name)?.origin.digest ?? []));
    await prepared.commit();
  }

  return {
    offer: (name, offer) => inTurn(() => activate(name, offer)),
    signedVersion: (name) => accepted.get(name)?.signed,
  };
}

const policyOf = (bundles: ReadonlyMap<string, ReadBundle>, data: Uint8Array): Policy => ({
  modules: [...bundles].flatMap(([name, { modules }]) =>
    modules.map((module) => (bundles.size === 1 ? module : { ...module, path: `${name}: ${module.path}` })),
  ),
  data,
  revisions: Object.fromEntries([...bundles].map(([name, { revision }]) => [name, revision])),
  digests: Object.fromEntries([...bundles].map(([name, { origin }]) => [name, origin.digest])),
});
