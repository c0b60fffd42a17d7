import { join } from 'node:path';
import type { Prepared } from '../bundles/activate.ts';
import { reported } from '../bundles/bundle-status.ts';
import { createBundles } from '../bundles/bundles.ts';
import { BundleError } from '../bundles/error.ts';
import { createBundleStore } from '../bundles/store.ts';
import type { Running, Settings } from '../cli/ports.ts';
import { type DiscoveryConfig, discoveryBundle, discoveryPath } from '../config/discovery.ts';
import type { Config } from '../config/schema.ts';
import { systemClock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import { readDiscovered, requireSameRoots, sameBundles, sectionsToStart } from './discovered.ts';

/** A server whose bundles can change while it runs. */
export type Changeable = Running & {
  /** Throws BundleError. */
  readonly change: (config: Config) => Prepared;
  /** Whether there is a policy. */
  readonly isServing: () => boolean;
  /** Something that its status tells has changed. */
  readonly statusChanged: () => void;
  /** As `stop`, without waiting for others to notice. */
  readonly stopNow: () => Promise<void>;
};

/** What a server tells of the discovery bundle that its configuration comes from. */
export type Discovery = {
  readonly status: () => object;
  /** Whether a configuration has been found. */
  readonly isReady: () => boolean;
  readonly isFailing: () => boolean;
  /** Sections of the newest configuration that wait for a start. */
  readonly waiting: () => readonly string[];
};

type Start = (settings: Settings, discovery: Discovery) => Promise<Changeable>;

/** The name of the bundle in logs and in the status. */
const NAME = 'discovery';
/** Characters. */
const MAX_PROBLEMS = 2000;

/**
 * Starts a server with the configuration that a discovery bundle adds to its own
 * (https://www.openpolicyagent.org/docs/management-discovery), or with its own alone while there is none, and follows the
 * bundle from then on. Rejects when the server cannot start.
 */
export async function startDiscovered(settings: Settings, config: DiscoveryConfig, start: Start): Promise<Running> {
  const { config: boot, log, env } = settings;
  const path = discoveryPath(config);
  let found: Config | undefined;
  let running = boot;
  let waiting: readonly string[] = [];
  let server: Promise<Changeable> | undefined;
  let changing: Promise<unknown> = Promise.resolve();
  let isStopping = false;

  const bundles = createBundles({
    config: { [NAME]: discoveryBundle(config) },
    ...{ services: boot.services, keys: boot.keys, s3: boot.postern.s3, env, log },
    allowRollback: boot.postern.bundles.allow_rollback,
    maxAgeMs: undefined,
    store: createBundleStore(join(boot.persistence_directory, NAME)),
    files: [],
    clock: systemClock,
    random: Math.random,
    prepare: async (policy) => {
      const loaded = settings.configure(await readDiscovered(policy, path, boot));
      if (!loaded.ok)
        throw new BundleError(
          `the configuration in it is refused: ${loaded.problems.join('; ').slice(0, MAX_PROBLEMS)}`,
        );
      requireSameRoots(loaded.config, boot);
      const commit = (): Promise<void> => {
        for (const warning of loaded.warnings) log.warn({}, `discovered configuration: ${warning}`);
        if (loaded.overridden.length > 0)
          log.info({ keys: loaded.overridden }, 'the first configuration goes before it');
        const turn = changing.then(() => adopt(loaded.config));
        changing = turn.catch(() => {});
        return turn;
      };
      return { commit, abandon: () => {} };
    },
    onActivated: () => {},
    onFailed: () => {},
    onLooked: () => void server?.then(({ statusChanged }) => statusChanged()).catch(() => {}),
    onStale: () => {},
  });

  async function adopt(wanted: Config): Promise<void> {
    if (isStopping) return;
    if (server === undefined) {
      found = wanted;
      return;
    }
    const current = await server;
    const sections = sectionsToStart(running, wanted);
    if (sections.length > 0 && found === undefined && !current.isServing()) {
      await startAnew(current, wanted);
    } else if (sections.length > 0) {
      waiting = sections;
      log.warn({ sections }, 'the discovered configuration changes what needs a start; all of it waits for that');
      return;
    } else if (!sameBundles(running, wanted)) {
      if (Object.keys(wanted.bundles).length === 0 && current.isServing())
        throw new BundleError('the configuration in it has no bundles, which would leave nothing to serve');
      await current.change(wanted).commit();
    }
    found = wanted;
    running = wanted;
    waiting = [];
  }

  /** Until now it has refused everything, so that nobody misses it meanwhile. */
  async function startAnew(current: Changeable, wanted: Config): Promise<void> {
    await current.stopNow();
    server = start({ ...settings, config: wanted }, view);
    try {
      await server;
    } catch (error) {
      server = start(settings, view);
      await server;
      throw new BundleError(`the configuration in it cannot be started: ${messageOf(error)}`);
    }
  }

  const status = () => bundles.status()[NAME] ?? { name: NAME };
  const view: Discovery = {
    status: () => ({ ...reported(status()), ...(waiting.length === 0 ? {} : { waits_for_start: waiting }) }),
    isReady: () => found !== undefined,
    isFailing: () => status().code !== undefined,
    waiting: () => waiting,
  };

  await bundles.start();
  await changing;
  running = found ?? boot;
  if (found === undefined) log.warn({}, 'no configuration was discovered yet; this is the one from before');
  server = start({ ...settings, config: running }, view);
  const first = await server.catch(async (error: unknown) => {
    await bundles.stop();
    throw error;
  });
  let last = first;
  const latest = (): Changeable => last;
  const follow = async (): Promise<Changeable> => {
    await changing;
    last = (await server) ?? last;
    return last;
  };
  return {
    addresses: first.addresses,
    path: first.path,
    revisions: () => latest().revisions(),
    isReady: () => latest().isReady(),
    reload: async () => {
      await bundles.poke();
      return [NAME, ...(await (await follow()).reload())];
    },
    restart: first.restart && (async () => (await follow()).restart?.()),
    stop: async () => {
      isStopping = true;
      await bundles.stop();
      await (await follow()).stop();
    },
  };
}
