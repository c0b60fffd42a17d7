/*
 * `npm run bench:overload`: what is left of the service when several times as much is asked as it can answer. For each
 * policy, first the most that it answers in a closed loop; then an open loop at a multiple of that, from processes of its
 * own; then half of the most, to see how soon all is well again. Calls are given up after 200 ms, as Envoy does. Only
 * answers that come in time count. Exits with 1 when an answer was neither an allow nor a denial with 503 and Retry-After.
 *
 * BENCH_WORK (0,300: turns of a loop in the policy), BENCH_TIMES (5), BENCH_MS (8000), BENCH_CONNECTIONS (4),
 * BENCH_STREAMS (8 of each in the closed loop), BENCH_OPEN (1024 calls at once in the open loop, as Envoy's circuit breaker
 * has it), BENCH_GENERATORS (2 processes), BENCH_WORKERS (1), BENCH_DELAY_MS and BENCH_SHARE (max_delay_ms, serving_share).
 */
import { fork } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createScope } from '../../test/support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../../test/support/servers.ts';
import type { FloodReport, FloodTask } from './flood.ts';
import { quantile } from './open-loop.ts';
import { cpuMicros, metricOf } from './processes.ts';
import { benchIssuer, createCallers } from './requests.ts';

const numberOf = (name: string, fallback: number): number => Number(process.env[name] ?? fallback);
const WORK = (process.env['BENCH_WORK'] ?? '0,300').split(',').map(Number);
const TIMES = numberOf('BENCH_TIMES', 5);
const MS = numberOf('BENCH_MS', 8000);
const CONNECTIONS = numberOf('BENCH_CONNECTIONS', 4);
const STREAMS = numberOf('BENCH_STREAMS', 8);
const GENERATORS = numberOf('BENCH_GENERATORS', 2);
const WORKERS = numberOf('BENCH_WORKERS', 1);
const MAX_DELAY_MS = numberOf('BENCH_DELAY_MS', 100);
const SERVING_SHARE = numberOf('BENCH_SHARE', 0.9);
const TIMEOUT_MS = 200;
const MOST_OPEN = numberOf('BENCH_OPEN', 1024);
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

function generate(task: FloodTask): Promise<FloodReport> {
  const child = fork(join(import.meta.dirname, 'flood.ts'), { serialization: 'advanced' });
  child.send(task);
  return new Promise((resolve, reject) => {
    child.once('message', (report) => resolve(report as FloodReport));
    child.once('exit', () => reject(new Error('a load generator ended')));
  });
}

type Counted = 'asked' | 'allowed' | 'refused' | 'timedOut' | 'lost' | 'heldBack' | 'wrong';
const sumOf = (reports: readonly FloodReport[], what: Counted): number =>
  reports.reduce((sum, report) => sum + report[what], 0);

type Run = {
  /** Most decisions per second in the closed loop. */
  readonly most: number;
  readonly flood: readonly FloodReport[];
  readonly after: readonly FloodReport[];
  /** CPU time of the server during the flood, as a share of one core. */
  readonly cpu: number;
  readonly rssBytes: number;
};

const perSecond = ({ flood }: Run, what: Counted): number => (sumOf(flood, what) / MS) * 1000;
const time = ({ flood }: Run, what: 'allowedMs' | 'refusedMs' | 'lateMs', share: number): string =>
  quantile(
    flood.flatMap((report) => report[what]),
    share,
  ).toFixed(1);

const columns: { readonly [name: string]: (run: Run) => string } = {
  'most per second': ({ most }) => most.toFixed(0),
  'asked, times that': (run) => (perSecond(run, 'asked') / run.most).toFixed(2),
  'of it sent': (run) => ((perSecond(run, 'asked') - perSecond(run, 'heldBack')) / run.most).toFixed(2),
  'allowed in time, times that': (run) => (perSecond(run, 'allowed') / run.most).toFixed(2),
  'p50, ms': (run) => time(run, 'allowedMs', 0.5),
  'refused per second': (run) => perSecond(run, 'refused').toFixed(0),
  'p50 / p99, ms': (run) => `${time(run, 'refusedMs', 0.5)} / ${time(run, 'refusedMs', 0.99)}`,
  'given up per second': (run) => (perSecond(run, 'timedOut') + perSecond(run, 'lost')).toFixed(0),
  'generators late by, p50 / p99, ms': (run) => `${time(run, 'lateMs', 0.5)} / ${time(run, 'lateMs', 0.99)}`,
  'CPU of the server': ({ cpu }) => cpu.toFixed(2),
  'all well after, s': ({ after }) => (Math.max(...after.map(({ lastDeniedMs }) => lastDeniedMs)) / 1000).toFixed(2),
  'RSS, MiB': ({ rssBytes }) => (rssBytes / 1_048_576).toFixed(0),
};

async function measure(server: Server, requests: readonly string[]): Promise<Run> {
  const pid = server.process.pid ?? 0;
  const base = { address: server.grpc, requests, connections: CONNECTIONS / GENERATORS };
  const closed = (ms: number): Promise<FloodReport> =>
    generate({ ...base, load: { streams: STREAMS }, ms, timeoutMs: 10_000, mostOpen: MOST_OPEN });
  const open = (rate: number, ms: number): Promise<readonly FloodReport[]> => {
    const load = { perSecond: rate / GENERATORS };
    const task = { ...base, load, ms, timeoutMs: TIMEOUT_MS, mostOpen: MOST_OPEN / GENERATORS };
    return Promise.all(Array.from({ length: GENERATORS }, () => generate(task)));
  };
  await closed(WARM_UP_MS);
  const alone = await closed(MS / 2);
  const most = (alone.allowed / MS) * 2000;
  const cpu = cpuMicros(pid);
  const flood = await open(most * TIMES, MS);
  const run = { most, flood, cpu: (cpuMicros(pid) - cpu) / MS / 1000 };
  const after = await open(most / 2, MS / 2);
  const wrong = sumOf([alone, ...flood, ...after], 'wrong');
  if (wrong > 0 || alone.allowed === 0) throw new Error(`${wrong} answers are wrong`);
  return { ...run, after, rssBytes: await metricOf(server.diagnostic, 'process_resident_memory_bytes') };
}

const scope = createScope();
try {
  const folder = scratchFolder(scope);
  const { requests, jwks } = await createCallers();
  const checks = requests(500)
    .filter(({ isAllowed }) => isAllowed)
    .map(({ check }) => check.toString('base64'));
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify(jwks));
  const identity = { required: true, issuers: [{ issuer: benchIssuer, jwks_file: keys }] };
  const overload = { max_delay_ms: MAX_DELAY_MS, serving_share: SERVING_SHARE };
  const postern = { workers: WORKERS, identity, limits: { overload }, evaluation: { budget_ms: 50 } };
  out(`${TIMES} times the most, ${MS} ms, ${MOST_OPEN} calls at once, ${WORKERS} serving\n`);
  out(`| turns | ${Object.keys(columns).join(' | ')} |`);
  out(`|---|${'---|'.repeat(Object.keys(columns).length)}`);
  for (const turns of WORK) {
    const bundle = buildPolicy(policyOf(turns), folder, `turns-${turns}`);
    const server = await startPostern(scope, { folder, args: ['--bundle', bundle], config: { postern } });
    const run = await measure(server, checks);
    out(`| ${[turns, ...Object.values(columns).map((column) => column(run))].join(' | ')} |`);
    await server.stop();
  }
} finally {
  await scope.close();
}
