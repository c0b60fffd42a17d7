import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually, freePorts, startProcess, tool } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { serve } from '../support/web.ts';

const saying = (what: string): string =>
  `package envoy.authz\n\nallow := {"allowed": true, "headers": {"x-said": "${what}"}}\n`;
const policyOf = (folder: string, name: string): Buffer =>
  readFileSync(buildPolicy(saying(name), folder, name, { revision: name }));

/** A discovery bundle made by `opa build`: data, or a policy for an entrypoint. */
function documentOf(folder: string, data: unknown, revision = 'd1'): Buffer {
  const file = join(folder, 'data.json');
  writeFileSync(file, JSON.stringify(data));
  execFileSync(tool('opa'), ['build', '-r', revision, '-o', join(folder, 'discovery.tar.gz'), file], { stdio: 'pipe' });
  return readFileSync(join(folder, 'discovery.tar.gz'));
}

/** Bundles by path; others are not there. `asked` are the paths that were asked for. */
async function startServer(scope: Scope) {
  const files = new Map<string, Buffer>();
  const asked = new Set<string>();
  const state = { isAway: false };
  const url = await serve(scope, (request, response) => {
    const body = files.get(request.url ?? '');
    asked.add(`${request.url} ${request.headers.authorization ?? ''}`);
    const etag = `"${createHash('sha256')
      .update(body ?? '')
      .digest('hex')}"`;
    if (state.isAway || body === undefined) response.writeHead(state.isAway ? 503 : 404).end();
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(body);
  });
  return { url, files, asked, state };
}

const fast = { min_delay_seconds: 1, max_delay_seconds: 1 };
const boot = (url: string, discovery: Tree, more: Tree = {}): Tree => ({
  services: { ci: { url, credentials: { bearer: { token: 'boot-token' } } } },
  discovery: { service: 'ci', polling: fast, ...discovery },
  ...more,
});

async function said(server: Pick<Server, 'grpc'>): Promise<string> {
  const client = checkClient(server.grpc);
  const reply = await client.send(httpRequest({ path: '/x' }));
  client.close();
  if (!('response' in reply)) return 'no answer';
  const response = readResponse(reply.response) as {
    readonly okResponse?: { readonly headers: readonly { readonly header: { readonly value: string } }[] };
    readonly deniedResponse?: { readonly status: { readonly code: number } };
  };
  return response.okResponse?.headers[0]?.header.value ?? String(response.deniedResponse?.status.code);
}
const says = (server: Server, what: string): Promise<true> =>
  eventually(async () => ((await said(server)) === what ? true : undefined));

type Report = { readonly discovery: Tree; readonly bundles: { readonly [name: string]: Tree }; readonly plugins: Tree };
const statusOf = async (server: Server): Promise<Report> =>
  ((await (await fetch(`http://${server.api}/v1/status`)).json()) as { readonly result: Report }).result;
const metricsOf = async (server: Server): Promise<string> =>
  (await fetch(`http://${server.diagnostic}/metrics`)).text();

/** OPA begins with its first configuration, before it has looked for another. */
const TOO_EARLY = '/kept Bearer boot-token';

