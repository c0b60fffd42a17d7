import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { ask, type Envoy, startEnvoy, startUpstream } from '../support/envoy.ts';
import { eventually } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';

const WORKERS = 2;
const LANES = 12;
const policy = 'package envoy.authz\n\nallow := true\n';

type Worker = { readonly worker: number; readonly pid: number; readonly ready: boolean };

async function workersOf(server: Server): Promise<readonly Worker[]> {
  const response = await fetch(`http://${server.api}/v1/status`);
  return ((await response.json()) as { readonly result: { readonly workers: readonly Worker[] } }).result.workers;
}

const allReady = (server: Server): Promise<readonly Worker[]> =>
  eventually(async () => {
    const ready = (await workersOf(server)).filter((worker) => worker.ready);
    return ready.length === WORKERS ? ready : undefined;
  });

const metricsOf = async (server: Server): Promise<string> =>
  (await fetch(`http://${server.diagnostic}/metrics`)).text();

/** Connections of each worker that carry checks, fewest first. */
async function spreadOf(server: Server): Promise<readonly number[]> {
  const values = [...(await metricsOf(server)).matchAll(/^postern_connections\{worker="\d+"\} (\d+)$/gm)];
  return values.map(([, count]) => Number(count)).sort((a, b) => a - b);
}

const isEven = (spread: readonly number[], connections: number): boolean =>
  spread.length === WORKERS &&
  spread.reduce((sum, count) => sum + count) === connections &&
  (spread.at(-1) ?? 0) - (spread[0] ?? 0) <= 1;

/** Until all of Envoy's connections are there, and spread as evenly as they can be. */
const evenSpread = (server: Server, connections: number): Promise<readonly number[]> =>
  eventually(async () => {
    const spread = await spreadOf(server);
    return isEven(spread, connections) ? spread : undefined;
  }, 60_000);

/** Asks through Envoy, from new connections, which its threads share; `stop` gives how often it was answered with what. */
function startLoad(envoy: Envoy): { readonly stop: () => Promise<ReadonlyMap<number, number>> } {
  const answers = new Map<number, number>();
  let running = true;
  const lanes = Array.from({ length: LANES }, async () => {
    while (running) {
      const { status } = await ask(envoy.port, '/x');
      answers.set(status, (answers.get(status) ?? 0) + 1);
    }
  });
  return {
    stop: async () => {
      running = false;
      await Promise.all(lanes);
      return answers;
    },
  };
}

async function setUp(context: Scope, postern: Tree, concurrency: number, replicas = 1, streams?: number) {
  const folder = scratchFolder(context);
  const args = ['-b', buildPolicy(policy, folder)];
  const servers = await Promise.all(
    Array.from({ length: replicas }, () => startPostern(context, { args, config: { postern }, folder })),
  );
  const [server] = servers;
  assert.ok(server);
  const upstream = await startUpstream(context);
  const addresses = servers.map(({ grpc }) => grpc);
  const envoy = await startEnvoy(context, {
    ...{ folder, servers: addresses, upstream: upstream.address, healthChecks: true, concurrency },
    ...(streams === undefined ? {} : { maxConcurrentStreams: streams }),
  });
  return { server, servers, envoy };
}

