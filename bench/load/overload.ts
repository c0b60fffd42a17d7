/*
 * `npm run bench:overload`: what is left of the service when several times as much is asked as it can answer. For each
 * policy, first the most that it answers in a closed loop; then an open loop at a multiple of that, from processes of its
 * own; then half of the most, to see how soon all is well again. Calls are given up after 200 ms, as Envoy does. Only
 * answers that come in time count. Exits with 1 when an answer was neither an allow nor a denial with 503 and Retry-After.
 *
 * BENCH_WORK (0,50,200: turns of a loop in the policy), BENCH_TIMES (5), BENCH_MS (8000), BENCH_CONNECTIONS (4),
 * BENCH_STREAMS (16 of each in the closed loop), BENCH_GENERATORS (2 processes), BENCH_WORKERS (1).
 */
import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createScope } from '../../test/support/scope.ts';
import { buildPolicy, scratchFolder, startPostern } from '../../test/support/servers.ts';
import { cpuMicros } from './client.ts';
import type { GeneratorReport, GeneratorTask } from './generator.ts';
import { quantile } from './open-loop.ts';
import { benchIssuer, benchRequests } from './requests.ts';

const numberOf = (name: string, fallback: number): number => Number(process.env[name] ?? fallback);
const WORK = (process.env['BENCH_WORK'] ?? '0,50,200').split(',').map(Number);
const TIMES = numberOf('BENCH_TIMES', 5);
const MS = numberOf('BENCH_MS', 8000);
const CONNECTIONS = numberOf('BENCH_CONNECTIONS', 4);
const STREAMS = numberOf('BENCH_STREAMS', 16);
const GENERATORS = numberOf('BENCH_GENERATORS', 2);
const WORKERS = numberOf('BENCH_WORKERS', 1);
const TIMEOUT_MS = 200;
const WARM_UP_MS = 4000;

const policyOf = (turns: number): string => `package envoy.authz

default allow := false

allow if {
	startswith(input.attributes.request.http.path, "/v1/items")
	"analyst" in input.identity.claims.roles
	sum([x | some x in numbers.range(1, ${turns + 1})]) > 0
}
`;

const out = (line: string): void => void process.stdout.write(`${line}\n`);

function generate(task: GeneratorTask): Promise<GeneratorReport> {
  const child = fork(join(import.meta.dirname, 'generator.ts'), { serialization: 'advanced' });
  child.send(task);
  return new Promise((resolve, reject) => {
    child.once('message', (report) => resolve(report as GeneratorReport));
    child.once('exit', () => reject(new Error('a load generator ended')));
  });
}

const sumOf = (
  reports: readonly GeneratorReport[],
  what: 'allowed' | 'refused' | 'timedOut' | 'lost' | 'heldBack' | 'wrong',
) => reports.reduce((sum, report) => sum + report[what], 0);

