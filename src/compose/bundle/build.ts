import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompileError, compileSources, hasManifest } from '../../bundles/compile.ts';
import { withOriginals } from '../../bundles/originals.ts';
import { pack } from '../../bundles/pack.ts';
import { gitRevision } from '../../bundles/revision.ts';
import { bundleLimits } from '../../bundles/unpack.ts';
import type { BuildBundle, BundleFile } from '../../cli/bundle/ports.ts';
import { CommandFailed } from '../../cli/failure.ts';
import { commonFolder } from '../../lib/common-folder.ts';
import { readLimited } from '../../lib/read-limited.ts';
import { replaceFile } from '../../lib/replace-file.ts';
import { logPaths } from '../log-rules.ts';
import { decisionPath } from '../policy-holder.ts';
import { inspectContent } from './inspect.ts';
import { unpacked } from './open-file.ts';

export const buildBundle: BuildBundle = async (request, config, env) => {
  const { paths, output, entrypoints, ignore, capabilities } = request;
  const revision = request.revision ?? (await gitRevision(paths, env));
  const folder = await mkdtemp(join(tmpdir(), 'postern-'));
  try {
    const built = join(folder, 'bundle.tar.gz');
    await compileSources({
      ...{ sources: paths, output: built, ignore, revision, capabilities },
      ...(entrypoints.length > 0
        ? { entrypoints }
        : { entrypoints: [decisionPath(config)], optional: Object.values(logPaths(config)) }),
      searchPath: env['PATH'] ?? '',
      // Where opa would overlook a manifest, the bundle would own everything.
      asBundles: request.asBundles || paths.some(hasManifest),
    }).catch((error: unknown) => {
      throw error instanceof CompileError ? new CommandFailed(error.message) : error;
    });
    const files = await unpacked({ archive: await readLimited(built, bundleLimits.packed) });
    const archive = pack(await withOriginals(files, commonFolder(paths).folder));
    const report = await inspectContent({ archive }, config);
    if (report.problems.length > 0) return { report, file: undefined };
    return { report, file: await writeBundle(output, archive) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Readable for whoever serves it. */
const MODE = 0o644;

export async function writeBundle(output: string, archive: Uint8Array): Promise<BundleFile> {
  await replaceFile(output, archive, MODE);
  return fileOf(archive);
}

export const fileOf = (archive: Uint8Array): BundleFile => ({
  bytes: archive.length,
  sha256: createHash('sha256').update(archive).digest('hex'),
});
