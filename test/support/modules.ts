import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const opa = resolve(import.meta.dirname, '../../.tools/bin/opa');
let built = 0;

/** Compiles one Rego file with `opa build -t wasm`; returns the module. */
export function buildModule(rego: string, folder: string, entrypoints: readonly string[]): Buffer {
  const name = join(folder, `module-${++built}`);
  writeFileSync(`${name}.rego`, rego);
  const options = entrypoints.flatMap((entrypoint) => ['-e', entrypoint]);
  execFileSync(opa, ['build', '-t', 'wasm', ...options, '-o', `${name}.tar.gz`, `${name}.rego`], { stdio: 'pipe' });
  execFileSync('tar', ['-xzf', `${name}.tar.gz`, '-C', folder, '/policy.wasm'], { stdio: 'pipe' });
  return readFileSync(join(folder, 'policy.wasm'));
}