const scope = createScope();
try {
  const folder = scratchFolder(scope);
  const { requests, jwks } = await benchRequests(500);
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify(jwks));
  const identity = { required: true, issuers: [{ issuer: benchIssuer, jwks_file: keys }] };
  const overload = { max_delay_ms: numberOf('BENCH_DELAY_MS', 25) };
  out(`${TIMES} times the most, ${MS} ms, ${GENERATORS} load generators, ${WORKERS} serving\n`);
  out(
    '| most per second | asked | answered in time | ratio | refused | p50 | p99, ms | allowed p99, ms | given up | lost | held back | CPU | well again, s | RSS |',
  );
  out('|---|---|---|---|---|---|---|---|---|---|---|---|---|---|');
  for (const turns of WORK) {
    const bundle = buildPolicy(policyOf(turns), folder, `turns-${turns}`);
    const config = { postern: { workers: WORKERS, identity, limits: { overload }, evaluation: { budget_ms: 50 } } };
    const server = await startPostern(scope, {
      folder,
      args: ['--bundle', bundle],
      config,
      ...(process.env['PROF'] ? { env: { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${process.env['PROF']}` } } : {}),
    });
    const base = {
      address: server.grpc,
      requests: requests.map((request) => request.toString('base64')),
      connections: CONNECTIONS,
    };
    const closed = (ms: number): Promise<GeneratorReport> =>
      generate({ ...base, load: { streams: STREAMS }, ms, timeoutMs: 10_000 });
    const open = (perSecond: number, ms: number): Promise<readonly GeneratorReport[]> =>
      Promise.all(
        Array.from({ length: GENERATORS }, () =>
          generate({ ...base, load: { perSecond: perSecond / GENERATORS }, ms, timeoutMs: TIMEOUT_MS }),
        ),
      );
    await closed(WARM_UP_MS);
    const decided = async (): Promise<{ a: number; o: number; e: number }> => {
      const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
      const of = (r: string): number => Number(new RegExp(`reason="${r}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
      return { a: of('policy_allowed'), o: of('overloaded'), e: of('deadline_expired') };
    };
    const cpu0 = cpuMicros(server.process.pid ?? 0);
    const alone = await closed(MS / 2);
    const aloneCpu = (cpuMicros(server.process.pid ?? 0) - cpu0) / 1e6;
    const d0 = await decided();
    const most = (alone.allowed / MS) * 2000;
    const cpu = cpuMicros(server.process.pid ?? 0);
    const flood = await open(most * TIMES, MS);
    const busy = (cpuMicros(server.process.pid ?? 0) - cpu) / MS / 1000;
    const d1 = await decided();
    out(
      `closed per CPU s ${(alone.allowed / aloneCpu).toFixed(0)}; flood per CPU s: allowed ${(((d1.a - d0.a) / busy / MS) * 1000).toFixed(0)} refused ${(((d1.o - d0.o) / busy / MS) * 1000).toFixed(0)} expired ${(((d1.e - d0.e) / busy / MS) * 1000).toFixed(0)}`,
    );
    const late = flood.flatMap(({ lateMs }) => lateMs);
    out(
      `late p50 ${quantile(late, 0.5).toFixed(1)} p90 ${quantile(late, 0.9).toFixed(1)} p99 ${quantile(late, 0.99).toFixed(1)}`,
    );
    if (process.env['DBG'])
      out(
        (await (await fetch(`http://${server.diagnostic}/metrics`)).text())
          .split('\n')
          .filter((l) => /^postern_(decisions|queue|check_dur)/.test(l))
          .join('\n'),
      );
    const after = await open(most / 2, MS / 2);
    const goodput = (sumOf(flood, 'allowed') / MS) * 1000;
    const refused = flood.flatMap(({ refusedMs }) => refusedMs);
    const allowed = flood.flatMap(({ allowedMs }) => allowedMs);
    const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    const rss = Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1] ?? 0) / 1_048_576;
    const columns = [
      most.toFixed(0),
      (flood.reduce((sum, { asked }) => sum + asked, 0) / MS / (most / 1000)).toFixed(2),
      goodput.toFixed(0),
      (goodput / most).toFixed(2),
      ((refused.length / MS) * 1000).toFixed(0),
      quantile(refused, 0.5).toFixed(1),
      quantile(refused, 0.99).toFixed(1),
      quantile(allowed, 0.99).toFixed(1),
      ((sumOf(flood, 'timedOut') / MS) * 1000).toFixed(0),
      ((sumOf(flood, 'lost') / MS) * 1000).toFixed(0),
      ((sumOf(flood, 'heldBack') / MS) * 1000).toFixed(0),
      busy.toFixed(2),
      (Math.max(...after.map(({ lastDeniedMs }) => lastDeniedMs)) / 1000).toFixed(2),
      rss.toFixed(0),
    ];
    out(`| ${columns.join(' | ')} |`);
    const wrong = sumOf([alone, ...flood, ...after], 'wrong') + sumOf([alone], 'refused');
    if (wrong > 0 || alone.allowed === 0) {
      out(`${wrong} answers are wrong`);
      process.exitCode = 1;
    }
    await server.stop();
  }
} finally {
  await scope.close();
}
