import { regoOf } from '../../bundles/originals.ts';
import type { Content } from '../../bundles/unpack.ts';
import { verificationOf } from '../../bundles/verification.ts';
import type { BundleReport } from '../../cli/bundle/ports.ts';
import type { Config } from '../../config/schema.ts';
import { messageOf } from '../../lib/message.ts';
import { inspectModule, type PolicyModule } from '../../policy/admission.ts';
import { openLane } from '../../policy/lane.ts';
import { NO_NETWORK, patienceFor } from '../../policy/prepare.ts';
import { stringify } from '../../values/json.ts';
import { decisionPath, limitsOf } from '../policy-holder.ts';
import { contentAt, openFiles, unpacked } from './open-file.ts';

/** A bundle as activation sees it, with everything that keeps it from serving. Rejects when there is none. */
export async function inspectBundle(file: string, config: Config): Promise<BundleReport> {
  try {
    return await inspectContent(await contentAt(file), config);
  } catch (error) {
    // A file that cannot be opened is no bundle with a problem.
    if (error instanceof Error && 'syscall' in error) throw error;
    return unusable(error);
  }
}

/** The same, of a bundle that was read. */
export const inspectContent = (content: Content, config: Config): Promise<BundleReport> =>
  reportOn(content, config).catch(unusable);

const unusable = (error: unknown): BundleReport => ({
  ...{ revision: '', roots: [], modules: [], data: 0, sources: [], metadata: {} },
  problems: [messageOf(error)],
});

async function reportOn(content: Content, config: Config): Promise<BundleReport> {
  const files = await unpacked(content);
  const { bundle, signature } = openFiles(files, verificationOf(config.keys, undefined));
  const { revision, roots, modules, data, metadata } = bundle;
  const limits = limitsOf(config);
  const text = stringify(data);
  const inspected = await Promise.all(modules.map((module) => inspectModule(module, limits.memoryBytes)));
  const problems = inspected.flatMap(({ path, problems: found }) => found.map((problem) => `${path}: ${problem}`));
  const isSound = problems.length === 0 && modules.length > 0;
  const smoke = isSound ? await askOnce(modules, text, config) : undefined;
  const allowsNetwork = config.postern.http_send.allow_hosts.length > 0;
  return {
    revision,
    roots,
    modules: inspected.map(({ problems: _, ...report }) => report),
    data: Buffer.byteLength(text),
    sources: [...regoOf(files).keys()].sort(),
    metadata,
    signature,
    problems: [
      ...problems,
      ...(smoke === undefined ? [] : [smoke]),
      ...(modules.length === 0 ? ['the bundle has no policy module, only data'] : []),
      ...(inspected.some(({ waiting }) => waiting.length > 0) && !allowsNetwork ? [NO_NETWORK] : []),
    ],
  };
}

/** The problem that asking the policy once shows, if it does. */
async function askOnce(modules: readonly PolicyModule[], data: string, config: Config): Promise<string | undefined> {
  try {
    const task = { modules, data, path: decisionPath(config), limits: limitsOf(config) };
    const { lane } = await openLane(task, patienceFor(task.data.length));
    lane.close();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
