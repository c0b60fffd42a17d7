import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bundles } from '../bundles/bundles.ts';
import { compileSources, isSource } from '../bundles/compile.ts';
import type { Settings } from '../cli/ports.ts';
import type { Part } from '../lib/lifecycle.ts';

type BundleFile = { readonly name: string; readonly path: string };

/** The bundles of configuration and command line, as a part to start; Rego sources among the latter are compiled first. */
export function createPolicySource(
  { bundlePaths, sourcePaths, ignore, env }: Pick<Settings, 'bundlePaths' | 'sourcePaths' | 'ignore' | 'env'>,
  path: string,
  create: (files: readonly BundleFile[]) => Bundles,
): { readonly part: Part; readonly status: () => object } {
  let bundles: Bundles | undefined;
  let folder: string | undefined;

  async function compile(sources: readonly string[]): Promise<readonly BundleFile[]> {
    if (sources.length === 0) return [];
    folder = mkdtempSync(join(tmpdir(), 'postern-'));
    const output = join(folder, 'bundle.tar.gz');
    await compileSources({ sources, path, ignore, output, searchPath: env['PATH'] ?? '' });
    return [{ name: 'sources', path: output }];
  }

  return {
    status: () => bundles?.status() ?? {},
    part: {
      name: 'bundles',
      start: async () => {
        const given = [...bundlePaths, ...sourcePaths];
        const built = given.filter((file) => !isSource(file)).map((file) => ({ name: file, path: file }));
        bundles = create([...built, ...(await compile(given.filter(isSource)))]);
        await bundles.start();
      },
      stop: async () => {
        await bundles?.stop();
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      },
    },
  };
}
