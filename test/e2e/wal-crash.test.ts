import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { addReader } from '../../src/decisions/store/cursors.ts';
import { httpRequest } from '../support/grpc.ts';
import { startLoad } from '../support/log-load.ts';
import { eventually } from '../support/process.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { keptIn, numbersOf, readWal } from '../support/wal-folder.ts';

/** How often the service is killed; 100 says more, and takes as much longer. */
const KILLS = Number(process.env['WAL_KILLS'] ?? 10);
/** What may be lost (100 ms), and what a busy machine may be late; ms. */
const BOUND_MS = 100 + 900;
const LANES = 32;

const policy = `package envoy.authz

allow if input.parsed_path[0] == "fine"
`;

const requests = Array.from({ length: 200 }, (_, i) => {
  const headers = { authorization: `Bearer s3cr3t-${i}`, 'user-agent': 'crash/1', 'x-request-id': String(i) };
  return httpRequest({ path: `/${i % 5 === 0 ? 'other' : 'fine'}/${i}?page=${i}`, headers });
});

async function setUp(context: TestContext) {
  const folder = scratchFolder(context);
  const bundle = buildPolicy(policy, folder);
  const data = join(folder, 'data/decisions');
  const start = (store: Tree = {}, postern: Tree = {}): Promise<Server> => {
    const config = { postern: { ...postern, store: { path: data, query: { max_rows: 100_000 }, ...store } } };
    return startPostern(context, { args: ['-b', bundle], config, folder });
  };
  return { folder, data, start };
}

