import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { polled, startBundleServer } from '../support/bundle-server.ts';
import { ask, startEnvoy, startUpstream } from '../support/envoy.ts';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { createSigner } from '../support/tokens.ts';

const saying = (what: string): string =>
  `package envoy.authz\n\nallow := {"allowed": true, "headers": {"x-said": "${what}"}}\n`;

type Worker = {
  readonly worker: number;
  readonly pid: number;
  readonly ready: boolean;
  readonly revisions: { readonly main?: string };
};
type Status = {
  readonly workers: readonly Worker[];
  readonly bundles: { readonly main: { readonly message?: string; readonly active_revision?: string } };
};
const statusOf = async (server: Server): Promise<Status> =>
  ((await (await fetch(`http://${server.api}/v1/status`)).json()) as { readonly result: Status }).result;
const metricsOf = async (server: Server): Promise<string> =>
  (await fetch(`http://${server.diagnostic}/metrics`)).text();
const readyWorkers = (server: Server): Promise<readonly Worker[]> =>
  eventually(async () => {
    const ready = (await statusOf(server)).workers.filter((worker) => worker.ready);
    return ready.length === 2 ? ready : undefined;
  });

/** What the policy says, or how the call failed; over a connection of its own. */
async function said(server: Server): Promise<string> {
  const client = checkClient(server.grpc);
  const reply = await client.send(httpRequest({ path: '/x' }));
  client.close();
  if (!('response' in reply)) return `gRPC ${reply.grpcError}`;
  return /one|two/.exec(reply.response.toString('latin1'))?.[0] ?? 'refused';
}

async function setUp(context: Scope, over: Tree = {}) {
  const folder = scratchFolder(context);
  const build = (name: string): Buffer => readFileSync(buildPolicy(saying(name), folder, name, { revision: name }));
  const bodies = { one: build('one'), two: build('two') };
  const { url, served } = await startBundleServer(context, bodies.one);
  const config = { ...polled(url), postern: { workers: 2, ...over } };
  const server = await startPostern(context, { config, folder });
  const offer = (name: 'one' | 'two', etag: string): void => void Object.assign(served, { body: bodies[name], etag });
  return { folder, server, offer, workers: await readyWorkers(server) };
}

