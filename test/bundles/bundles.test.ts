import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Policy } from '../../src/bundles/activate.ts';
import { type BundlesOptions, createBundles } from '../../src/bundles/bundles.ts';
import { digestOf } from '../../src/bundles/digest.ts';
import { bundleOf } from '../support/archive.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { asArchive, jws, keyPairFor, publicPem, signaturesOf } from '../support/signing.ts';
import { bundleConfig, noS3, nowhere, serviceConfig } from '../support/sources.ts';

const bundle = (root: string, revision: string): Buffer =>
  bundleOf([
    { name: '.manifest', content: JSON.stringify({ roots: [root], revision }) },
    { name: 'data.json', content: JSON.stringify({ [root]: revision }) },
  ]);
const fast = bundleConfig();

/** Bundles whose doings are events: `activated` NAME, `failed` NAME, `looked` PATH. */
async function setUp(scope: Scope, over: Partial<BundlesOptions> = {}) {
  const events = new EventEmitter();
  const served = new Map<string, Buffer>();
  const asked: (readonly [path: string, tag: string | undefined])[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    const body = served.get(path);
    const etag = `"${body?.toString('base64url').slice(-40)}"`;
    asked.push([path, request.headers['if-none-match']]);
    if (body === undefined) response.writeHead(404).end();
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(body);
    response.once('finish', () => events.emit('looked', path));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const commits: Policy[] = [];
  const lines: string[] = [];
  const write = (fields: object, message: string): void => void lines.push(JSON.stringify({ ...fields, message }));
  const bundles = createBundles({
    config: {},
    services: { ci: serviceConfig({ url }) },
    keys: {},
    allowRollback: [],
    maxAgeMs: undefined,
    store: nowhere,
    s3: noS3,
    env: {},
    files: [],
    clock: { wallMs: () => Date.UTC(2026, 0, 1), monotonicMs: () => 0 },
    random: () => 0,
    log: { info: write, warn: write, error: write },
    prepare: async (policy) => ({ commit: () => void commits.push(policy), abandon: () => {} }),
    onActivated: (name) => events.emit('activated', name),
    onFailed: (name) => events.emit('failed', name),
    onLooked: () => {},
    onStale: () => {},
    ...over,
  });
  scope.after(bundles.stop);
  return { bundles, served, events, commits, asked, lines };
}

const NEW_YEAR = '2026-01-01T00:00:00.000Z';

describe('bundles', () => {
  test('are found at bundles/NAME of the only service, and their status has the names of OPA', async (context) => {
    const { bundles, served, commits } = await setUp(context, { config: { main: fast } });
    served.set('/bundles/main', bundle('a', 'r1'));
    assert.deepEqual(bundles.status(), { main: { name: 'main' } });
    await bundles.start();
    assert.deepEqual(bundles.status(), {
      main: {
        name: 'main',
        active_revision: 'r1',
        last_request: NEW_YEAR,
        last_successful_request: NEW_YEAR,
        last_successful_download: NEW_YEAR,
        last_successful_activation: NEW_YEAR,
        type: 'snapshot',
        size: bundle('a', 'r1').length,
        metrics: {
          timer_bundle_request_ns: 0,
          timer_rego_load_bundles_ns: 0,
          timer_rego_module_compile_ns: 0,
        },
      },
    });
    assert.deepEqual(commits[0]?.revisions, { main: 'r1' });
  });

  test('are not called active while others are still to come', async (context) => {
    const config = { one: fast, two: { ...fast, resource: '/elsewhere/two.tar.gz' } };
    const { bundles, served, events, commits } = await setUp(context, { config });
    served.set('/bundles/one', bundle('a', 'r1'));
    await bundles.start();
    const { one, two } = bundles.status();
    assert.deepEqual(
      [one?.active_revision, one?.last_successful_download, one?.message],
      [undefined, NEW_YEAR, undefined],
    );
    assert.deepEqual([two?.code, two?.http_code], ['bundle_error', 404]);
    assert.match(
      two?.message ?? '',
      /^GET http:\/\/127\.0\.0\.1:[0-9]+\/elsewhere\/two\.tar\.gz: the server answered 404/,
    );
    assert.equal(commits.length, 0);
    const activated: string[] = [];
    events.on('activated', (name: string) => activated.push(name));
    const first = once(events, 'activated');
    served.set('/elsewhere/two.tar.gz', bundle('b', 'r2'));
    await first;
    assert.deepEqual(activated, ['one', 'two']);
    assert.deepEqual(
      Object.values(bundles.status()).map((status) => status.active_revision),
      ['r1', 'r2'],
    );
    assert.deepEqual(JSON.parse(Buffer.from(commits[0]?.data ?? []).toString()), { a: 'r1', b: 'r2' });
  });

  test('that are bad are asked for again without their tag, and said once in the log', async (context) => {
    const { bundles, served, events, commits, asked, lines } = await setUp(context, { config: { main: fast } });
    served.set('/bundles/main', bundle('a', 'r1'));
    await bundles.start();
    const good = asked.length;
    served.set('/bundles/main', bundle('a', 'r2').subarray(0, 60));
    await once(events, 'failed');
    await once(events, 'failed');
    await once(events, 'failed');
    const [status] = Object.values(bundles.status());
    assert.deepEqual([status?.active_revision, status?.code], ['r1', 'bundle_error']);
    assert.match(status?.message ?? '', /unzipped/);
    assert.equal(new Set(asked.slice(good).map(([, tag]) => tag)).size, 1);
    assert.notEqual(asked.at(-1)?.[1], undefined);
    assert.equal(lines.filter((line) => line.includes('refused')).length, 1);
    const again = once(events, 'activated');
    served.set('/bundles/main', bundle('a', 'r3'));
    await again;
    assert.deepEqual(
      commits.map(({ revisions }) => revisions['main']),
      ['r1', 'r3'],
    );
  });

  test('that have not changed are not activated again', async (context) => {
    const { bundles, served, events, commits } = await setUp(context, { config: { main: fast } });
    served.set('/bundles/main', bundle('a', 'r1'));
    await bundles.start();
    for (let look = 0; look < 3; look++) await once(events, 'looked');
    assert.equal(commits.length, 1);
  });

  test('from a file are polled as well', async (context) => {
    const file = join(scratchFolder(context), 'bundle.tar.gz');
    writeFileSync(file, bundle('a', 'r1'));
    const config = { main: { ...fast, resource: `file://${file}` } };
    const { bundles, events, commits } = await setUp(context, { config, services: {} });
    await bundles.start();
    const failed = once(events, 'failed');
    rmSync(file);
    await failed;
    const again = once(events, 'activated');
    writeFileSync(file, bundle('a', 'r2'));
    await again;
    assert.deepEqual(
      commits.map(({ revisions }) => revisions['main']),
      ['r1', 'r2'],
    );
  });

  test('from the command line are needed for a start', async (context) => {
    const folder = scratchFolder(context);
    const path = join(folder, 'b.tar.gz');
    writeFileSync(path, bundle('a', 'r1'));
    const { bundles, commits } = await setUp(context, { files: [{ name: path, path }] });
    await bundles.start();
    assert.deepEqual(commits[0]?.revisions, { [path]: 'r1' });
    const missing = await setUp(context, { files: [{ name: 'x', path: join(folder, 'missing') }] });
    await assert.rejects(missing.bundles.start(), /ENOENT/);
  });

  test('may be changed by deltas, once they are there', async (context) => {
    const { bundles, served, events, commits } = await setUp(context, { config: { main: fast } });
    const delta = (value: number, path = '/a'): Buffer =>
      bundleOf([
        { name: '.manifest', content: `{"roots":["a"],"revision":"d${value}"}` },
        { name: 'patch.json', content: JSON.stringify({ data: [{ op: 'upsert', path, value }] }) },
      ]);
    served.set('/bundles/main', delta(1));
    await bundles.start();
    assert.match(bundles.status()['main']?.message ?? '', /a delta came before the bundle/);
    for (const body of [bundle('a', 'r1'), delta(1), delta(2)]) {
      const activated = once(events, 'activated');
      served.set('/bundles/main', body);
      await activated;
    }
    const failed = once(events, 'failed');
    served.set('/bundles/main', delta(3, '/b'));
    await failed;
    assert.deepEqual(
      commits.map(({ data, revisions }) => [
        (JSON.parse(Buffer.from(data).toString()) as { readonly a?: unknown }).a,
        revisions['main'],
      ]),
      [
        ['r1', 'r1'],
        [1, 'd1'],
        [2, 'd2'],
      ],
    );
  });

  const signedAt = (iat: number, revision: string): Buffer => {
    const files = { '.manifest': JSON.stringify({ roots: ['a'], revision }) };
    const listed = [{ name: '.manifest', algorithm: 'SHA-256', hash: digestOf('SHA-256', { revision, roots: ['a'] }) }];
    const token = jws({ alg: 'EdDSA', kid: 'k' }, { files: listed, iat }, 'EdDSA');
    return asArchive({ ...files, '.signatures.json': signaturesOf(token) });
  };
  const keys = { k: { key: publicPem(keyPairFor('EdDSA')), algorithm: 'EdDSA', scope: '' } };

  for (const allowRollback of [[], ['main']]) {
    const verb = allowRollback.length === 0 ? 'are not' : 'may be';
    test(`that are signed ${verb} followed by older ones`, async (context) => {
      const options = { config: { main: fast }, keys, allowRollback };
      const { bundles, served, events, commits } = await setUp(context, options);
      served.set('/bundles/main', signedAt(1000, 'r2'));
      await bundles.start();
      const seen = once(events, allowRollback.length === 0 ? 'failed' : 'activated');
      served.set('/bundles/main', signedAt(999, 'r1'));
      await seen;
      assert.deepEqual(
        commits.map(({ revisions }) => revisions['main']),
        allowRollback.length === 0 ? ['r2'] : ['r2', 'r1'],
      );
    });
  }

  test('that have to be signed are refused when they are not, and those from the command line need no signature', async (context) => {
    const path = join(scratchFolder(context), 'b.tar.gz');
    writeFileSync(path, bundle('b', 'r1'));
    const signing = { exclude_files: [], allow_unsigned_delta_bundles: false };
    const options = { config: { main: { ...fast, signing } }, keys, files: [{ name: 'given', path }] };
    const { bundles, served, commits } = await setUp(context, options);
    served.set('/bundles/main', bundle('a', 'r1'));
    await bundles.start();
    const { main, given } = bundles.status();
    assert.deepEqual(
      [main?.message, given?.message],
      ['the bundle is not signed (it has no .signatures.json)', undefined],
    );
    assert.equal(commits.length, 0);
  });

  test('of one name are refused', async (context) => {
    const files = [{ name: 'main', path: '/x' }];
    await assert.rejects(setUp(context, { files, config: { main: fast } }), /two bundles are called main/);
  });
});
