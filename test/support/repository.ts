import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export type TextFiles = { readonly [name: string]: string };

export function writeTexts(folder: string, files: TextFiles): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

/** git, without what the machine has configured. */
export const git = (folder: string, ...args: readonly string[]): string =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
    env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    stdio: 'pipe',
  })
    .toString()
    .trim();

/** A git repository with these files in its only commit; returns the commit. */
export function createRepository(folder: string, files: TextFiles): string {
  mkdirSync(folder, { recursive: true });
  git(folder, 'init', '-q');
  writeTexts(folder, files);
  git(folder, 'add', '-A');
  git(folder, 'commit', '-q', '-m', 'first');
  return git(folder, 'rev-parse', 'HEAD');
}