async function metricOf(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const range = (to: number): number[] => Array.from({ length: to }, (_, i) => i + 1);

describe('a service that is killed under load', () => {
  test(`has each decision once that was answered long enough before, ${KILLS} times`, async (context) => {
    const { start } = await setUp(context);
    const total = { answered: 0, due: 0, recorded: 0, oldestLostMs: 0 };
    // In memory: what a process has written outlives it on any file system, and a busy disk would be measured instead.
    const data = mkdtempSync('/dev/shm/postern-test-');
    context.after(() => rmSync(data, { recursive: true, force: true }));
    const options = { path: data, segment_bytes: 262_144 };
    let server = await start(options);
    for (let i = 0; i < KILLS; i++) {
      const since = new Date().toISOString();
      const load = startLoad(server.grpc, requests, LANES);
      await eventually(async () => (load.answers.length > 0 ? true : undefined));
      await pause(BOUND_MS + 300 + 37 * (i % 10));
      const killedMs = performance.now();
      assert.equal(await server.stop('SIGKILL'), 'SIGKILL');
      await load.end();
      server = await start(options);
      const answered = new Set(load.answers.map(({ decisionId }) => decisionId));
      const due = load.answers.filter(({ atMs }) => atMs < killedMs - BOUND_MS);
      const kept = await eventually(async () => {
        const now = await keptIn(server, since);
        const here = new Set(now.map(({ id }) => id));
        return due.every(({ decisionId }) => here.has(decisionId)) ? now : undefined;
      });
      assert.equal(new Set(kept.map(({ id }) => id)).size, kept.length);
      assert.equal(new Set(kept.map(({ process, seq }) => `${process} ${seq}`)).size, kept.length);
      const here = new Set(kept.map(({ id }) => id));
      const lost = load.answers.filter(({ decisionId }) => !here.has(decisionId));
      total.answered += answered.size;
      total.due += due.length;
      total.recorded += kept.length;
      total.oldestLostMs = Math.max(total.oldestLostMs, ...lost.map(({ atMs }) => killedMs - atMs));
    }
    context.diagnostic(JSON.stringify(total));
    assert.ok(total.due > KILLS * 10, `${total.due} answers are too few`);
    const events = await (await fetch(`http://${server.api}/v1/decisions?limit=1000`)).text();
    assert.ok(events.includes('"decision_id"') && !events.includes('s3cr3t'));
  });

  test('loses nothing with durability sync, not even the last answer', async (context) => {
    const { data, start } = await setUp(context);
    const server = await start({ durability: 'sync' });
    const load = startLoad(server.grpc, requests, LANES);
    await eventually(async () => (load.answers.length > 200 ? true : undefined));
    await server.stop('SIGKILL');
    await load.end();
    const here = new Set(readWal(data).events.map(({ decision_id }) => decision_id));
    assert.deepEqual(
      load.answers.filter(({ decisionId }) => !here.has(decisionId)),
      [],
    );
  });

  test('has gaps for what it reported as dropped, and for nothing else', async (context) => {
    const { data, start } = await setUp(context);
    const server = await start({ queue: { records: 5 } });
    const load = startLoad(server.grpc, requests, LANES);
    await eventually(async () =>
      (await metricOf(server, 'postern_store_dropped_decisions_total')) > 100 ? true : undefined,
    );
    await load.end();
    assert.ok(load.answers.every(({ code }) => code === 0 || code === 7));
    const dropped = await metricOf(server, 'postern_store_dropped_decisions_total');
    const content = await eventually(async () => {
      const now = readWal(data);
      return numbersOf(now).length === load.answers.length ? now : undefined;
    });
    await server.stop('SIGKILL');
    assert.equal(
      content.gaps.reduce((sum, { count }) => sum + count, 0),
      dropped,
    );
    assert.ok(content.gaps.every(({ reason }) => reason === 'overflow'));
    assert.deepEqual(numbersOf(content), range(load.answers.length));
  });

  test('writes nothing twice when one of its workers is killed', async (context) => {
    const since = new Date().toISOString();
    const { start } = await setUp(context);
    const server = await start({}, { workers: 2 });
    const { result } = (await (await fetch(`http://${server.api}/v1/status`)).json()) as {
      readonly result: { readonly workers: readonly { readonly pid: number }[] };
    };
    const { workers } = result;
    const load = startLoad(server.grpc, requests, LANES);
    await eventually(async () => (load.answers.length > 500 ? true : undefined));
    await pause(BOUND_MS);
    const killedMs = performance.now();
    process.kill(workers[0]?.pid ?? 0, 'SIGKILL');
    await load.end();
    const due = load.answers.filter(({ atMs }) => atMs < killedMs - BOUND_MS);
    assert.ok(due.length > 100);
    const kept = await eventually(async () => {
      const now = await keptIn(server, since);
      const here = new Set(now.map(({ id }) => id));
      return due.every(({ decisionId }) => here.has(decisionId)) ? now : undefined;
    });
    assert.equal(new Set(kept.map(({ id }) => id)).size, kept.length);
    assert.ok(new Set(kept.map(({ process: token }) => token)).size >= 2);
    assert.equal(await server.stop(), 0);
  });
});

describe('a full disk', () => {
  /** A file system of its own, with so little room that it is full soon, and a file to make room with that lasts. */
  async function setUpSmallDisk(context: TestContext) {
    const data = mkdtempSync(join(tmpdir(), 'postern-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'tmpfs', data]);
    context.after(() => {
      execFileSync('umount', ['-l', data]);
      rmSync(data, { recursive: true });
    });
    const { start } = await setUp(context);
    const ballast = join(data, 'ballast');
    writeFileSync(ballast, Buffer.alloc((96 * 1024 - 256) * 1024));
    // Somebody who never reads: so the store keeps every segment, also those that it has taken in.
    await addReader(join(data, 'cursors'), 'test');
    return { data, ballast, start: (store: Tree) => start({ path: data, ...store }) };
  }
  const queue = { records: 300 };

  test('changes no answer with on_overflow drop; gaps say what is missing', async (context) => {
    const { data, ballast, start } = await setUpSmallDisk(context);
    const server = await start({ queue });
    const load = startLoad(server.grpc, requests, LANES);
    await eventually(async () =>
      (await metricOf(server, 'postern_store_dropped_decisions_total')) > 100 ? true : undefined,
    );
    rmSync(ballast);
    const droppedBefore = await eventually(async () => {
      const before = await metricOf(server, 'postern_store_dropped_decisions_total');
      return (await metricOf(server, 'postern_store_gaps_total')) > 0 ? before : undefined;
    });
    await load.end();
    assert.ok(droppedBefore > 100);
    assert.equal(await server.stop(), 0);
    assert.ok(load.answers.every(({ code }) => code === 0 || code === 7));
    const content = readWal(data);
    assert.equal(content.gaps[0]?.reason, 'disk_full');
    assert.deepEqual(numbersOf(content), range(load.answers.length));
    const ids = content.events.map(({ decision_id }) => decision_id);
    assert.equal(new Set(ids).size, ids.length);
  });

  test('refuses with on_overflow deny; whatever was decided is recorded', async (context) => {
    const { data, ballast, start } = await setUpSmallDisk(context);
    const server = await start({ queue, on_overflow: 'deny' });
    const load = startLoad(server.grpc, requests, LANES);
    const unavailable = (): number => load.answers.filter(({ code }) => code === 14).length;
    await eventually(async () => (unavailable() > 500 ? true : undefined));
    const before = load.answers.length;
    rmSync(ballast);
    await eventually(async () => (load.answers.slice(before).some(({ code }) => code === 0) ? true : undefined));
    await load.end();
    const refused = await metricOf(server, 'postern_decisions_total{outcome="fault",reason="log_unavailable"}');
    assert.equal(refused, unavailable());
    assert.equal(await server.stop(), 0);
    const content = readWal(data);
    const here = new Set(content.events.map(({ decision_id }) => decision_id));
    assert.equal(here.size, content.events.length);
    assert.deepEqual(
      load.answers.filter(({ code, decisionId }) => code !== 14 && !here.has(decisionId)),
      [],
    );
    assert.deepEqual(numbersOf(content), range(load.answers.length));
  });
});