describe('several workers', () => {
  test('answer side by side, and what they count is one sum', async (context) => {
    const { server, workers } = await setUp(context);
    assert.deepEqual(
      workers.map(({ worker, revisions }) => [worker, revisions.main]),
      [
        [1, 'one'],
        [2, 'one'],
      ],
    );
    for (let i = 0; i < 10; i++) assert.equal(await said(server), 'one');
    const metrics = await metricsOf(server);
    assert.match(metrics, /^postern_decisions_total\{outcome="allow",reason="policy_allowed"\} 10$/m);
    assert.match(metrics, /^postern_ready 1$/m);
    assert.match(metrics, /^postern_workers_lost_total 0$/m);
    const both = workers.map(({ pid }) => readFileSync(`/proc/${pid}/stat`, 'utf8'));
    assert.equal(both.length, 2);
    assert.equal(await server.stop(), 0);
    for (const { pid } of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });

  test('are replaced when one dies, with the policy that serves, and nothing that was counted is lost', async (context) => {
    const { server, offer, workers } = await setUp(context);
    for (let i = 0; i < 10; i++) await said(server);
    await metricsOf(server);
    process.kill(workers[0]?.pid ?? 0, 'SIGKILL');
    offer('two', '"2"');
    await eventually(async () => {
      const status = await statusOf(server);
      const serving = status.workers.filter(({ ready, revisions }) => ready && revisions.main === 'two');
      return serving.length === 2 && serving.every(({ pid }) => pid !== workers[0]?.pid) ? true : undefined;
    });
    for (let i = 0; i < 10; i++) assert.equal(await said(server), 'two');
    const metrics = await metricsOf(server);
    const [, allowed = ''] = /^postern_decisions_total\{outcome="allow",.*\} (\d+)$/m.exec(metrics) ?? [];
    assert.equal(Number(allowed), 20);
    assert.match(metrics, /^postern_workers_lost_total 1$/m);
    assert.match(server.stderr(), /a worker was lost/);
  });

  test('that hang are ended; a policy is not served by some of them only', async (context) => {
    const { server, offer, workers } = await setUp(context);
    const [hanging] = workers;
    process.kill(hanging?.pid ?? 0, 'SIGSTOP');
    offer('two', '"2"');
    // The other one must not serve it before the one that hangs can.
    const seen = new Set<string>();
    await eventually(async () => {
      const status = await statusOf(server);
      for (const { revisions } of status.workers) seen.add(revisions.main ?? 'none');
      return status.workers.some(({ pid }) => pid === hanging?.pid) ? undefined : true;
    });
    assert.deepEqual([...seen], ['one']);
    await eventually(async () => {
      const { workers: now, bundles } = await statusOf(server);
      const all = now.filter(({ ready, revisions }) => ready && revisions.main === 'two');
      return all.length === 2 && bundles.main.active_revision === 'two' ? true : undefined;
    });
    assert.match(server.stderr(), /a worker hangs and is ended/);
    assert.equal(await said(server), 'two');
  });

  test('swap policies under load through Envoy with no failed request, and drain without one', async (context) => {
    const { folder, server, offer } = await setUp(context, { drain: { delay_seconds: 1, timeout_seconds: 10 } });
    const second = await startPostern(context, { args: ['-b', `${folder}/two.tar.gz`], folder });
    const upstream = await startUpstream(context);
    const servers = [server.grpc, second.grpc];
    const envoy = await startEnvoy(context, { folder, servers, upstream: upstream.address, healthChecks: true });
    const answers = new Map<number, number>();
    let running = true;
    const load = Array.from({ length: 8 }, async () => {
      while (running) {
        const { status } = await ask(envoy.port, '/x');
        answers.set(status, (answers.get(status) ?? 0) + 1);
      }
    });
    for (let swap = 1; swap <= 20; swap++) {
      const name = swap % 2 === 0 ? 'one' : 'two';
      offer(name, `"s${swap}"`);
      await eventually(async () => {
        const { workers, bundles } = await statusOf(server);
        const isEverywhere = workers.every(({ revisions }) => revisions.main === name);
        return isEverywhere && bundles.main.active_revision === name ? true : undefined;
      });
    }
    assert.equal(await server.stop(), 0);
    running = false;
    await Promise.all(load);
    assert.deepEqual([...answers.keys()], [200]);
    assert.equal(await envoy.stat('cluster.upstream.ext_authz.error'), 0);
  });
});

const identified = 'package envoy.authz\n\nallow if input.identity.subject == "ann"\n';

describe('several workers and one key set', () => {
  test('fetch it once, all know a new key at once, and the last good keys outlive the issuer', async (context) => {
    const folder = scratchFolder(context);
    const issuer = 'https://a.test/';
    const [first, second] = [await createSigner(issuer, 'k1'), await createSigner(issuer, 'k2')];
    let keys: unknown = first.jwks;
    let fetches = 0;
    const idp = createServer((_request, response) => {
      fetches++;
      if (keys === undefined) response.writeHead(500).end();
      else response.end(JSON.stringify(keys));
    }).listen(0, '127.0.0.1');
    await once(idp, 'listening');
    context.after(() => {
      idp.closeAllConnections();
      idp.close();
    });
    const jwksUri = `http://127.0.0.1:${(idp.address() as AddressInfo).port}/`;
    const identity = { issuers: [{ issuer, jwks_uri: jwksUri }] };
    const server = await startPostern(context, {
      args: ['-b', buildPolicy(identified, folder)],
      config: { postern: { workers: 2, identity } },
      folder,
    });
    await readyWorkers(server);
    const claims = { sub: 'ann', exp: Math.floor(Date.now() / 1000) + 600 };
    /** HTTP statuses of calls over connections of their own, so that both workers get some; 0 is allowed. */
    const ask = async (token: string): Promise<readonly number[]> => {
      const statuses: number[] = [];
      for (let i = 0; i < 6; i++) {
        const client = checkClient(server.grpc);
        const reply = await client.send(httpRequest({ headers: { authorization: `Bearer ${token}` } }));
        client.close();
        assert.ok('response' in reply);
        const response = readResponse(reply.response) as { deniedResponse?: { status: { code: number } } };
        statuses.push(response.deniedResponse?.status.code ?? 0);
      }
      return [...new Set(statuses)];
    };
    assert.deepEqual(await ask(await first.sign(claims)), [0]);
    assert.equal(fetches, 1);
    keys = second.jwks;
    assert.deepEqual(await ask(await second.sign(claims)), [0]);
    assert.equal(fetches, 2);
    assert.deepEqual(await ask(await first.sign(claims)), [401]);
    keys = undefined;
    assert.deepEqual(await ask(await second.sign({ ...claims, jti: 'new' })), [0]);
    const { workers } = await statusOf(server);
    process.kill(workers[1]?.pid ?? 0, 'SIGKILL');
    await eventually(async () => {
      const { workers: now } = await statusOf(server);
      return now.filter(({ ready }) => ready).length === 2 && now[1]?.pid !== workers[1]?.pid ? true : undefined;
    });
    assert.deepEqual(await ask(await second.sign({ ...claims, jti: 'newer' })), [0]);
    assert.ok(fetches <= 4, `${fetches} fetches`);
  });
});

test('a worker that cannot start is the reason not to start', async (context) => {
  const folder = scratchFolder(context);
  const first = await startPostern(context, { args: ['-b', buildPolicy(saying('one'), folder)], folder });
  const config = { postern: { workers: 2 }, plugins: { envoy_ext_authz_grpc: { addr: first.grpc } } };
  await assert.rejects(
    startPostern(context, { config, args: ['-b', buildPolicy(saying('one'), folder)], folder }),
    /ended with 2[\s\S]*cannot listen on/,
  );
});
