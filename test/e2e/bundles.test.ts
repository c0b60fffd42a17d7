import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startForwardProxy } from '../support/forward-proxy.ts';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually, tool } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { buildPolicy, merge, type Server, scratchFolder, startPostern } from '../support/servers.ts';

const saying = (what: string): string =>
  `package envoy.authz\n\nallow := {"allowed": true, "headers": {"x-said": "${what}"}}\n`;

type Served = { body: Buffer; etag: string | undefined; status: number; readonly seen: (string | undefined)[] };

/** A bundle server whose answer can be changed. */
async function bundleServer(scope: Scope, first: Buffer): Promise<{ readonly url: string; readonly served: Served }> {
  const served: Served = { body: first, etag: '"1"', status: 200, seen: [] };
  const server = createServer((request, response) => {
    served.seen.push(request.headers['if-none-match']);
    assert.equal(request.headers.authorization, 'Bearer bundle-secret');
    if (served.etag !== undefined) response.setHeader('etag', served.etag);
    if (served.status === 200 && served.etag !== undefined && request.headers['if-none-match'] === served.etag) {
      response.statusCode = 304;
      response.end();
      return;
    }
    response.statusCode = served.status;
    if (served.status === 302) response.setHeader('location', 'http://127.0.0.1:1/');
    response.end(served.body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, served };
}

const polled = (url: string): { readonly [key: string]: unknown } => ({
  services: { ci: { url, credentials: { bearer: { token: 'bundle-secret' } } } },
  bundles: { main: { polling: { min_delay_seconds: 0.02, max_delay_seconds: 0.05 } } },
});

async function said(server: Server): Promise<string> {
  const client = checkClient(server.grpc);
  const reply = await client.send(httpRequest({ path: '/x' }));
  client.close();
  assert.ok('response' in reply, JSON.stringify(reply));
  const response = readResponse(reply.response) as { okResponse?: { headers: { header: { value: string } }[] } };
  return response.okResponse?.headers[0]?.header.value ?? JSON.stringify(response);
}

type Status = {
  readonly result: {
    readonly bundles: { readonly main: { readonly message?: string; readonly active_revision?: string } };
  };
};
const statusOf = async (server: Server): Promise<Status['result']['bundles']['main']> =>
  ((await (await fetch(`http://${server.api}/v1/status`)).json()) as Status).result.bundles.main;

describe('bundles over HTTP', () => {
  test('are asked for by ETag, swapped in, and a bad one leaves the old one serving and says why', async (context) => {
    const folder = scratchFolder(context);
    const build = (name: string): Buffer => readFileSync(buildPolicy(saying(name), folder, name, { revision: name }));
    const [one, two] = [build('one'), build('two')];
    const { url, served } = await bundleServer(context, one);
    const server = await startPostern(context, { config: polled(url), folder });
    assert.equal(await said(server), 'one');
    await eventually(async () => (served.seen.includes('"1"') ? true : undefined));

    const bad: readonly (readonly [string, () => void, RegExp])[] = [
      ['an HTML page', () => Object.assign(served, { body: Buffer.from('<html>'), etag: '"html"' }), /archive/],
      [
        'a cut bundle',
        () => Object.assign(served, { body: two.subarray(0, two.length / 2), etag: '"cut"' }),
        /unzip|end/,
      ],
      ['an error', () => Object.assign(served, { status: 500 }), /answered 500/],
      [
        'a redirect to nowhere',
        () => Object.assign(served, { status: 302 }),
        /127\.0\.0\.1:1\/: the connection is refused/,
      ],
      [
        'a policy that needs what is not there',
        () => {
          const rego =
            'package envoy.authz\n\nallow if rego.parse_module("p.rego", input.x) == http.send({"url": input.x})\n';
          const body = readFileSync(buildPolicy(rego, folder, 'builtins'));
          Object.assign(served, { status: 200, body, etag: '"builtins"' });
        },
        /not available: rego\.parse_module/,
      ],
      [
        'a bundle without the entrypoint',
        () => {
          const body = readFileSync(
            buildPolicy('package other\n\nx := 1\n', folder, 'other', { entrypoint: 'other/x' }),
          );
          Object.assign(served, { body, etag: '"other"' });
        },
        /no entrypoint serves envoy\/authz\/allow \(the bundle has: other\/x\)/,
      ],
    ];
    for (const [name, serve, message] of bad) {
      serve();
      await eventually(async () => (message.test((await statusOf(server)).message ?? '') ? true : undefined)).catch(
        async () => assert.fail(`${name}: ${(await statusOf(server)).message}`),
      );
      assert.equal(await said(server), 'one', name);
    }
    Object.assign(served, { body: two, etag: '"2"' });
    await eventually(async () => ((await said(server)) === 'two' ? true : undefined));
    const status = await statusOf(server);
    assert.deepEqual([status.active_revision, status.message], ['two', undefined]);
    const metrics = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    assert.match(metrics, /postern_bundle_failures_total\{bundle="main"\} [1-9]/);
  });

  test('come through the proxy of the environment, and what is allowed and should not be is said at the start', async (context) => {
    const folder = scratchFolder(context);
    const { url } = await bundleServer(context, readFileSync(buildPolicy(saying('one'), folder)));
    const proxy = await startForwardProxy(context);
    const named = polled(url.replace('127.0.0.1', 'bundles.test'));
    const config = merge(named, { services: { ci: { allow_insecure_tls: true } } });
    const env = { HTTP_PROXY: `http://user:proxy-secret@${proxy.address}`, NO_PROXY: '' };
    const server = await startPostern(context, { config, folder, env });
    assert.equal(await said(server), 'one');
    assert.match(proxy.asked[0]?.[0] ?? '', /^GET http:\/\/bundles\.test:[0-9]+\/bundles\/main$/);
    assert.match(server.stderr(), /services\.ci\.allow_insecure_tls: its certificate is NOT verified/);
    assert.match(server.stderr(), /services\.ci\.url: credentials are sent without encryption/);
    proxy.fault = 403;
    await eventually(async () => ((await statusOf(server)).message === undefined ? undefined : true));
    assert.ok(!(server.stderr() + server.stdout()).match(/proxy-secret|bundle-secret/));
  });

  test('are swapped under load with no failed request and only ever one of the two answers', async (context) => {
    const folder = scratchFolder(context);
    const bodies = ['one', 'two'].map((name) => readFileSync(buildPolicy(saying(name), folder, name)));
    const { url, served } = await bundleServer(context, bodies[0] ?? Buffer.alloc(0));
    const server = await startPostern(context, { config: polled(url), folder });
    const client = checkClient(server.grpc);
    const answers = new Map<string, number>();
    let running = true;
    const load = Array.from({ length: 8 }, async () => {
      while (running) {
        const reply = await client.send(httpRequest({ path: '/x' }));
        const text =
          'response' in reply ? (/one|two/.exec(reply.response.toString('latin1'))?.[0] ?? 'neither') : 'error';
        answers.set(text, (answers.get(text) ?? 0) + 1);
      }
    });
    for (let swap = 1; swap <= 20; swap++) {
      const expected = swap % 2 === 0 ? 'one' : 'two';
      Object.assign(served, { body: bodies[swap % 2], etag: `"s${swap}"` });
      await eventually(async () => ((await said(server)) === expected ? true : undefined));
    }
    running = false;
    await Promise.all(load);
    client.close();
    assert.deepEqual([...answers.keys()].sort(), ['one', 'two']);
  });
});

test('several bundles with disjoint roots are one policy; overlapping ones are refused', async (context) => {
  const folder = scratchFolder(context);
  const rego = 'package envoy.authz\n\nallow if data.lists.open[_] == input.parsed_path[0]\n';
  mkdirSync(join(folder, 'p'));
  writeFileSync(join(folder, 'p/policy.rego'), rego);
  writeFileSync(join(folder, 'p/.manifest'), '{"roots":["envoy"]}');
  const args = [
    'build',
    '-t',
    'wasm',
    '-e',
    'envoy/authz/allow',
    '-b',
    join(folder, 'p'),
    '-o',
    join(folder, 'p.tar.gz'),
  ];
  execFileSync(tool('opa'), args, { stdio: 'pipe' });
  mkdirSync(join(folder, 'd/lists'), { recursive: true });
  writeFileSync(join(folder, 'd/.manifest'), '{"roots":["lists"],"revision":"lists-1"}');
  writeFileSync(join(folder, 'd/lists/data.json'), '{"open":["x"]}');
  const server = await startPostern(context, {
    args: ['-b', join(folder, 'p.tar.gz'), '-b', join(folder, 'd')],
    folder,
  });
  const client = checkClient(server.grpc);
  const reply = await client.send(httpRequest({ path: '/x' }));
  client.close();
  assert.ok('response' in reply);
  assert.deepEqual(readResponse(reply.response)['status'], {});
  const twice = startPostern(context, { args: ['-b', join(folder, 'd'), '-b', join(folder, 'd/')], folder });
  await assert.rejects(twice, /overlap at "lists"/);
});
