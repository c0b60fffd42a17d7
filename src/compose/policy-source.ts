import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bundles, createBundles } from '../bundles/bundles.ts';
import { compileSources, isSource } from '../bundles/compile.ts';
import type { Settings } from '../cli/ports.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { decisionPath, type PreparePolicy } from './policy-holder.ts';

type BundleFile = { readonly name: string; readonly path: string };
export type SourceSettings = Pick<Settings, 'config' | 'bundlePaths' | 'sourcePaths' | 'ignore' | 'log' | 'env'>;

/** The bundles of configuration and command line, as a part to start; Rego sources among the latter are compiled first. */
export function createPolicySource(
  settings: SourceSettings,
  clock: Clock,
  metrics: Metrics,
  prepare: PreparePolicy,
): { readonly part: Part; readonly status: () => object } {
  const { config, bundlePaths, sourcePaths, ignore, log, env } = settings;
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
    part: {
      name: 'bundles',
      start: async () => {
        const given = [...bundlePaths, ...sourcePaths];
        const built = given.filter((file) => !isSource(file)).map((file) => ({ name: file, path: file }));
        bundles = createBundles({
          config: config.bundles,
          services: config.services,
          keys: config.keys,
          allowRollback: config.postern.bundles.allow_rollback,
          files: [...built, ...(await compile(given.filter(isSource)))],
          clock,
          random: Math.random,
          log,
          prepare,
          onActivated: metrics.bundleActivated,
          onFailed: metrics.bundleFailed,
        });
        await bundles.start();
      },
      stop: () => {
        bundles?.stop();
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      },
    },
  };
}
