import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { checkClient, httpRequest } from '../support/grpc.ts';
import { type Answered, type Load, startLoad } from '../support/log-load.ts';
import { eventually } from '../support/process.ts';
import { type Fault, type LoggedEvent, type Receiver, startReceiver } from '../support/receiver.ts';
import { buildPolicy, merge, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';

const policy = `package envoy.authz

allow if input.parsed_path[0] == "fine"
`;
const requests = Array.from({ length: 100 }, (_, i) => {
  const headers = { authorization: `Bearer s3cr3t-${i}`, 'x-request-id': String(i) };
  return httpRequest({ path: `/${i % 5 === 0 ? 'other' : 'fine'}/${i}?page=${i}`, headers });
});

/** How often server and sender are killed. */
const KILLS = Number(process.env['UPLOAD_KILLS'] ?? 4);
/** What a kill may cost of the log, and a busy machine may be late; ms. */
const BOUND_MS = 1000;

async function setUp(context: TestContext, over: Tree = {}) {
  const folder = scratchFolder(context);
  const bundle = buildPolicy(policy, folder);
  const receiver = await startReceiver(context);
  const config = merge(
    {
      services: {
        logs: { url: `${receiver.url}/base/`, credentials: { bearer: { token: 'upl0ad-t0ken' } } },
      },
      persistence_directory: join(folder, 'opa'),
      decision_logs: { service: 'logs', reporting: { min_delay_seconds: 0.1, max_delay_seconds: 0.3 } },
    },
    over,
  );
  const start = (more: Tree = {}): Promise<Server> =>
    startPostern(context, { args: ['-b', bundle], config: merge(config, more), folder });
  return { folder, receiver, start };
}

const withStore = (folder: string): Tree => ({ postern: { store: { path: join(folder, 'store') } } });
const idsOf = (answers: readonly Answered[]): readonly string[] => answers.map(({ decisionId }) => decisionId);

/** Resolves when all of these decisions have arrived. */
const arrived = (receiver: Receiver, ids: readonly string[]): Promise<true> =>
  eventually(async () => {
    const there = new Set(receiver.ids());
    return ids.every((id) => there.has(id)) ? true : undefined;
  }, 60_000);

async function loadFor(server: Server, count: number): Promise<readonly Answered[]> {
  const load = startLoad(server.grpc, requests, 8);
  await eventually(async () => (load.answers.length >= count ? true : undefined));
  await load.end();
  return load.answers;
}

const enough = (load: Load, count: number): Promise<true> =>
  eventually(async () => (load.answers.length >= count ? true : undefined));

async function metricOf(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  assert.ok(lines.length > 0, name);
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const settled = (server: Server): Promise<true> =>
  eventually(async () => ((await metricOf(server, 'postern_upload_waiting_bytes')) === 0 ? true : undefined));

/** The process that sends, a child of the server's. */
function uploadPid({ process: { pid } }: Server): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const found = children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').split('\0').includes('upload'));
  return Number(found);
}

describe('decisions for a service', () => {
  test('arrive as OPA sends them, without a store, and leave nothing behind', async (context) => {
    const { folder, receiver, start } = await setUp(context);
    const server = await start();
    const answers = await loadFor(server, 500);
    await arrived(receiver, idsOf(answers));
    await settled(server);
    for (const { method, path, headers, size } of receiver.received) {
      assert.deepEqual([method, path], ['POST', '/base/logs']);
      assert.equal(headers['content-type'], 'application/json');
      assert.equal(headers['content-encoding'], 'gzip');
      assert.equal(headers.authorization, 'Bearer upl0ad-t0ken');
      assert.ok(size <= 32_768);
    }
    const ids = receiver.ids();
    assert.equal(new Set(ids).size, ids.length);
    const [event] = receiver.taken();
    assert.equal(event?.['path'], 'envoy/authz/allow');
    assert.ok(!JSON.stringify(receiver.taken()).includes('s3cr3t'));
    await eventually(async () =>
      (await metricOf(server, 'postern_upload_decisions_total')) === ids.length ? true : undefined,
    );
    assert.equal(await metricOf(server, 'postern_upload_lag_seconds'), 0);
    const metrics = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    execFileSync('promtool', ['check', 'metrics'], { input: metrics, stdio: 'pipe' });
    const status = (await (await fetch(`http://${server.api}/v1/status`)).json()) as {
      result: { plugins: Tree; decision_logs?: Tree };
    };
    assert.deepEqual(status.result.plugins['decision_logs'], { state: 'OK' });
    assert.equal(status.result.decision_logs, undefined);
    assert.equal(await server.stop('SIGTERM'), 0);
    assert.deepEqual(readdirSync(join(folder, 'opa/decisions/wal')), []);
  });

  test('go to the partition, or to the resource', async (context) => {
    for (const [over, path] of [
      [{ partition_name: 'a/b' }, '/base/logs/a/b'],
      [{ resource: 'x/y?z=1' }, '/base/x/y?z=1'],
    ] as const) {
      const { receiver, start } = await setUp(context, { decision_logs: over });
      const server = await start();
      await arrived(receiver, idsOf(await loadFor(server, 1)));
      assert.equal(receiver.received[0]?.path, path);
      await server.stop('SIGTERM');
    }
  });

  test('arrive at least once whatever the service does, and are sent when the server stops', async (context) => {
    const { folder, receiver, start } = await setUp(context);
    const faults: readonly (Fault | undefined)[] = [500, undefined, 'reset', undefined, 'taken-and-reset', 503];
    let asked = 0;
    receiver.answer = ({ size }) => (size > 10_000 ? 413 : faults[asked++ % faults.length]);
    const server = await start(withStore(folder));
    const answers = await loadFor(server, 1000);
    assert.equal(await server.stop('SIGTERM'), 0);
    const again = await start(withStore(folder));
    await arrived(receiver, idsOf(answers));
    await settled(again);
  });

  for (const workers of [1, 2]) {
    test(`arrive after an outage under load, with ${workers} workers, and the store has them meanwhile`, async (context) => {
      const { folder, receiver, start } = await setUp(context);
      const server = await start(merge(withStore(folder), { postern: { workers } }));
      const load = startLoad(server.grpc, requests, 8);
      await enough(load, 300);
      await receiver.leave();
      await eventually(async () => ((await metricOf(server, 'postern_upload_lag_seconds')) > 2 ? true : undefined));
      assert.ok((await metricOf(server, 'postern_upload_failures_total')) > 0);
      const status = (await (await fetch(`http://${server.api}/v1/status`)).json()) as {
        result: { decision_logs: { code: string; message: string } };
      };
      assert.equal(status.result.decision_logs.code, 'decision_log_error');
      await receiver.comeBack();
      await enough(load, load.answers.length + 200);
      await load.end();
      await arrived(receiver, idsOf(load.answers));
      await settled(server);
      assert.ok(load.answers.every(({ code }) => code === 0 || code === 7));
      await eventually(async () => {
        const sealed = readdirSync(join(folder, 'store/wal')).filter((name) => name.endsWith('.ndjson'));
        return sealed.length === 0 ? true : undefined;
      });
      // Each process numbers its decisions, which is also their order.
      assert.equal(receiver.taken().length, new Set(receiver.ids()).size);
      assert.equal(await metricOf(server, 'postern_upload_lost_decisions_total'), 0);
    });
  }

  test('arrive though the server and the process that sends are killed', async (context) => {
    const { folder, receiver, start } = await setUp(context);
    const due: string[] = [];
    const both = merge(withStore(folder), { postern: { workers: 2 } });
    for (let kill = 0; kill < KILLS; kill++) {
      const server = await start(kill % 2 === 0 ? {} : both);
      const load = startLoad(server.grpc, requests, 4);
      await enough(load, 200);
      process.kill(uploadPid(server), 'SIGKILL');
      await eventually(async () => ((await metricOf(server, 'postern_upload_restarts_total')) > 0 ? true : undefined));
      await enough(load, load.answers.length + 200);
      const untilMs = performance.now() - BOUND_MS;
      await server.stop('SIGKILL');
      await load.end();
      due.push(...idsOf(load.answers.filter(({ atMs }) => atMs < untilMs)));
    }
    const last = await start();
    const lastToo = await start(withStore(folder));
    await arrived(receiver, due);
    await settled(last);
    await settled(lastToo);
  });

  test('do not wait for one that is slow: neither checks nor the end', async (context) => {
    const { receiver, start } = await setUp(context, {
      services: { logs: { response_header_timeout_seconds: 1 } },
    });
    receiver.answer = () => 'silence';
    const server = await start();
    const answers = await loadFor(server, 300);
    assert.ok(Math.max(...answers.map(({ tookMs }) => tookMs)) < 2000);
    await eventually(async () =>
      (await metricOf(server, 'postern_upload_failures_total{kind="connection"}')) > 0 ? true : undefined,
    );
    const startedMs = performance.now();
    assert.equal(await server.stop('SIGTERM'), 0);
    assert.ok(performance.now() - startedMs < 10_000);
    receiver.answer = () => undefined;
    await start();
    await arrived(receiver, idsOf(answers));
  });

  test('are not kept for a service that is not named any more', async (context) => {
    const { folder, receiver, start } = await setUp(context);
    receiver.answer = () => 500;
    const server = await start(withStore(folder));
    await loadFor(server, 100);
    await server.stop('SIGTERM');
    const sealed = (): number =>
      readdirSync(join(folder, 'store/wal')).filter((name) => name.endsWith('.ndjson')).length;
    assert.ok(sealed() > 0);
    await start(merge(withStore(folder), { decision_logs: { service: undefined, console: true } }));
    await eventually(async () => (sealed() === 0 ? true : undefined));
    assert.deepEqual(readdirSync(join(folder, 'store/cursors')), []);
  });

  test('need a place to wait in', async (context) => {
    const { start } = await setUp(context);
    await assert.rejects(
      start({ persistence_directory: '/dev/null' }),
      /not started: decisions for decision_logs\.service are kept in \/dev\/null\/decisions until they are sent, which cannot be written to \(ENOTDIR/,
    );
  });

  test('manual: go when somebody asks for a look at bundles', async (context) => {
    const { receiver, start } = await setUp(context, { decision_logs: { reporting: { trigger: 'manual' } } });
    const server = await start();
    const answers = await loadFor(server, 10);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.deepEqual(receiver.ids(), []);
    await eventually(async () => {
      const headers = { 'content-type': 'application/json' };
      await fetch(`http://${server.api}/v1/bundles/poll`, { method: 'POST', headers, body: '{}' });
      return receiver.ids().length >= answers.length ? true : undefined;
    });
  });
});

/** Keys at every depth, with their types. */
const shapeOf = (value: unknown, path = ''): readonly string[] =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.entries(value).flatMap(([key, item]) => shapeOf(item, `${path}/${key}`))
    : [`${path} ${Array.isArray(value) ? 'list' : typeof value}`];

/**
 * Of the event that opa-envoy-plugin (OPA 1.19.1) sends for GET /fine/1?page=1; without `input.version`, which it logs as it
 * has it in memory, and the compilation that Postern does not have.
 */
const peersShape = [
  '/decision_id string',
  '/input/attributes/request/http/headers/x-request-id string',
  '/input/attributes/request/http/host string',
  '/input/attributes/request/http/method string',
  '/input/attributes/request/http/path string',
  '/input/attributes/request/http/protocol string',
  '/input/attributes/request/http/scheme string',
  '/input/parsed_body object',
  '/input/parsed_path list',
  '/input/parsed_query/page list',
  '/input/truncated_body boolean',
  '/labels/id string',
  '/labels/version string',
  '/metrics/timer_rego_query_eval_ns number',
  '/metrics/timer_server_handler_ns number',
  '/path string',
  '/result boolean',
  '/timestamp string',
];

test('an event has what the peer has in its, and goes to the only service unless told otherwise', async (context) => {
  const { receiver, start } = await setUp(context, { decision_logs: { service: undefined } });
  const server = await start();
  const client = checkClient(server.grpc);
  await client.send(requests[1] ?? new Uint8Array());
  client.close();
  const event = await eventually<LoggedEvent>(async () => receiver.taken()[0]);
  const shape = new Set(shapeOf(event));
  assert.deepEqual(
    peersShape.filter((each) => !shape.has(each)),
    [],
  );
});
