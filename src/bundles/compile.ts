import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 1_048_576;

/** The `opa` on the PATH, if there is one. */
function findOpa(path: string): string | undefined {
  return path
    .split(delimiter)
    .filter((folder) => folder !== '')
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

/**
 * Rego sources to bundle bytes, by `opa build` (https://www.openpolicyagent.org/docs/cli#build). `path` becomes the
 * entrypoint. Rejects with what opa said, or with the command to run where there is no opa.
 */
export async function compileSources(
  sources: readonly string[],
  path: string,
  searchPath: string,
): Promise<Uint8Array> {
  const opa = findOpa(searchPath);
  const words = ['build', '-t', 'wasm', '-e', path, '--ignore', '*_test.rego'];
  if (opa === undefined) {
    throw new Error(
      `Rego sources need an opa binary on the PATH to be compiled; or build a bundle with \`opa ${words.join(' ')} -o bundle.tar.gz ${sources.join(' ')}\` and give that`,
    );
  }
  const folder = mkdtempSync(join(tmpdir(), 'postern-build-'));
  const output = join(folder, 'bundle.tar.gz');
  try {
    await new Promise<void>((resolve, reject) => {
      execFile(
        opa,
        [...words, '-o', output, ...sources],
        { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES },
        (error, _stdout, stderr) => {
          if (error === null) resolve();
          else reject(new Error(`opa build failed: ${stderr.trim() || error.message}`));
        },
      );
    });
    return readFileSync(output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
