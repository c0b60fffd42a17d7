import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const opa = resolve(import.meta.dirname, '../../.tools/bin/opa');
let built = 0;

/** Compiles one Rego file with `opa build -t wasm`; returns the module. */
export const buildModule = (rego: string, folder: string, entrypoints: readonly string[]): Buffer =>
  buildModules([rego], folder, entrypoints);

/** The same of several files; `options` are further ones of `opa build`. */
export function buildModules(
  sources: readonly string[],
  folder: string,
  entrypoints: readonly string[],
  options: readonly string[] = [],
): Buffer {
  const name = join(folder, `module-${++built}`);
  const files = sources.map((rego, i) => {
    writeFileSync(`${name}-${i}.rego`, rego);
    return `${name}-${i}.rego`;
  });
  const asked = entrypoints.flatMap((entrypoint) => ['-e', entrypoint]);
  execFileSync(opa, ['build', '-t', 'wasm', ...asked, ...options, '-o', `${name}.tar.gz`, ...files], { stdio: 'pipe' });
  execFileSync('tar', ['-xzf', `${name}.tar.gz`, '-C', folder, '/policy.wasm'], { stdio: 'pipe' });
  return readFileSync(join(folder, 'policy.wasm'));
}
