/*
 * `npm run bench:readme`: makes the table in the README from bench/results/latest.json.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { withBenchPart } from './readme.ts';
import { latestResults } from './results.ts';
import { tableOf } from './table.ts';

const file = resolve(import.meta.dirname, '../../README.md');
const results = latestResults();
if (results === undefined) {
  process.stderr.write('bench: there are no results yet; BENCH_WRITE=1 npm run bench\n');
  process.exit(1);
}
writeFileSync(file, withBenchPart(readFileSync(file, 'utf8'), tableOf(results)));
