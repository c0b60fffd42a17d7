import type { Prepared } from '../bundles/activate.ts';
import type { BundleStatus } from '../bundles/bundle-status.ts';
import type { Bundles, BundlesOptions } from '../bundles/bundles.ts';
import { BundleError } from '../bundles/error.ts';
import type { Config } from '../config/schema.ts';
import type { PreparePolicy } from './policy-holder.ts';

type Hooks = Pick<BundlesOptions, 'prepare' | 'onStale' | 'signedBefore'>;

export type GenerationsParts = {
  /** Throws BundleError when the configuration means no bundles. */
  readonly create: (config: Config, hooks: Hooks) => Bundles;
  readonly prepare: PreparePolicy;
  /** Whether what serves is older than it may be has changed. */
  readonly onStale: (stale: boolean) => void;
};

/** Bundles whose configuration may change while they serve. */
export type Generations = {
  /** Other bundles in the place of these. Throws BundleError. */
  readonly change: (config: Config) => Prepared;
  readonly status: Bundles['status'];
  readonly ages: Bundles['ages'];
  readonly poke: Bundles['poke'];
  readonly polled: () => readonly string[];
  readonly clientOf: Bundles['clientOf'];
  readonly stop: () => Promise<void>;
};

type Generation = { readonly bundles: Bundles; readonly names: readonly string[]; isOver: boolean; isStale: boolean };

/**
 * Those of a new configuration come beside those that serve, which are looked after until all of the new ones are there:
 * their first policy takes over. So what serves is always one whole set, and never a mixture of two.
 */
export function createGenerations({ create, prepare, onStale }: GenerationsParts): Generations {
  let serving: Generation | undefined;
  let coming: Generation | undefined;

  async function end(generation: Generation | undefined): Promise<void> {
    if (generation === undefined || generation.isOver) return;
    generation.isOver = true;
    await generation.bundles.stop();
  }

  function takeOver(generation: Generation): void {
    if (serving === generation) return;
    void end(serving);
    serving = generation;
    if (coming === generation) coming = undefined;
  }

  function open(config: Config): Generation {
    const hooks: Hooks = {
      prepare: async (policy) => {
        const prepared = await prepare(policy);
        const commit = async (): Promise<void> => {
          if (generation.isOver) {
            await prepared.abandon();
            throw new BundleError('the configuration has changed meanwhile');
          }
          takeOver(generation);
          await prepared.commit();
          if (serving === generation) onStale(generation.isStale);
        };
        return { commit, abandon: prepared.abandon };
      },
      onStale: (stale) => {
        generation.isStale = stale;
        if (serving === generation) onStale(stale);
      },
      signedBefore: (name) => serving?.bundles.signedVersion(name),
    };
    const generation: Generation = {
      bundles: create(config, hooks),
      names: Object.keys(config.bundles),
      isOver: false,
      isStale: false,
    };
    return generation;
  }

  const all = (): readonly Generation[] => [serving, coming].filter((each) => each !== undefined);
  return {
    change: (config) => {
      const generation = open(config);
      return {
        commit: async () => {
          await end(coming);
          coming = generation;
          try {
            await generation.bundles.start();
          } catch (error) {
            if (coming === generation) coming = undefined;
            await end(generation);
            throw error;
          }
        },
        abandon: () => end(generation),
      };
    },
    status: () => {
      const before = serving?.bundles.status() ?? {};
      const after = Object.entries(coming?.bundles.status() ?? {});
      return { ...before, ...Object.fromEntries(after.map(([name, each]) => [name, withActive(each, before[name])])) };
    },
    ages: () => (serving ?? coming)?.bundles.ages() ?? [],
    poke: async (name) => {
      await Promise.all(all().map(({ bundles }) => bundles.poke(name)));
    },
    polled: () => [...new Set(all().flatMap(({ names }) => names))],
    clientOf: (service) => {
      const generation = coming ?? serving;
      if (generation === undefined) throw new Error('the services are not there yet');
      return generation.bundles.clientOf(service);
    },
    stop: async () => {
      await Promise.all(all().map(end));
    },
  };
}

/** What serves is told of until something else does. */
function withActive(status: BundleStatus, before: BundleStatus | undefined): BundleStatus {
  const { active_revision, last_successful_activation } = before ?? {};
  return {
    ...(active_revision === undefined ? {} : { active_revision }),
    ...(last_successful_activation === undefined ? {} : { last_successful_activation }),
    ...status,
  };
}
