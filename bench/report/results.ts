import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { resolve } from 'node:path';
import type { Machine, Results, Section } from './row.ts';

/*
 * The file of results, of the last full run.
 */

const root = resolve(import.meta.dirname, '../..');
const file = resolve(import.meta.dirname, '../results/latest.json');

const machine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memoryGib: Math.round(totalmem() / 2 ** 30),
  node: process.versions.node,
  system: `${type()} ${release()}`,
});

/** The commit that is measured; marked when something is changed that is not in it. */
function commit(): string {
  const git = (...args: readonly string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const isChanged = git('status', '--porcelain', '--', 'src', 'bench', 'package-lock.json', ':!bench/results') !== '';
  return `${git('rev-parse', '--short=12', 'HEAD')}${isChanged ? ' with changes' : ''}`;
}

export const resultsOf = (sections: readonly Section[], isQuick: boolean): Results => ({
  date: new Date().toISOString().slice(0, 10),
  commit: commit(),
  isQuick,
  machine: machine(),
  sections,
});

/** Figures with so many digits as mean something. */
const rounded = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;

export const toJson = (results: Results): string => `${JSON.stringify(results, rounded, 2)}\n`;

export function writeResults(results: Results): void {
  writeFileSync(file, toJson(results));
}

/** Of the last full run; undefined when there was none. */
export const latestResults = (): Results | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : undefined;
