import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { polled, startBundleServer } from '../support/bundle-server.ts';
import { startForwardProxy } from '../support/forward-proxy.ts';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually, tool } from '../support/process.ts';
import { buildPolicy, merge, type Server, scratchFolder, startPostern } from '../support/servers.ts';

const saying = (what: string): string =>
  `package envoy.authz\n\nallow := {"allowed": true, "headers": {"x-said": "${what}"}}\n`;

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
    const { url, served } = await startBundleServer(context, one);
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
    const { url } = await startBundleServer(context, readFileSync(buildPolicy(saying('one'), folder)));
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
    const { url, served } = await startBundleServer(context, bodies[0] ?? Buffer.alloc(0));
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

describe('bundles that are kept', () => {
  const keeping = (url: string, folder: string): { readonly [key: string]: unknown } => {
    const { bundles, ...rest } = polled(url) as { bundles: { main: object } };
    return { ...rest, persistence_directory: folder, bundles: { main: { ...bundles.main, persist: true } } };
  };

  test('serve a start without their server, and are refused when somebody has changed them', async (context) => {
    const folder = scratchFolder(context);
    const build = (name: string): Buffer => readFileSync(buildPolicy(saying(name), folder, name, { revision: name }));
    const { url, served } = await startBundleServer(context, build('one'));
    const kept = join(folder, 'kept');
    const first = await startPostern(context, { config: keeping(url, kept), folder });
    await eventually(async () => (readdirSync(join(kept, 'bundles')).length === 2 ? true : undefined));
    assert.equal(await first.stop(), 0);

    served.status = 503;
    const second = await startPostern(context, { config: keeping(url, kept), folder });
    assert.equal(await said(second), 'one');
    assert.equal((await statusOf(second)).active_revision, 'one');
    // Asked for with the tag that came with it.
    assert.equal(served.seen.at(-1), '"1"');
    Object.assign(served, { status: 200, body: build('two'), etag: '"2"' });
    await eventually(async () => ((await said(second)) === 'two' ? true : undefined));
    await second.stop();

    const [archive = ''] = readdirSync(join(kept, 'bundles')).filter((file) => file.endsWith('.tar.gz'));
    const file = join(kept, 'bundles', archive);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(file, bytes);
    served.status = 503;
    const third = await startPostern(context, { config: keeping(url, kept), folder, untilReady: false });
    assert.match(await said(third), /"code":503/);
    await third.printed(/not what was stored/);
  });

  test('are not served once they are older than they may be, until their server answers again', async (context) => {
    const folder = scratchFolder(context);
    const body = readFileSync(buildPolicy(saying('one'), folder, 'one'));
    for (const workers of [1, 2]) {
      const { url, served } = await startBundleServer(context, body);
      const config = { ...polled(url), postern: { workers, bundles: { max_age_seconds: 1 } } };
      const server = await startPostern(context, { config, folder });
      assert.equal(await said(server), 'one');
      served.status = 500;
      await eventually(async () => (/"code":503/.test(await said(server)) ? true : undefined));
      assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 503);
      served.status = 200;
      await eventually(async () => ((await said(server)) === 'one' ? true : undefined));
      await server.stop();
    }
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
