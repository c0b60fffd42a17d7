import { execFile } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

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
    .map((folder) => join(folder, 'opa'))
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
  /** Path of the decision; becomes the entrypoint. */
  readonly path: string;
  /** Patterns of files to leave out, beside tests. */
  readonly ignore: readonly string[];
  readonly output: string;
  /** Where to look for opa, as PATH has it. */
  readonly searchPath: string;
};

/**
 * Rego sources to a bundle at `output`, by `opa build` (https://www.openpolicyagent.org/docs/cli#build). Rejects with
 * what opa said, or with the command to run where there is no opa.
 */
export async function compileSources({ sources, path, ignore, output, searchPath }: Compilation): Promise<void> {
  const opa = findOpa(searchPath);
  const words = [
    'build',
    '-t',
    'wasm',
    '-e',
    path,
    ...['*_test.rego', ...ignore].flatMap((pattern) => ['--ignore', pattern]),
  ];
  if (opa === undefined) {
    const command = ['opa', ...words, '-o bundle.tar.gz', ...sources].join(' ');
    throw new Error(
      `Rego sources are compiled with opa, and there is none on the PATH; run \`${command}\` and start with --bundle bundle.tar.gz`,
    );
  }
  await new Promise<void>((resolve, reject) => {
    const limits = { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES };
    execFile(opa, [...words, '-o', output, ...sources], limits, (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`opa build failed: ${stderr.trim() || error.message}`));
    });
  });
}
