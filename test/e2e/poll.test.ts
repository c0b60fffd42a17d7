import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { eventually, freePorts, root, startProcess } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { buildPolicy, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { startStatusServer } from '../support/status-server.ts';

const TOKEN = 'a-token-of-some-length';
const build = (folder: string, name: string): Buffer =>
  readFileSync(buildPolicy('package envoy.authz\n\nallow := true\n', folder, name, { revision: name }));

type Answer = { readonly status: number; readonly body: { readonly code?: string; readonly result?: Tree } };

/** A call with exactly these headers; `Host` among them, which fetch would not let go. */
const call = (address: string, path: string, headers: { readonly [name: string]: string } = {}, method = 'POST') =>
  new Promise<Answer>((resolve, reject) => {
    const [host, port] = address.split(':');
    const sent = request({ host, port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end();
  });
const json = { 'content-type': 'application/json' };

/** A server whose bundle `main` is looked for on demand only. */
async function setUp(scope: Scope, over: Tree = {}, args: readonly string[] = []) {
  const folder = scratchFolder(scope);
  const { url, sent, served } = await startStatusServer(scope);
  served.bundle.body = build(folder, 'one');
  const config = { services: { ci: { url } }, bundles: { main: { trigger: 'manual' } }, ...over };
  const server = await startPostern(scope, { config, folder, args, untilReady: false });
  return { folder, sent, served, server };
}

describe('a look that somebody asks for', () => {
  test('answers with the status after it: what came, what could not be had, what was refused', async (context) => {
    const { folder, sent, served, server } = await setUp(context, { status: { trigger: 'manual' } });
    assert.equal((await fetch(`http://${server.api}/health/ready`)).status, 503);
    const one = await call(server.api, '/v1/bundles/main/poll', json);
    assert.deepEqual([one.status, one.body.result?.['active_revision']], [200, 'one']);
    assert.equal((await fetch(`http://${server.api}/health/ready`)).status, 200);
    served.bundle = { ...served.bundle, status: 500 };
    const missing = await call(server.api, '/v1/bundles/main/poll', json);
    assert.deepEqual([missing.status, missing.body.code], [503, 'bundle_unavailable']);
    assert.deepEqual([missing.body.result?.['http_code'], missing.body.result?.['active_revision']], [500, 'one']);
    served.bundle = { status: 200, etag: '"junk"', body: Buffer.from('junk') };
    const refused = await call(server.api, '/v1/bundles/poll', json);
    assert.deepEqual([refused.status, refused.body.code], [409, 'bundle_refused']);
    served.bundle = { status: 200, etag: '"2"', body: build(folder, 'two') };
    const all = await call(server.api, '/v1/bundles/poll', json);
    const { main } = (all.body.result as { bundles: { main: Tree } }).bundles;
    assert.deepEqual([all.status, main['active_revision'], main['code']], [200, 'two', undefined]);
    for (const path of ['/v1/bundles/other/poll', '/v1/bundles/__proto__/poll', '/v1/bundles/toString/poll']) {
      assert.equal((await call(server.api, path, json)).status, 404, path);
    }
    // Reported because somebody asked, and only then.
    await eventually(async () =>
      sent.some(({ report }) => report.bundles?.['main']?.['active_revision'] === 'two') ? true : undefined,
    );
  });

  test('may not be asked for by a web page', async (context) => {
    const { server, served } = await setUp(context);
    const port = server.api.split(':')[1];
    const foreign: readonly (readonly [string, { readonly [name: string]: string }])[] = [
      ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
      ['nothing that a page may not send', {}],
      ['another origin', { ...json, origin: 'https://evil.example' }],
      ['an opaque origin', { ...json, origin: 'null' }],
      ['another port of this machine', { ...json, origin: 'http://127.0.0.1:1' }],
      ['what a browser says of a page elsewhere', { ...json, 'sec-fetch-site': 'cross-site' }],
      ['the same of a sibling', { ...json, 'sec-fetch-site': 'same-site' }],
      ['a name that was made to lead here', { ...json, host: `rebound.example:${port}` }],
      ['a name that begins like ours', { ...json, host: `127.0.0.1.evil.example:${port}` }],
      ['another one', { ...json, host: `localhost.evil.example:${port}` }],
      ['somebody else’s name as user', { ...json, host: `localhost@evil.example:${port}` }],
    ];
    for (const [name, headers] of foreign) {
      const { status, body } = await call(server.api, '/v1/bundles/poll', headers);
      assert.ok(status === 403 && body.code === 'unauthorized', `${name}: ${status}`);
    }
    assert.equal((await call(server.api, '/v1/bundles/poll', { 'content-type': 'text/plain' })).status, 403);
    served.bundle = { ...served.bundle, status: 500 };
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
      assert.equal((await call(server.api, '/v1/bundles/poll', { ...json, host })).status, 503, host);
      const own = { ...json, host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' };
      assert.equal((await call(server.api, '/v1/bundles/poll', own)).status, 503, host);
    }
  });

  test('needs a token where the API is not on loopback, and says so', async (context) => {
    const port = (await freePorts(1))[0];
    const { server } = await setUp(context, {}, ['--addr', `0.0.0.0:${port}`]);
    const { status, body } = await call(`127.0.0.1:${port}`, '/v1/bundles/poll', json);
    assert.equal(status, 403, server.stderr());
    assert.match(JSON.stringify(body), /postern\.api\.token_file/);
    assert.equal((await call(`127.0.0.1:${port}`, '/v1/status', {}, 'GET')).status, 200);
  });

  test('needs the token wherever there is one, as the file has it now', async (context) => {
    const file = join(scratchFolder(context), 'token');
    writeFileSync(file, `${TOKEN}\n`);
    const port = (await freePorts(1))[0];
    const address = `127.0.0.1:${port}`;
    const { server } = await setUp(context, { postern: { api: { token_file: file } } }, ['--addr', `0.0.0.0:${port}`]);
    const path = '/v1/bundles/main/poll';
    const bearing = (token: string): Promise<Answer> => call(address, path, { authorization: `Bearer ${token}` });
    for (const wrong of ['', TOKEN.slice(1), `${TOKEN}x`, TOKEN.toUpperCase(), `${TOKEN} x`]) {
      assert.equal((await bearing(wrong)).status, 401, wrong);
    }
    assert.equal((await call(address, path, json)).status, 401);
    assert.equal((await call(address, path, { authorization: `Basic ${TOKEN}` })).status, 401);
    assert.equal((await bearing(TOKEN)).status, 200);
    const other = 'another-token-of-some-length';
    writeFileSync(file, other);
    assert.deepEqual([(await bearing(TOKEN)).status, (await bearing(other)).status], [401, 200]);
    writeFileSync(file, '');
    assert.equal((await bearing('')).status, 503);
    rmSync(file);
    assert.equal((await bearing(other)).status, 503);
    assert.ok(!(server.stdout() + server.stderr()).includes(other));
    const config = await (await fetch(`http://${address}/v1/config`)).text();
    assert.ok(config.includes(file));
  });

  test('with a token file that cannot be used there is no start', async (context) => {
    const folder = scratchFolder(context);
    for (const [name, content] of [
      ['short', 'x'],
      ['spaced', 'a token with spaces in it'],
    ] as const) {
      const file = join(folder, name);
      writeFileSync(file, content);
      chmodSync(file, 0o600);
      const args = ['run', '--addr', '127.0.0.1:0', '--diagnostic-addr', '127.0.0.1:0'];
      const set = [`postern.api.token_file=${file}`, 'plugins.envoy_ext_authz_grpc.addr=127.0.0.1:0'];
      const child = startProcess(context, join(root, 'bin/postern'), [
        ...args,
        ...set.flatMap((one) => ['--set', one]),
      ]);
      assert.equal(await child.exited, 2);
      assert.match(child.stderr(), /a token of 16 characters or more is expected/);
      assert.ok(!child.stderr().includes('spaces in it'));
    }
  });
});

describe('the status', () => {
  test('tells ages, the last error although all is well again, and revisions by worker', async (context) => {
    const { folder, served, server } = await setUp(context, { postern: { workers: 2, drain: { delay_seconds: 0 } } });
    const poll = (): Promise<Answer> => call(server.api, '/v1/bundles/poll', json);
    const status = async () => (await (await fetch(`http://${server.api}/v1/status`)).json()) as { result: Tree };
    const before = (await status()).result as { bundles: { main: Tree }; plugins: Tree };
    assert.equal(before.bundles.main['age_seconds'], null);
    assert.equal(before.bundles.main['last_successful_activation'], '0001-01-01T00:00:00Z');
    assert.deepEqual(before.plugins['bundle'], { state: 'NOT_READY' });
    for (const [query, code] of [
      ['bundles', 500],
      ['plugins', 500],
      ['bundles&plugins', 500],
      ['plugins&exclude-plugin=bundle', 200],
      ['plugins&exclude-plugin=other', 500],
      ['plugins=false', 200],
    ] as const) {
      assert.equal((await fetch(`http://${server.api}/health?${query}`)).status, code, query);
    }
    await poll();
    served.bundle = { ...served.bundle, status: 502 };
    await poll();
    served.bundle = { status: 200, etag: '"2"', body: build(folder, 'two') };
    await poll();
    const { bundles, plugins, workers } = (await status()).result as {
      bundles: { main: Tree };
      plugins: Tree;
      workers: readonly Tree[];
    };
    assert.ok(Number(bundles.main['age_seconds']) < 60);
    assert.equal(bundles.main['message'], undefined);
    assert.equal((bundles.main['last_error'] as Tree)['http_code'], 502);
    assert.deepEqual(plugins['bundle'], { state: 'OK' });
    assert.deepEqual(
      workers.map(({ revisions }) => revisions),
      [{ main: 'two' }, { main: 'two' }],
    );
    await eventually(async () => ((await fetch(`http://${server.api}/health?bundles&plugins`)).ok ? true : undefined));
  });
});
