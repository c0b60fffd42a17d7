import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bundles, createBundles } from '../bundles/bundles.ts';
import { compileSources, isSource } from '../bundles/compile.ts';
import { createBundleStore } from '../bundles/store.ts';
import type { Settings } from '../cli/ports.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { decisionPath, type PreparePolicy } from './policy-holder.ts';

type BundleFile = { readonly name: string; readonly path: string };
export type SourceSettings = Pick<Settings, 'config' | 'bundlePaths' | 'sourcePaths' | 'ignore' | 'log' | 'env'>;

export type PolicySource = {
  readonly part: Part;
  readonly status: Bundles['status'];
  readonly ages: Bundles['ages'];
  readonly poke: Bundles['poke'];
  /** Names of the bundles that are polled. */
  readonly polled: () => readonly string[];
  /** Throws before the start. */
  readonly clientOf: Bundles['clientOf'];
};

/** The bundles of configuration and command line, as a part to start; Rego sources among the latter are compiled first. */
export function createPolicySource(
  settings: SourceSettings,
  clock: Clock,
  metrics: Metrics,
  prepare: PreparePolicy,
  onStale: (stale: boolean) => void,
  onLooked: () => void = () => {},
): PolicySource {
  const { config, bundlePaths, sourcePaths, ignore, log, env } = settings;
  const { max_age_seconds: maxAge } = config.postern.bundles;
  let bundles: Bundles | undefined;
  let folder: string | undefined;

  async function compile(sources: readonly string[]): Promise<readonly BundleFile[]> {
    if (sources.length === 0) return [];
    folder = mkdtempSync(join(tmpdir(), 'postern-'));
    const output = join(folder, 'bundle.tar.gz');
    await compileSources({
      ...{ sources, ignore, output },
      entrypoints: [decisionPath(config)],
      searchPath: env['PATH'] ?? '',
      afterwards: 'start with --bundle bundle.tar.gz',
    });
    return [{ name: 'sources', path: output }];
  }

  return {
    status: () => bundles?.status() ?? {},
    ages: () => bundles?.ages() ?? [],
    poke: async (name) => bundles?.poke(name),
    polled: () => Object.keys(config.bundles),
    clientOf: (service) => {
      if (bundles === undefined) throw new Error('the services are not there yet');
      return bundles.clientOf(service);
    },
    part: {
      name: 'bundles',
      reload: async () => bundles?.poke(),
      start: async () => {
        const given = [...bundlePaths, ...sourcePaths];
        const built = given.filter((file) => !isSource(file)).map((file) => ({ name: file, path: file }));
        bundles = createBundles({
          config: config.bundles,
          services: config.services,
          keys: config.keys,
          s3: config.postern.s3,
          env,
          allowRollback: config.postern.bundles.allow_rollback,
          maxAgeMs: maxAge === null ? undefined : maxAge * 1000,
          store: createBundleStore(join(config.persistence_directory, 'bundles')),
          files: [...built, ...(await compile(given.filter(isSource)))],
          clock,
          random: Math.random,
          log,
          prepare,
          onActivated: metrics.bundleActivated,
          onFailed: metrics.bundleFailed,
          onLooked: (status) => {
            metrics.bundleLooked(status);
            onLooked();
          },
          onStale,
        });
        await bundles.start();
      },
      stop: async () => {
        await bundles?.stop();
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      },
    },
  };
}
