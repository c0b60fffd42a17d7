import type { BundleConfig, KeyConfig, S3Config, ServiceConfig } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { createPoll, type Look, type Poll } from './poll.ts';
import type { ServiceClient, TransferLimits } from './sources/service-client.ts';
import { createServices } from './sources/services.ts';
import type { BundleSource, OpenSource } from './sources/source.ts';
import { sourceOf } from './sources/source-of.ts';

export type PolledOptions = {
  readonly config: { readonly [name: string]: BundleConfig };
  readonly services: { readonly [name: string]: ServiceConfig };
  readonly s3: S3Config;
  /** Of `keys`, for signing assertions. */
  readonly keys: { readonly [name: string]: KeyConfig };
  /** For proxies and credentials. */
  readonly env: { readonly [name: string]: string | undefined };
  /** How long transfers may take, other than usual. */
  readonly limits?: TransferLimits;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: { readonly warn: (fields: object, message: string) => void };
};

export type Polled = {
  /** Resolves after the first look at each bundle, whatever came of it. */
  readonly start: () => Promise<void>;
  /** Looks for all bundles now, or for one. Resolves after that, whatever came of it. */
  readonly poke: (name?: string) => Promise<void>;
  readonly clientOf: (service: string) => ServiceClient;
  readonly stop: () => Promise<void>;
};

type Bundle = { readonly name: string; readonly source: OpenSource; readonly poll: Poll; readonly isPeriodic: boolean };

/** The bundles of a configuration, each looked at as it says. Throws BundleError when one has no source. */
export function createPolled(options: PolledOptions, lookAt: (name: string, source: BundleSource) => Look): Polled {
  const { clock, random } = options;
  const services = createServices(options);
  const bundles = Object.entries(options.config).map(([name, bundle]): Bundle => {
    const source = sourceOf(name, bundle, { ...options, services });
    const { min_delay_seconds: min, max_delay_seconds: max, long_polling_timeout_seconds: wait } = bundle.polling;
    const isPeriodic = bundle.trigger === 'periodic';
    const poll = createPoll({
      look: lookAt(name, source.look),
      minDelayMs: min * 1000,
      maxDelayMs: max * 1000,
      random,
      nowMs: clock.monotonicMs,
      periodic: isPeriodic,
      longPolls: isPeriodic && wait !== undefined,
    });
    return { name, source, poll, isPeriodic };
  });
  let unwatch: readonly (() => void)[] = [];

  return {
    start: async () => {
      unwatch = bundles.flatMap(({ source, poll, isPeriodic }) =>
        isPeriodic && source.watch !== undefined ? [source.watch(poll.nudge)] : [],
      );
      const starting = bundles.filter(({ source, isPeriodic }) => isPeriodic || source.looksAtStart === true);
      await Promise.all(starting.map(({ poll }) => poll.start()));
    },
    poke: async (name) => {
      const asked = bundles.filter((each) => name === undefined || each.name === name);
      await Promise.all(asked.map(({ poll }) => poll.poke()));
    },
    clientOf: services.clientOf,
    stop: async () => {
      for (const end of unwatch) end();
      for (const { poll } of bundles) poll.stop();
      await services.close();
    },
  };
}
