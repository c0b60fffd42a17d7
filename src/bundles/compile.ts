import { type ExecFileException, execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { commonFolder } from '../lib/common-folder.ts';

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 1_048_576;

/** Whether a path given on the command line holds Rego and nothing compiled. Throws when there is nothing at `path`. */
export function isSource(path: string): boolean {
  if (!statSync(path).isDirectory()) return path.endsWith('.rego');
  const files = readdirSync(path, { recursive: true, encoding: 'utf8' });
  return files.some((file) => file.endsWith('.rego')) && !files.some((file) => file.endsWith('.wasm'));
}

/** The `opa` on a search path, if there is one. */
function findOpa(searchPath: string): string | undefined {
  const candidates = searchPath.split(delimiter).filter((folder) => folder !== '');
  return candidates
    .map((folder) => resolve(folder, 'opa'))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export type Compilation = {
  readonly sources: readonly string[];
  /** Paths of decisions. */
  readonly entrypoints: readonly string[];
  /** Paths of more, if the sources have them. */
  readonly optional?: readonly string[];
  /** Patterns of files to leave out, beside tests. */
  readonly ignore: readonly string[];
  readonly output: string;
  /** Where to look for opa, as PATH has it. */
  readonly searchPath: string;
  readonly revision?: string | undefined;
  /** A file, or a version of OPA: what the policy may use. */
  readonly capabilities?: string | undefined;
  /** The sources are folders laid out like bundles; what their manifests say counts. */
  readonly asBundles?: boolean;
  /** What to do with the output of the command that is told where there is no opa. */
  readonly afterwards?: string;
};

/** opa has looked at the sources and wants them otherwise; the message is its own. */
export class CompileError extends Error {
  override readonly name = 'CompileError';
}

/**
 * Rego sources to a bundle at `output`, by `opa build` (https://www.openpolicyagent.org/docs/cli#build): the sources and
 * what they are compiled to, under paths that say nothing about this machine. The same sources make the same bytes. Rejects
 * with CompileError, or with the command to run where there is no opa.
 */
export async function compileSources({ optional = [], ...compilation }: Compilation): Promise<void> {
  const opa = findOpa(compilation.searchPath);
  if (opa === undefined) throw new Error(adviceFor(compilation));
  try {
    await compile(opa, { ...compilation, entrypoints: [...new Set([...compilation.entrypoints, ...optional])] });
  } catch (error) {
    const isAbsent = (path: string): boolean => error instanceof CompileError && error.message.includes(`"${path}"`);
    if (!optional.some(isAbsent)) throw error;
    await compileSources({ ...compilation, optional: optional.filter((path) => !isAbsent(path)) });
  }
}

function adviceFor(compilation: Compilation): string {
  const { sources, afterwards } = compilation;
  const command = ['opa', 'build', ...optionsOf(compilation), '-o', 'bundle.tar.gz', ...sources].map(quoted).join(' ');
  const then = afterwards === undefined ? '' : ` and ${afterwards}`;
  return `Rego sources are compiled with opa, and there is none on the PATH; run \`${command}\`${then}`;
}

async function compile(opa: string, compilation: Compilation): Promise<void> {
  const { sources, output } = compilation;
  const options = optionsOf(compilation);
  // Names of files are compiled into the module, and opa writes them as it is given them, `..` and all.
  const { folder, names } = commonFolder(sources);
  await new Promise<void>((done, failed) => {
    const limits = { cwd: folder, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES };
    const args = ['build', ...options, '-o', resolve(output), '--', ...names];
    execFile(opa, args, limits, (error, stdout, stderr) => {
      // What is wrong with sources comes on one of the streams, and with flags on the other.
      const said = [stderr, stdout].map((text) => text.trim()).filter((text) => text !== '');
      if (error === null) done();
      else failed(new CompileError(`opa build failed: ${said.join('\n') || endOf(error)}`));
    });
  });
}

const endOf = ({ code, signal, killed }: ExecFileException): string =>
  killed === true ? `it was not done within ${TIMEOUT_MS / 1000} s` : `it ended with ${signal ?? code ?? 'no word'}`;

function optionsOf({ entrypoints, ignore, revision, capabilities, asBundles }: Compilation): readonly string[] {
  const known = capabilities !== undefined && existsSync(capabilities) ? resolve(capabilities) : capabilities;
  return [
    '-t',
    'wasm',
    ...entrypoints.flatMap((path) => ['-e', path]),
    ...['*_test.rego', ...ignore].flatMap((pattern) => ['--ignore', pattern]),
    ...(revision === undefined ? [] : ['-r', revision]),
    ...(known === undefined ? [] : ['--capabilities', known]),
    ...(asBundles === true ? ['-b'] : []),
  ];
}

/** For a shell. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** Whether a folder says what it is as a bundle, which opa overlooks unless it is told that it is one. */
export const hasManifest = (path: string): boolean => existsSync(join(path, '.manifest'));
