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
  const storeOf = (mode: string): Tree =>
    mode === 'none' ? {} : { store: { path: join(folder, mode), input: mode, on_overflow: 'drop' } };
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
  for (const { server } of candidates) await load(server, ROUND_MS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { mode, server, perDecision } of candidates) {
      const pid = server.process.pid ?? 0;
      const before = cpuMicros(pid);
      const { answered, wrong } = await load(server, ROUND_MS);
      if (wrong > 0) throw new Error(`${mode}: ${wrong} of ${answered} answers are wrong`);
      perDecision.push((cpuMicros(pid) - before) / answered);
    }
  }
  const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  const least = (values: readonly number[]): number => Math.min(...values);
  const [first] = candidates;
  const base = { median: median(first?.perDecision ?? [1]), least: least(first?.perDecision ?? [1]) };
  for (const { mode, server, perDecision } of candidates) {
    const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    const dropped = /^postern_store_dropped_decisions_total\{reason="overflow"\} (\d+)$/m.exec(text)?.[1] ?? '0';
    // Others on the machine only ever make it more.
    const ratios = [median(perDecision) / base.median, least(perDecision) / base.least].map((r) => r.toFixed(2));
    process.stdout.write(
      `${mode}: median ${median(perDecision).toFixed(1)} µs, ratio ${ratios[0]}; least ${least(perDecision).toFixed(1)} µs, ratio ${ratios[1]}; ${dropped} dropped\n`,
    );
  }
} finally {
  await scope.close();
}
