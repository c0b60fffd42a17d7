/*
 * `npm run bench:swaps`: policies are swapped under load, module and data in turn, in the started service. Every
 * answer must allow and come from the version that was active when it was asked for, or from a later one that was on
 * offer when it came. Memory is that of all processes of the service, at rest: after WARM_SWAPS swaps and after all
 * of them, each time with no load for SETTLE_MS. The first of the two is the baseline, and not the start: until
 * then code is compiled, caches fill, and allocators find the size that one activation needs. Exits with 1 when a request
 * failed, or when memory at rest is more than 10 % above the baseline.
 *
 * BENCH_SWAPS (1000), BENCH_WORKERS (1), BENCH_RATE (500 requests per second; 0: as many as can be, and then swaps take
 * long: they get what requests leave), BENCH_ENVOY=1 (the load goes through Envoy as well).
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { Agent } from 'undici';
import { polled } from '../../test/support/bundle-server.ts';
import { type Envoy, startEnvoy, startUpstream } from '../../test/support/envoy.ts';
import { httpRequest } from '../../test/support/grpc.ts';
import { createScope } from '../../test/support/scope.ts';
import { scratchFolder, startPostern } from '../../test/support/servers.ts';
import { createArchives, moduleOf, startVersions, toldBy, type Versions } from '../../test/support/versions.ts';
import { callCheck, framed } from './client.ts';
import { metricOf, type ProcessUse, sumOf, treeOf } from './processes.ts';

const SWAPS = Number(process.env['BENCH_SWAPS'] ?? 1000);
const WORKERS = Number(process.env['BENCH_WORKERS'] ?? 1);
const RATE = Number(process.env['BENCH_RATE'] ?? 500);
const WITH_ENVOY = process.env['BENCH_ENVOY'] === '1';
const WARM_SWAPS = Math.min(50, SWAPS);
const SETTLE_MS = 15_000;
const SAMPLE_MS = 500;
const CONNECTIONS = 4;
const STREAMS = 2;
const TOLERANCE = 1.1;
const MIB = 1_048_576;

type Counts = { answered: number; failed: number; readonly failures: Map<string, number> };
/** Asks once; gives what the answer says, or nothing when it was none. */
type Ask = () => Promise<string>;

const scope = createScope();
const out = (line: string): void => void process.stdout.write(`${line}\n`);

function problemOf(answer: string, oldest: number, newest: number): string | undefined {
  const told = toldBy(answer);
  if (told === undefined) return 'no answer, or a denial';
  if (told.module !== moduleOf(told.version)) return 'module and data of two versions';
  return told.version < oldest || told.version > newest ? 'a version that was not active' : undefined;
}

/** Asks one after another, not more often than every `spacingMs`, until it is told to stop. */
async function lane(
  ask: Ask,
  spacingMs: number,
  versions: Versions,
  counts: Counts,
  isOver: () => boolean,
): Promise<void> {
  for (let due = performance.now(); !isOver(); due = Math.max(due + spacingMs, performance.now() - spacingMs)) {
    const early = due - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const oldest = versions.confirmed();
    const answer = await ask();
    counts.answered++;
    const problem = problemOf(answer, oldest, versions.offered());
    if (problem === undefined) continue;
    counts.failed++;
    counts.failures.set(problem, (counts.failures.get(problem) ?? 0) + 1);
  }
}

const directly = (session: ClientHttp2Session): Ask => {
  const body = framed(httpRequest({ path: '/x' }));
  return async () => (await callCheck(session, body)).toString('latin1');
};

function throughEnvoy({ port }: Envoy): Ask {
  const dispatcher = new Agent({ connections: CONNECTIONS });
  scope.after(() => dispatcher.destroy());
  return async () => {
    const response = await fetch(`http://127.0.0.1:${port}/x`, { dispatcher } as RequestInit);
    await response.arrayBuffer();
    return response.status === 200 ? (response.headers.get('x-answer') ?? '') : '';
  };
}

/** Runs `during` under load; resolves when the last answer is there. */
async function underLoad(
  asks: readonly Ask[],
  versions: Versions,
  counts: Counts,
  during: () => Promise<void>,
): Promise<void> {
  let isOver = false;
  const spacingMs = RATE === 0 ? 0 : (asks.length / RATE) * 1000;
  const lanes = Promise.all(asks.map((ask) => lane(ask, spacingMs, versions, counts, () => isOver)));
  await during();
  isOver = true;
  await lanes;
}

