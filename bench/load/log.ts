/*
 * `npm run bench:log`: CPU (user and system) of the server process per decision with the decision log on the disk, against
 * without it, by mode. Rounds take turns; only ratios of one run mean something.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../test/support/process.ts';
import { createScope } from '../../test/support/scope.ts';
import { buildBundle, type Server, scratchFolder, startPostern, type Tree } from '../../test/support/servers.ts';
import { cpuMicros, runLoad } from './client.ts';
import { benchIssuer, benchRequests } from './requests.ts';

const ROUND_MS = Number(process.env['BENCH_MS'] ?? 2500);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
/** `none`, or how much of the input is kept and, behind a dash, the durability. */
const modes = (process.env['BENCH_MODES'] ?? 'none,masked').split(',');

type Candidate = { readonly mode: string; readonly server: Server; readonly perDecision: number[] };

const scope = createScope();
try {
  const folder = scratchFolder(scope);
  const { requests, jwks } = await benchRequests(1000);
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify(jwks));
  const bundle = buildBundle([join(root, 'bench/fixtures/verified')], join(folder, 'bundle.tar.gz'));
  const identity = { required: true, issuers: [{ issuer: benchIssuer, jwks_file: keys }] };
  const storeOf = (mode: string): Tree => {
    if (mode === 'none') return {};
    const [input, durability = 'group'] = mode.split('-');
    return { store: { path: join(folder, mode), input, durability } };
  };
  const candidates: Candidate[] = [];
  for (const mode of modes) {
    const config = { postern: { identity, ...storeOf(mode) } };
    candidates.push({
      mode,
      server: await startPostern(scope, { folder, args: ['--bundle', bundle], config }),
      perDecision: [],
    });
  }
  const load = (server: Server, milliseconds: number): ReturnType<typeof runLoad> =>
    runLoad({
      address: server.grpc,
      requests,
      connections: 2,
      streamsPerConnection: 16,
      milliseconds,
      // An empty status: allowed.
      isRight: (response) => response[0] === 0x0a && response[1] === 0x00,
    });
  const together = (): Promise<readonly Awaited<ReturnType<typeof runLoad>>[]> =>
    Promise.all(candidates.map(({ server }) => load(server, ROUND_MS)));
  await together();
  for (let round = 0; round < ROUNDS; round++) {
    const before = candidates.map(({ server }) => cpuMicros(server.process.pid ?? 0));
    const results = await together();
    candidates.forEach(({ mode, server, perDecision }, i) => {
      const { answered = 0, wrong = 0 } = results[i] ?? {};
      if (wrong > 0 || answered === 0) throw new Error(`${mode}: ${wrong} of ${answered} answers are wrong`);
      perDecision.push((cpuMicros(server.process.pid ?? 0) - (before[i] ?? 0)) / answered);
    });
  }
  const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  const base = median(candidates[0]?.perDecision ?? [1]);
  for (const { mode, server, perDecision } of candidates) {
    const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    const dropped = /^postern_store_dropped_decisions_total\{reason="overflow"\} (\d+)$/m.exec(text)?.[1] ?? '0';
    const own = median(perDecision);
    process.stdout.write(`${mode}: ${own.toFixed(1)} µs, ratio ${(own / base).toFixed(2)}, ${dropped} dropped\n`);
  }
} finally {
  await scope.close();
}
