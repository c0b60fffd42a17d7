import { execFile } from 'node:child_process';
import { relative, resolve } from 'node:path';
import { commonFolder } from '../lib/common-folder.ts';
import { messageOf } from '../lib/message.ts';

const TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 16_777_216;
/** What opa takes from a folder; that of an earlier build, for one, is nothing to it. */
const SOURCE = /\.(?:rego|json|ya?ml|manifest)$/;
/** Set while git runs a hook, and then for whatever repository that is in. */
const INHERITED = ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_PREFIX'];

type Environment = { readonly [name: string]: string | undefined };

/**
 * The commit that is checked out in the repository of the first path, in full, and `-dirty` when something in the
 * repository differs from it, or when git does not know a source that is among the paths. Rejects with what git says.
 */
export async function gitRevision(paths: readonly string[], env: Environment): Promise<string> {
  const { folder } = commonFolder(paths.slice(0, 1));
  const git = createGit(folder, env);
  try {
    // Tags come and go, and how much of a hash is enough depends on how much of the history is there.
    const commit = await git('describe', '--always', '--dirty', '--exclude=*', '--abbrev=64');
    if (commit.endsWith('-dirty')) return commit;
    const within = paths.map((path) => relative(folder, resolve(path)) || '.');
    const unknown = (await git('ls-files', '-z', '--others', '--exclude-standard', '--', ...within)).split('\0');
    return unknown.some((file) => SOURCE.test(file)) ? `${commit}-dirty` : commit;
  } catch (error) {
    throw new Error(`git gives no revision (${messageOf(error)}); give one with --revision`);
  }
}

function createGit(cwd: string, env: Environment): (...args: readonly string[]) => Promise<string> {
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !INHERITED.includes(name)));
  const options = {
    ...{ cwd, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES },
    // It only looks: it takes no locks, and starts nothing that the repository names.
    env: { ...own, GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
  };
  return (...args) =>
    new Promise((resolve, reject) => {
      execFile('git', ['-c', 'core.fsmonitor=false', ...args], options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else if (error.code === 'ENOENT') reject(new Error('there is no git on the PATH'));
        else reject(new Error(stderr.trim().split('\n', 1)[0] || error.message));
      });
    });
}