const mib = (bytes: number): string => (bytes / MIB).toFixed(1);

function note(when: string, tree: readonly ProcessUse[], heapBytes: number): void {
  const each = tree.map(({ rssBytes }) => mib(rssBytes)).join(' + ');
  const numbers = [mib(sumOf(tree, 'rssBytes')), each, mib(heapBytes), sumOf(tree, 'threads'), sumOf(tree, 'files')];
  out(`| ${when} | ${numbers.join(' | ')} |`);
}

try {
  const folder = scratchFolder(scope);
  const { archiveOf } = createArchives(folder);
  const versions = await startVersions(scope, archiveOf(0));
  const config = { ...polled(versions.url), postern: { workers: WORKERS } };
  const server = await startPostern(scope, { config, folder });
  const root = server.process.pid ?? 0;
  const heap = (): Promise<number> => metricOf(server.diagnostic, 'nodejs_heap_size_used_bytes');
  const atRest = async (when: string): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const tree = treeOf(root);
    note(when, tree, await heap());
    return sumOf(tree, 'rssBytes');
  };
  const asks = Array.from({ length: CONNECTIONS }, () => connect(`http://${server.grpc}`)).flatMap((session) => {
    scope.after(() => session.destroy());
    return Array.from({ length: STREAMS }, () => directly(session));
  });
  let envoy: Envoy | undefined;
  if (WITH_ENVOY) {
    const upstream = await startUpstream(scope);
    envoy = await startEnvoy(scope, { folder, servers: [server.grpc], upstream: upstream.address });
    const ask = throughEnvoy(envoy);
    asks.push(...Array.from({ length: CONNECTIONS }, () => ask));
  }

  const counts: Counts = { answered: 0, failed: 0, failures: new Map() };
  let done = 0;
  const swap = async (until: number): Promise<void> => {
    while (done < until) {
      const next = done + 1;
      await versions.offer(next, archiveOf(next));
      done = next;
    }
  };
  const serving = WORKERS === 1 ? 'one process' : `${WORKERS} workers`;
  out(`${SWAPS} swaps, ${serving}${WITH_ENVOY ? ', also through Envoy' : ''}\n`);
  out('| when | RSS, MiB | of each process | heap used, MiB | threads | open files |\n|---|---|---|---|---|---|');
  note('start', treeOf(root), await heap());
  await underLoad(asks, versions, counts, () => swap(WARM_SWAPS));
  const baseline = await atRest(`${WARM_SWAPS} swaps, at rest`);
  let peak: readonly ProcessUse[] = [];
  const sampling = setInterval(() => {
    const tree = treeOf(root);
    if (sumOf(tree, 'rssBytes') > sumOf(peak, 'rssBytes')) peak = tree;
  }, SAMPLE_MS);
  const startedMs = performance.now();
  const answeredBefore = counts.answered;
  await underLoad(asks, versions, counts, async () => {
    for (let quarter = 1; quarter <= 4; quarter++) {
      await swap(WARM_SWAPS + Math.round(((SWAPS - WARM_SWAPS) * quarter) / 4));
      note(`${done} swaps, under load`, treeOf(root), await heap());
    }
  });
  const seconds = (performance.now() - startedMs) / 1000;
  clearInterval(sampling);
  const after = await atRest(`${SWAPS} swaps, at rest`);
  note('most, under load', peak, 0);

  const perSecond = Math.round((counts.answered - answeredBefore) / seconds);
  out(`\n${((seconds * 1000) / (SWAPS - WARM_SWAPS)).toFixed(0)} ms per swap, ${perSecond} answers per second`);
  const ratio = after / baseline;
  out(`${counts.answered} answers, ${counts.failed} failed; RSS at rest ${ratio.toFixed(3)} times the baseline`);
  for (const [problem, count] of counts.failures) out(`${count} × ${problem}`);
  const refused = envoy === undefined ? 0 : await envoy.stat('cluster.postern.ext_authz.error');
  if (refused > 0) out(`Envoy counted ${refused} errors`);
  if (counts.failed > 0 || refused > 0 || ratio > TOLERANCE) process.exitCode = 1;
} finally {
  await scope.close();
}