describe('discovery', () => {
  const cases: readonly (readonly [string, Tree, unknown, readonly string[]])[] = [
    [
      'all of the data',
      { resource: '/conf.tar.gz' },
      { bundles: { main: { service: 'ci', resource: 'one.tar.gz' }, more: { service: 'ci' } } },
      ['/conf.tar.gz Bearer boot-token', '/one.tar.gz Bearer boot-token', '/bundles/more Bearer boot-token'],
    ],
    [
      'the data at a decision',
      { resource: 'conf.tar.gz', decision: '/some/conf/' },
      { some: { conf: { bundles: { main: { service: 'ci', resource: 'two' } } } }, bundles: { no: {} } },
      ['/conf.tar.gz Bearer boot-token', '/two Bearer boot-token'],
    ],
    [
      'the older spelling by name',
      { name: 'conf' },
      { conf: { bundles: { main: { service: 'ci', resource: 'three' } } } },
      ['/bundles/conf Bearer boot-token', '/three Bearer boot-token'],
    ],
    [
      'further services, and a first configuration that goes before',
      { resource: 'conf.tar.gz' },
      {
        labels: { region: 'there', extra: 'x' },
        services: { other: { url: 'URL', credentials: { bearer: { token: '$' + '{DISCOVERED_TOKEN}' } } } },
        bundles: { main: { service: 'other', resource: 'lost' }, more: { service: 'other', resource: 'four' } },
        discovery: { resource: 'elsewhere' },
      },
      ['/conf.tar.gz Bearer boot-token', '/kept Bearer env-token', '/four Bearer env-token'],
    ],
  ];
  for (const [name, discovery, document, expected] of cases) {
    test(`asks for the bundles that OPA asks for: ${name}`, async (context) => {
      const folder = scratchFolder(context);
      const more = name.startsWith('further')
        ? { labels: { region: 'here' }, bundles: { main: { resource: 'kept' } } }
        : {};
      const env = { DISCOVERED_TOKEN: 'env-token' };
      const asked: (readonly string[])[] = [];
      for (const who of ['opa', 'postern'] as const) {
        const server = await startServer(context);
        const text = JSON.stringify(document).replace('URL', server.url);
        for (const path of ['/conf.tar.gz', '/bundles/conf'])
          server.files.set(path, documentOf(folder, JSON.parse(text)));
        const config = boot(server.url, discovery, more);
        if (who === 'opa') {
          writeFileSync(join(folder, 'opa.json'), JSON.stringify(config));
          const address = `127.0.0.1:${(await freePorts(1))[0]}`;
          const args = ['run', '--server', '--addr', address, '-c', join(folder, 'opa.json'), '-l', 'error'];
          startProcess(context, tool('opa'), args, { env });
        } else await startPostern(context, { config, folder, env, untilReady: false });
        await eventually(async () => (expected.every((path) => server.asked.has(path)) ? true : undefined)).catch(() =>
          assert.fail(`${who}: ${[...server.asked].join(', ')}`),
        );
        asked.push([...server.asked].filter((path) => who !== 'opa' || path !== TOO_EARLY).sort());
      }
      assert.deepEqual(asked[1], asked[0]);
      assert.deepEqual(asked[1], [...expected].sort());
    });
  }

  test('asks the policy of the bundle, where it has one', async (context) => {
    const folder = scratchFolder(context);
    const { url, files } = await startServer(context);
    files.set('/one', policyOf(folder, 'one'));
    const rego = 'package conf\n\nmain := {"bundles": {"main": {"service": "ci", "resource": data.where}}}\n';
    writeFileSync(join(folder, 'data.json'), '{"where": "one"}');
    writeFileSync(join(folder, 'conf.rego'), rego);
    const output = join(folder, 'conf.tar.gz');
    const sources = ['conf.rego', 'data.json'].map((file) => join(folder, file));
    execFileSync(tool('opa'), ['build', '-t', 'wasm', '-e', 'conf/main', '-o', output, ...sources], { stdio: 'pipe' });
    files.set('/conf', readFileSync(output));
    const config = boot(url, { resource: 'conf', decision: 'conf/main' });
    const server = await startPostern(context, { config, folder });
    assert.equal(await said(server), 'one');
  });

  test('changes bundles while it serves: the old set answers until all of the new one is there', async (context) => {
    const folder = scratchFolder(context);
    for (const workers of [1, 2]) {
      const { url, files } = await startServer(context);
      const point = (bundles: Tree, revision: string): void =>
        void files.set('/conf', documentOf(folder, { bundles }, revision));
      files.set('/one', policyOf(folder, 'one'));
      point({ main: { service: 'ci', resource: 'one', polling: fast } }, 'd1');
      const postern = { workers, drain: { delay_seconds: 0 } };
      const config = boot(url, { resource: 'conf' }, { postern });
      const server = await startPostern(context, { config, folder });
      assert.equal(await said(server), 'one');
      assert.equal((await statusOf(server)).discovery['active_revision'], 'd1');

      point({ renamed: { service: 'ci', resource: 'two', polling: fast } }, 'd2');
      await eventually(async () =>
        (await statusOf(server)).bundles['renamed']?.['http_code'] === 404 ? true : undefined,
      );
      assert.equal(await said(server), 'one');
      // The set before is still looked after.
      files.set('/one', policyOf(folder, 'another'));
      await says(server, 'another');
      files.set('/two', policyOf(folder, 'two'));
      await says(server, 'two');
      const { bundles, discovery } = await statusOf(server);
      assert.deepEqual([Object.keys(bundles), discovery['active_revision']], [['renamed'], 'd2']);
      assert.match(await (await fetch(`http://${server.api}/v1/config`)).text(), /"renamed":/);
      assert.ok(!(await metricsOf(server)).includes('postern_bundle_age_seconds{bundle="main"}'));
      await server.stop();
    }
  });

  test('with a broken document keeps what runs, and says why', async (context) => {
    const folder = scratchFolder(context);
    const { url, files } = await startServer(context);
    const good = { bundles: { main: { service: 'ci', resource: 'one', polling: fast } } };
    files.set('/one', policyOf(folder, 'one'));
    files.set('/conf', documentOf(folder, good));
    const key = '-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----';
    const server = await startPostern(context, { config: boot(url, { resource: 'conf' }), folder });
    const broken: readonly (readonly [Buffer, RegExp])[] = [
      [Buffer.from('junk'), /archive/],
      [
        documentOf(folder, { bundles: { main: { service: 'nobody' } } }),
        /bundles\.main\.service: no service is called/,
      ],
      [documentOf(folder, { bundles: { main: { service: 'ci', polling: 5 } } }), /bundles\.main\.polling/],
      [documentOf(folder, { ...good, postern: { path: 'x' } }), /postern\.path: unknown option/],
      [
        documentOf(folder, { ...good, services: { ci: { headers: { a: 'b' } } } }),
        /services\.ci is where it comes from/,
      ],
      [documentOf(folder, { ...good, keys: { k: { key } } }), /keys\.k/],
      [documentOf(folder, {}), /no bundles/],
      [policyOf(folder, 'wasm'), /decision does not say/],
    ];
    for (const [document, message] of broken) {
      files.set('/conf', document);
      await eventually(async () =>
        message.test(String((await statusOf(server)).discovery['message'])) ? true : undefined,
      ).catch(async () => assert.fail(`${message}: ${JSON.stringify((await statusOf(server)).discovery)}`));
      assert.equal(await said(server), 'one');
    }
    assert.match(await metricsOf(server), /postern_discovery_failing 1/);
    files.set('/conf', documentOf(folder, good, 'd9'));
    await eventually(async () => (/postern_discovery_failing 0/.test(await metricsOf(server)) ? true : undefined));
    assert.equal((await statusOf(server)).discovery['active_revision'], 'd9');
  });

  test('what needs a start waits for it as a whole, and is there after it, also without the server', async (context) => {
    const folder = scratchFolder(context);
    const { url, files, state } = await startServer(context);
    const bundle = (resource: string): Tree => ({ main: { service: 'ci', resource, polling: fast, persist: true } });
    for (const name of ['one', 'two']) files.set(`/${name}`, policyOf(folder, name));
    files.set('/conf', documentOf(folder, { bundles: bundle('one') }));
    const persistence_directory = join(folder, 'kept');
    const config = boot(url, { resource: 'conf', persist: true }, { persistence_directory });
    const first = await startPostern(context, { config, folder });
    assert.equal(await said(first), 'one');
    const identity = { issuers: [{ issuer: 'https://idp.example', jwks: { keys: [{ kty: 'OKP' }] } }] };
    files.set('/conf', documentOf(folder, { bundles: bundle('two'), postern: { identity } }));
    await eventually(async () => ('waits_for_start' in (await statusOf(first)).discovery ? true : undefined));
    assert.deepEqual((await statusOf(first)).discovery['waits_for_start'], ['postern.identity']);
    assert.match(await metricsOf(first), /postern_discovery_waiting 1/);
    assert.equal(await said(first), 'one');
    await first.stop();

    state.isAway = true;
    const second = await startPostern(context, { config, folder, untilReady: false });
    // The API is there before what was kept is read.
    await eventually(async () => {
      const shown = await (await fetch(`http://${second.api}/v1/config`)).text();
      return shown.includes('idp.example') ? true : undefined;
    });
    await second.stop();
    rmSync(persistence_directory, { recursive: true });
  });

  test('that finds nothing at the start refuses everything, and serves as soon as it has found something', async (context) => {
    const folder = scratchFolder(context);
    const { url, files, state } = await startServer(context);
    state.isAway = true;
    files.set('/one', policyOf(folder, 'one'));
    const plugins = { envoy_ext_authz_grpc: { 'enable-performance-metrics': true } };
    const conf = documentOf(folder, { plugins, bundles: { main: { service: 'ci', resource: 'one' } } });
    const config = boot(url, { resource: 'conf' });
    const server = await startPostern(context, { config, folder, untilReady: false });
    assert.equal(await said(server), '503');
    assert.deepEqual((await statusOf(server)).plugins['discovery'], { state: 'NOT_READY' });
    assert.equal((await fetch(`http://${server.api}/health?bundles`)).status, 500);
    const tls = { cert: '/etc/hostname', key: '/etc/hostname' };
    files.set('/conf', documentOf(folder, { postern: { tls }, bundles: {} }));
    state.isAway = false;
    await server.printed(/cannot be started/);
    await says(server, '503');
    files.set('/conf', conf);
    await says(server, 'one');
    await eventually(async () => ((await fetch(`http://${server.api}/health?bundles&plugins`)).ok ? true : undefined));
    assert.match(await metricsOf(server), /grpc_request_duration_seconds_count/);
    assert.equal(await server.stop(), 0);
  });

  test('is verified like any bundle when it is to be signed', async (context) => {
    const folder = scratchFolder(context);
    const { url, files } = await startServer(context);
    files.set('/one', policyOf(folder, 'one'));
    files.set('/conf', documentOf(folder, { bundles: { main: { service: 'ci', resource: 'one' } } }));
    execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', join(folder, 'key.pem')]);
    const key = execFileSync('openssl', ['ec', '-in', join(folder, 'key.pem'), '-pubout'], {
      stdio: 'pipe',
    }).toString();
    const keys = { k: { key, algorithm: 'ES256' } };
    const config = boot(url, { resource: 'conf', signing: { keyid: 'k' } }, { keys });
    const server = await startPostern(context, { config, folder, untilReady: false });
    await eventually(async () =>
      /sign/.test(String((await statusOf(server)).discovery['message'])) ? true : undefined,
    );
    assert.equal(await said(server), '503');
    const signed = ['--signing-key', join(folder, 'key.pem'), '--signing-alg', 'ES256', '--verification-key', 'k'];
    const output = join(folder, 'signed.tar.gz');
    rmSync(join(folder, 'conf'), { recursive: true, force: true });
    execFileSync('mkdir', [join(folder, 'conf')]);
    writeFileSync(
      join(folder, 'conf/data.json'),
      JSON.stringify({ bundles: { main: { service: 'ci', resource: 'one' } } }),
    );
    execFileSync(tool('opa'), ['build', '-b', '-o', output, ...signed.slice(0, 4), join(folder, 'conf')], {
      stdio: 'pipe',
    });
    files.set('/conf', readFileSync(output));
    await says(server, 'one');
  });
});