describe('the connections of Envoy', () => {
  for (const concurrency of [1, 2, 4]) {
    test(`are spread evenly over two workers: ${concurrency}, also after one was lost`, async (context) => {
      const { server, envoy } = await setUp(context, { workers: WORKERS }, concurrency);
      const [first] = await allReady(server);
      const load = startLoad(envoy);
      await evenSpread(server, concurrency);
      // One that was sent away may still be there.
      await eventually(async () =>
        (await envoy.stat('cluster.postern.upstream_cx_active')) === concurrency ? true : undefined,
      );
      process.kill(first?.pid ?? 0, 'SIGKILL');
      await eventually(async () => {
        const workers = await allReady(server);
        return workers.some(({ pid }) => pid === first?.pid) ? undefined : true;
      });
      await evenSpread(server, concurrency);
      await load.stop();
      const second = startLoad(envoy);
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.deepEqual([...(await second.stop()).keys()], [200]);
    });
  }

  test('are more than one for each of its threads when its cluster lets each carry few streams', async (context) => {
    const { server, envoy } = await setUp(context, { workers: WORKERS }, 1, 1, LANES / 4);
    const load = startLoad(envoy);
    const spread = await eventually(async () => {
      const counts = await spreadOf(server);
      return counts.length === WORKERS && counts.every((count) => count > 0) ? counts : undefined;
    });
    assert.ok(spread.reduce((sum, count) => sum + count) <= 4);
    assert.deepEqual([...(await load.stop()).keys()], [200]);
  });

  test('are opened anew when they are old, with no failed request', async (context) => {
    const { envoy } = await setUp(context, { connections: { max_age_seconds: 1, grace_seconds: 5 } }, 2);
    const load = startLoad(envoy);
    await eventually(async () => ((await envoy.stat('cluster.postern.upstream_cx_total')) >= 10 ? true : undefined));
    assert.deepEqual([...(await load.stop()).keys()], [200]);
    assert.equal(await envoy.stat('cluster.upstream.ext_authz.error'), 0);
  });
});

test('a connection that was given to a worker which died before it took it is closed', async (context) => {
  const folder = scratchFolder(context);
  const args = ['-b', buildPolicy(policy, folder)];
  const server = await startPostern(context, { args, config: { postern: { workers: WORKERS } }, folder });
  const [victim] = await allReady(server);
  const { hostname, port } = new URL(`http://${server.grpc}`);
  process.kill(victim?.pid ?? 0, 'SIGSTOP');
  const sockets = Array.from({ length: 2 * WORKERS }, () => connect(Number(port), hostname));
  context.after(() => sockets.forEach((socket) => void socket.destroy()));
  const closed = sockets.map((socket) => once(socket, 'close'));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  // The others are with the one that lives, which says so.
  await eventually(async () => (sockets.filter(({ bytesRead }) => bytesRead > 0).length >= WORKERS ? true : undefined));
  process.kill(victim?.pid ?? 0, 'SIGKILL');
  await Promise.race(closed);
});

describe('a restart with no failed request', () => {
  test('of all workers, one after another, loses nothing that was counted', async (context) => {
    const { server, envoy } = await setUp(context, { workers: WORKERS }, 2);
    const before = (await allReady(server)).map(({ pid }) => pid);
    const load = startLoad(envoy);
    await evenSpread(server, 2);
    server.process.kill('SIGUSR2');
    await server.printed('all workers were restarted');
    const after = await allReady(server);
    assert.ok(after.every(({ pid }) => !before.includes(pid)));
    await evenSpread(server, 2);
    const answers = await load.stop();
    assert.deepEqual([...answers.keys()], [200]);
    assert.equal(await envoy.stat('cluster.upstream.ext_authz.error'), 0);
    const metrics = await metricsOf(server);
    assert.match(metrics, /^postern_workers_lost_total 0$/m);
    const [, decided] = /^postern_decisions_total\{outcome="allow",.*\} (\d+)$/m.exec(metrics) ?? [];
    assert.equal(Number(decided), answers.get(200));
    for (const pid of before) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });

  test('of one replica of two: SIGTERM', async (context) => {
    const drain = { delay_seconds: 1, timeout_seconds: 10 };
    const { server, servers, envoy } = await setUp(context, { drain }, 2, 2);
    const load = startLoad(envoy);
    await eventually(async () => {
      const spreads = await Promise.all(servers.map(spreadOf));
      return spreads.every(([connections = 0]) => connections > 0) ? true : undefined;
    });
    assert.equal(await server.stop('SIGTERM'), 0);
    assert.deepEqual([...(await load.stop()).keys()], [200]);
    assert.equal(await envoy.stat('cluster.upstream.ext_authz.error'), 0);
  });
});
