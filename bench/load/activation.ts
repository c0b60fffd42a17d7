/*
 * `npm run bench:activation`: how long small requests wait while a large data document is activated. Requests come at a
 * fixed rate; windows in which the document is replaced every few seconds take turns with windows in which nothing is.
 * Shown are medians over the windows of each kind, beside them the requests that were due during an activation. Exits
 * with 1 when an answer was wrong.
 *
 * BENCH_DATA_MB (10), BENCH_RATE (1000 per second), BENCH_WORKERS (1), BENCH_WINDOWS (5 of each kind), BENCH_WINDOW_MS
 * (9000), BENCH_EVERY_MS (3000 between the beginnings of activations).
 */
import { existsSync, readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import { polled } from '../../test/support/bundle-server.ts';
import { httpRequest } from '../../test/support/grpc.ts';
import { createScope } from '../../test/support/scope.ts';
import { scratchFolder, startPostern } from '../../test/support/servers.ts';
import { createArchives, startVersions, toldBy } from '../../test/support/versions.ts';
import { callCheck, framed } from './client.ts';
import { median, quantile, type Sample, startOpenLoop } from './open-loop.ts';
import { metricOf, sumOf, treeOf } from './processes.ts';

const DATA_MB = Number(process.env['BENCH_DATA_MB'] ?? 10);
const RATE = Number(process.env['BENCH_RATE'] ?? 1000);
const WORKERS = Number(process.env['BENCH_WORKERS'] ?? 1);
const WINDOWS = Number(process.env['BENCH_WINDOWS'] ?? 5);
const WINDOW_MS = Number(process.env['BENCH_WINDOW_MS'] ?? 9000);
const EVERY_MS = Number(process.env['BENCH_EVERY_MS'] ?? 3000);
const SESSIONS = 4;
const MIB = 1_048_576;
/** Of `nodejs_eventloop_lag_max_seconds`, which counts the time between two looks at the clock, ms. */
const LAG_RESOLUTION_MS = 10;

const scope = createScope();
const out = (line: string): void => void process.stdout.write(`${line}\n`);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

/** Longest turn of the event loop between two wall clocks, as turns.ts has written it down, ms of CPU time. */
function longestTurn(file: string, fromMs: number, toMs: number): number {
  if (!existsSync(file)) return 0;
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const isWithin = ([at, what]: readonly string[]): boolean =>
    what === 'turn' && Number(at) >= fromMs && Number(at) <= toMs;
  return Math.max(0, ...lines.filter(isWithin).map(([, , ms]) => Number(ms)));
}

/** About `megabytes` of users as JSON, with a part that differs by `seed`. */
function usersOf(megabytes: number, seed: number): object {
  const users: { [id: string]: object } = {};
  for (let i = 0; i < megabytes * 6_900; i++) {
    users[`user-${i}`] = {
      roles: ['viewer', i % 7 === seed ? 'admin' : 'analyst'],
      tenant: `tenant-${i % 997}`,
      region: ['eu', 'us', 'ap'][i % 3],
      limit: i * 31 + seed,
      email: `user-${i}@customer-${i % 4999}.example`,
    };
  }
  return users;
}

type Window = {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly most: number;
  readonly turnMs: number;
  readonly lagMs: number;
  readonly ownMs: number;
};

const windowOf = (samples: readonly Sample[], delays: Pick<Window, 'turnMs' | 'lagMs' | 'ownMs'>): Window => {
  const values = samples.map(({ latencyMs }) => latencyMs);
  const [p50 = 0, p99 = 0, p999 = 0, most = 0] = [0.5, 0.99, 0.999, 1].map((share) => quantile(values, share));
  return { p50, p99, p999, most, ...delays };
};

function row(name: string, windows: readonly Window[]): string {
  const middle = (['p50', 'p99', 'p999', 'most', 'turnMs', 'lagMs', 'ownMs'] as const).map((what) =>
    median(windows.map((window) => window[what])).toFixed(2),
  );
  return `| ${name} | ${middle.join(' | ')} |`;
}

const folder = scratchFolder(process.env['BENCH_KEEP'] === '1' ? undefined : scope);

try {
  const { archiveOf } = createArchives(folder);
  // Versions 0 and 1 are of one module.
  const archives = [0, 1].map((version) => archiveOf(version, { users: usersOf(DATA_MB, version) })) as [
    Buffer,
    Buffer,
  ];
  const dataBytes = JSON.stringify(usersOf(DATA_MB, 0)).length;
  const versions = await startVersions(scope, archives[0]);
  const memoryBytes = Math.min(2048, Math.max(64, DATA_MB * 40)) * MIB;
  const config = { ...polled(versions.url), postern: { workers: WORKERS, evaluation: { memory_bytes: memoryBytes } } };
  const turnsFile = join(folder, 'turns');
  const env = {
    NODE_OPTIONS: `${process.env['BENCH_NODE_OPTIONS'] ?? ''} --import=${join(import.meta.dirname, 'turns.ts')}`,
    BENCH_TURNS_FILE: turnsFile,
  };
  const server = await startPostern(scope, { config, folder, env });
  const root = server.process.pid ?? 0;
  const rss = (): number => sumOf(treeOf(root), 'rssBytes');
  const sessions = Array.from({ length: SESSIONS }, () => connect(`http://${server.grpc}`));
  scope.after(() => {
    for (const session of sessions) session.destroy();
  });
  const body = framed(httpRequest({ path: '/x' }));
  let wrong = 0;
  const loop = startOpenLoop(async (n) => {
    const response = await callCheck(sessions[n % SESSIONS] as ClientHttp2Session, body);
    if (toldBy(response.toString('latin1')) === undefined) wrong++;
  }, RATE);
  const lagMs = async (): Promise<number> =>
    (await metricOf(server.diagnostic, 'nodejs_eventloop_lag_max_seconds')) * 1000 - LAG_RESOLUTION_MS;

  const kinds: { readonly quiet: Window[]; readonly busy: Window[]; readonly within: Window[] } = {
    ...{ quiet: [], busy: [], within: [] },
  };
  const took: number[] = [];
  const activations: (readonly [fromMs: number, toMs: number])[] = [];
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, rss());
  }, 250);
  const window = async (during: (endMs: number) => Promise<void>): Promise<Window> => {
    await lagMs();
    loop.ownDelayMs();
    const [fromMs, first, wallMs] = [performance.now(), loop.samples.length, Date.now()];
    await during(fromMs + WINDOW_MS);
    await sleep(fromMs + WINDOW_MS - performance.now());
    const turnMs = longestTurn(turnsFile, wallMs, Date.now());
    return windowOf(loop.samples.slice(first), { turnMs, lagMs: await lagMs(), ownMs: loop.ownDelayMs() });
  };
  let version = 0;
  const activate = async (): Promise<void> => {
    const fromMs = performance.now();
    version = 1 - version;
    await versions.offer(version, archives[version] as Buffer);
    activations.push([fromMs, performance.now()]);
    took.push(performance.now() - fromMs);
  };
  await sleep(2000);
  await activate();
  await sleep(2000);
  took.length = 0;
  const before = rss();
  for (let i = 0; i < WINDOWS; i++) {
    kinds.quiet.push(await window(async () => {}));
    const busy = await window(async (endMs) => {
      for (let dueMs = performance.now(); dueMs < endMs; dueMs = Math.max(dueMs + EVERY_MS, performance.now())) {
        await sleep(dueMs - performance.now());
        await activate();
      }
    });
    kinds.busy.push(busy);
    const isWithin = ({ dueMs }: Sample): boolean => activations.some(([from, to]) => dueMs >= from && dueMs <= to);
    kinds.within.push(windowOf(loop.samples.filter(isWithin), busy));
    activations.length = 0;
  }
  await loop.stop();
  clearInterval(sampling);
  await sleep(10_000);

  const ratio = (windows: readonly Window[], what: 'p50' | 'p99' | 'p999'): string =>
    (median(windows.map((one) => one[what])) / median(kinds.quiet.map((one) => one[what]))).toFixed(2);
  const [each, most] = [median(took), Math.max(...took)].map((ms) => (ms / 1000).toFixed(2));
  out(
    `${(dataBytes / 1e6).toFixed(1)} MB of data, ${RATE} requests per second, ${WORKERS} serving, ${WINDOWS} windows`,
  );
  out(`${took.length} activations, ${each} s each, ${most} s at most`);
  out(`RSS ${(before / MIB).toFixed(0)} MiB, ${(peak / MIB).toFixed(0)} at most, ${(rss() / MIB).toFixed(0)} at rest`);
  out('\n| ms | p50 | p99 | p99.9 | most | longest turn, CPU | event loop late by | load generator late by |');
  out('|---|---|---|---|---|---|---|---|');
  out(row('nothing is activated', kinds.quiet));
  out(row('with activations', kinds.busy));
  out(row('while one is under way', kinds.within));
  out(
    `\nwith activations: p50 ${ratio(kinds.busy, 'p50')}, p99 ${ratio(kinds.busy, 'p99')}, p99.9 ${ratio(kinds.busy, 'p999')} times`,
  );
  out(`while one is under way: p50 ${ratio(kinds.within, 'p50')}, p99 ${ratio(kinds.within, 'p99')} times`);
  out(`${loop.samples.length} answers, ${wrong} wrong`);
  const code = await server.stop();
  if (wrong > 0 || code !== 0) process.exitCode = 1;
} finally {
  await scope.close();
}
