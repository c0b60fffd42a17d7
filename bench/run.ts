/*
 * `npm run bench`: what a decision costs and how long it takes, in one table of one run. Only the ratios mean something:
 * machines differ, and these may be shared. What is compared takes turns; every answer is looked at, and a wrong one fails
 * its group, and with it the run. A goal that is missed is shown as missed, and is no error.
 *
 * It takes half an hour or more, and wants a machine for itself, of two cores or more. PEER names the binary of
 * opa-envoy-plugin (figures recorded before stand for it otherwise). BENCH_QUICK=1: six minutes, to see that all of it
 * works. BENCH_ONLY=cpu,latency: some of the groups. BENCH_JSON=FILE: the results as JSON as well. BENCH_WRITE=1: the results
 * become bench/results/latest.json, and the table in the README is made from them; of a full run only.
 */
import { writeFileSync } from 'node:fs';
import { createScope } from '../test/support/scope.ts';
import { type Bench, type Group, prepareBench } from './measured/bench.ts';
import { cpu, FLOOR, PEER } from './measured/cpu.ts';
import { envoy } from './measured/envoy.ts';
import { latency, PEER_LATENCY } from './measured/latency.ts';
import { memory } from './measured/memory.ts';
import { sizes } from './measured/sizes.ts';
import { swaps } from './measured/swaps.ts';
import { workers } from './measured/workers.ts';
import { recordPeer } from './report/peer.ts';
import { resultsOf, toJson, writeResults } from './report/results.ts';
import type { Section } from './report/row.ts';
import { tableOf } from './report/table.ts';

const groups: { readonly [name: string]: { readonly title: string; readonly measure: Group } } = {
  cpu: { title: 'CPU (user and system) per decision', measure: cpu },
  latency: { title: 'Latency at a fixed rate', measure: latency },
  swaps: { title: 'Latency while bundles are swapped', measure: swaps },
  sizes: { title: 'CPU per decision, by size of the policy', measure: sizes },
  memory: { title: 'Memory under a load that varies', measure: memory },
  envoy: { title: 'Latency through Envoy', measure: envoy },
  workers: { title: 'Workers', measure: workers },
};

const env = (name: string): string | undefined => (process.env[name] === '' ? undefined : process.env[name]);
const only = env('BENCH_ONLY')?.split(',') ?? Object.keys(groups);
const toWrite = env('BENCH_WRITE') === '1';
const unknown = only.filter((name) => groups[name] === undefined);

function fail(why: string): never {
  process.stderr.write(`bench: ${why}\n`);
  process.exit(2);
}

if (unknown.length > 0) fail(`no group named ${unknown.join()}; there are ${Object.keys(groups).join()}`);
if (toWrite && (env('BENCH_ONLY') !== undefined || env('BENCH_QUICK') === '1')) fail('only a full run is written down');

async function measureAll(bench: Bench): Promise<readonly Section[]> {
  const sections: Section[] = [];
  for (const name of only) {
    const { title, measure } = groups[name] as (typeof groups)[string];
    const startedMs = performance.now();
    try {
      sections.push({ title, rows: await measure(bench) });
    } catch (error) {
      process.exitCode = 1;
      process.stderr.write(`bench: ${name} failed: ${error instanceof Error ? error.stack : String(error)}\n`);
    }
    process.stderr.write(`bench: ${name} took ${((performance.now() - startedMs) / 1000).toFixed(0)} s\n`);
  }
  return sections;
}

const scope = createScope();
try {
  const bench = await prepareBench(scope);
  const results = resultsOf(await measureAll(bench), bench.isQuick);
  process.stdout.write(`${tableOf(results)}\n`);
  const file = env('BENCH_JSON');
  if (file !== undefined) writeFileSync(file, toJson(results));
  if (toWrite && process.exitCode === undefined) {
    writeResults(results);
    if (bench.peer !== undefined) recordPeer(results, { peer: PEER, floor: FLOOR, latency: PEER_LATENCY });
    await import('./report/update-readme.ts');
  }
} finally {
  await scope.close();
}
