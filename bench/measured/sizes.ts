import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createScope } from '../../test/support/scope.ts';
import { buildBundle, buildPolicy, startPostern } from '../../test/support/servers.ts';
import { median } from '../load/open-loop.ts';
import { sumOf, treeOf } from '../load/processes.ts';
import type { Row } from '../report/row.ts';
import { type Bench, type Group, type Measured, REQUESTS } from './bench.ts';
import { costOf, warmUp } from './cost.ts';
import { interleaved, overRounds } from './rounds.ts';

/*
 * CPU per decision of policies with many rules, and of one that looks something up in many data.
 */

const ruleCounts = [10, 100, 1000] as const;
const entryCounts = [10_000, 1_000_000] as const;
const MIB = 1_048_576;
/** Of entries in WebAssembly; far more than they take. */
const BYTES_PER_ENTRY = 1024;

const analyst = `package envoy.authz

default allow := false

is_read if {
	input.attributes.request.http.method == "GET"
	"analyst" in input.identity.claims.roles
}
`;

/** Each path is in the scope of one rule. */
const rulesPolicy = (count: number): string =>
  [
    analyst,
    ...Array.from({ length: count }, (_, i) => `allow if {\n\tinput.parsed_path[1] == "area-${i}"\n\tis_read\n}\n`),
  ].join('\n');

const pathAmong = (count: number) => (n: number) => `/v1/area-${n % count}/items/${n}?page=${n % 7}`;

const dataPolicy = `${analyst}
allow if {
	is_read
	data.tenants[input.identity.claims.sub] == input.identity.claims.tenant
}
`;

/** A bundle whose data tell the tenant of so many callers, those of the bench among them. */
function dataBundle({ folder }: Bench, entries: number): string {
  const source = join(folder, `data-${entries}`);
  mkdirSync(source);
  const tenants = Array.from({ length: entries }, (_, i) => `"user-${i}":"tenant-${i % 50}"`);
  writeFileSync(join(source, 'data.json'), `{"tenants":{${tenants.join()}}}`);
  writeFileSync(join(source, 'policy.rego'), dataPolicy);
  return buildBundle([source], join(folder, `data-${entries}.tar.gz`));
}

type Candidate = { readonly name: string; readonly server: Measured; readonly requests: string };

async function startAll(bench: Bench, scope: ReturnType<typeof createScope>): Promise<readonly Candidate[]> {
  const { callers, folder, identity, load } = bench;
  const start = async (bundle: string, memoryBytes = 64 * MIB): Promise<Measured> => {
    const config = { postern: { identity, evaluation: { memory_bytes: memoryBytes } } };
    const { grpc, process } = await startPostern(scope, { folder, config, args: ['--bundle', bundle] });
    return { grpc, pid: process.pid ?? 0 };
  };
  const candidates: Candidate[] = [];
  for (const count of ruleCounts) {
    const [name, requests] = [nameOf(count, 'rules'), `requests of ${count} rules`];
    load.give(requests, callers.requests(5000, pathAmong(count)));
    candidates.push({ name, requests, server: await start(buildPolicy(rulesPolicy(count), folder, `rules-${count}`)) });
  }
  for (const entries of entryCounts) {
    const server = await start(dataBundle(bench, entries), Math.max(64 * MIB, entries * BYTES_PER_ENTRY));
    candidates.push({ name: nameOf(entries, 'data entries'), requests: REQUESTS, server });
  }
  return candidates;
}

const nameOf = (count: number, what: string): string => `${count.toLocaleString('en')} ${what}`;

export const sizes: Group = async (bench) => {
  const scope = createScope();
  try {
    const candidates = await startAll(bench, scope);
    const named = new Map(candidates.map((candidate) => [candidate.name, candidate]));
    for (const { server, requests } of candidates) await warmUp(bench, server, requests);
    const found = await interleaved([...named.keys()], bench.full(5, 2), (name) => {
      const { server, requests } = named.get(name) as Candidate;
      return costOf(bench, server, bench.full(4000, 1500), requests);
    });
    const [fewRules, fewEntries] = [nameOf(ruleCounts[0], 'rules'), nameOf(entryCounts[0], 'data entries')];
    const rows = Object.entries(found).map(([name, costs]) => {
      const to = name.endsWith('rules') ? fewRules : fewEntries;
      const micros = costs.map((each) => each.micros);
      const few = (found[to] ?? []).map((each) => each.micros);
      const value = overRounds(micros, few, (many, one) => many / one);
      return { name, figures: [median(micros)], unit: 'µs', ratio: { to, value }, rounds: micros } as const;
    });
    return [...rows, ...candidates.slice(ruleCounts.length).map(memoryRow)];
  } finally {
    await scope.close();
  }
};

const memoryRow = ({ name, server }: Candidate): Row => ({
  name: `${name}: RSS`,
  figures: [sumOf(treeOf(server.pid), 'rssBytes') / MIB],
  unit: 'MiB',
});
