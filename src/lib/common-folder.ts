import { statSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';

/**
 * The deepest folder that has everything at `paths` (not empty) in it, and what each is called from there; the folder
 * itself is `.`. Throws when there is nothing at one of them.
 */
export function commonFolder(paths: readonly string[]): { readonly folder: string; readonly names: readonly string[] } {
  const all = paths.map((path) => resolve(path));
  const folders = paths.map((path, i) => (statSync(path).isDirectory() ? all[i] : dirname(all[i] ?? '')) ?? '');
  let folder = folders[0] ?? '';
  while (!folders.every((other) => isWithin(other, folder))) folder = dirname(folder);
  return { folder, names: all.map((path) => relative(folder, path) || '.') };
}

const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
