import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBundles } from '../bundles/bundles.ts';
import { compileSources, isSource } from '../bundles/compile.ts';
import type { RetainedBundles } from '../bundles/retained.ts';
import { createBundleStore } from '../bundles/store.ts';
import type { Settings } from '../cli/ports.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createGenerations, type Generations } from './bundle-generations.ts';
import { logPaths } from './log-rules.ts';
import { decisionPath, type PreparePolicy } from './policy-holder.ts';

type BundleFile = { readonly name: string; readonly path: string };
export type SourceSettings = Pick<Settings, 'config' | 'bundlePaths' | 'sourcePaths' | 'ignore' | 'log' | 'env'>;

export type PolicySource = Omit<Generations, 'stop'> & { readonly part: Part };

/** The bundles of configuration and command line, as a part to start; Rego sources among the latter are compiled first. */
export function createPolicySource(
  settings: SourceSettings,
  clock: Clock,
  metrics: Metrics,
  prepare: PreparePolicy,
  onStale: (stale: boolean) => void,
  onLooked: () => void = () => {},
  retained?: RetainedBundles,
): PolicySource {
  const { config, bundlePaths, sourcePaths, ignore, log, env } = settings;
  const store = createBundleStore(join(config.persistence_directory, 'bundles'));
  let files: readonly BundleFile[] = [];
  let folder: string | undefined;
  const generations = createGenerations({
    create: ({ bundles, services, keys, postern }, hooks) =>
      createBundles({
        ...hooks,
        ...{ config: bundles, services, keys, s3: postern.s3, env, files, store, retained, clock, log },
        allowRollback: postern.bundles.allow_rollback,
        maxAgeMs: postern.bundles.max_age_seconds === null ? undefined : postern.bundles.max_age_seconds * 1000,
        random: Math.random,
        onActivated: metrics.bundleActivated,
        onFailed: metrics.bundleFailed,
        onLooked: (status) => {
          metrics.bundleLooked(status);
          onLooked();
        },
      }),
    prepare,
    onStale,
  });

  async function compile(sources: readonly string[]): Promise<readonly BundleFile[]> {
    if (sources.length === 0) return [];
    folder = mkdtempSync(join(tmpdir(), 'postern-'));
    const output = join(folder, 'bundle.tar.gz');
    await compileSources({
      ...{ sources, ignore, output },
      entrypoints: [decisionPath(config)],
      optional: Object.values(logPaths(config)),
      searchPath: env['PATH'] ?? '',
      afterwards: 'start with --bundle bundle.tar.gz',
    });
    return [{ name: 'sources', path: output }];
  }

  const { stop, ...source } = generations;
  return {
    ...source,
    part: {
      name: 'bundles',
      reload: () => source.poke(),
      start: async () => {
        const given = [...bundlePaths, ...sourcePaths];
        const built = given.filter((file) => !isSource(file)).map((file) => ({ name: file, path: file }));
        files = [...built, ...(await compile(given.filter(isSource)))];
        await source.change(config).commit();
      },
      stop: async () => {
        await stop();
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      },
    },
  };
}
