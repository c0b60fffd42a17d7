import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { ask, startEnvoy, startUpstream } from '../support/envoy.ts';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually, freePorts, root, startProcess } from '../support/process.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';

const policy = 'package envoy.authz\n\nallow if input.parsed_path[0] == "fine"\n';
const postern = join(root, 'bin/postern');

describe('starting', () => {
  test('a configuration with problems ends with exit code 2 and names every one', async (context) => {
    const folder = scratchFolder(context);
    const file = join(folder, 'config.yaml');
    writeFileSync(
      file,
      [
        'plugins: { envoy_ext_authz_grpc: { addr: 5, dry-run: maybe } }',
        'postern: { path: standard, paths: loose, identity: { issuers: [{ issuer: i }] } }',
        'bundles: { a: { polling: { min_delay_seconds: -1 } } }',
        'keys: { k: { key: nonsense } }',
      ].join('\n'),
    );
    const child = startProcess(context, postern, ['run', '--server', '--config-file', file]);
    assert.equal(await child.exited, 2);
    for (const path of [
      'plugins.envoy_ext_authz_grpc.addr',
      'plugins.envoy_ext_authz_grpc.dry-run',
      'postern.path: unknown option',
      'postern.paths',
      'bundles.a.polling.min_delay_seconds',
      'keys.k.key',
    ]) {
      assert.ok(child.stderr().includes(path), `${path} in:\n${child.stderr()}`);
    }
  });

  const badStarts: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['an unknown flag', ['run', '--nope'], /unknown option '--nope'/],
    ['an unknown command', ['serve'], /unknown command/],
    ['a configuration file that is not there', ['run', '-c', '/nowhere.yaml'], /--config-file/],
    ['a bundle that is not there', ['run', '-b', '/nowhere.tar.gz'], /nowhere/],
    ['a malformed --set', ['run', '--set', 'nope'], /KEY=VALUE/],
    [
      'an address that is none',
      ['run', '--set', 'plugins.envoy_ext_authz_grpc.addr=nowhere'],
      /plugins.envoy_ext_authz_grpc.addr/,
    ],
    ['an unknown log level', ['run', '--log-level', 'loud'], /loud/],
  ];
  for (const [name, args, message] of badStarts) {
    test(`${name} ends with exit code 2 and says why`, async (context) => {
      const ports = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
      const free = args[0] === 'run' ? ['--addr', ports[0] ?? '', '--diagnostic-addr', ports[1] ?? ''] : [];
      const child = startProcess(context, postern, [...args, ...free]);
      assert.equal(await child.exited, 2);
      assert.match(child.stderr(), message);
    });
  }

  test('a port that is taken ends with exit code 2 and names the address', async (context) => {
    const folder = scratchFolder(context);
    const first = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], folder });
    const second = startProcess(context, postern, ['run', '--addr', first.api, '--diagnostic-addr', '127.0.0.1:0']);
    assert.equal(await second.exited, 2);
    assert.ok(second.stderr().includes(first.api.split(':')[1] ?? '?'), second.stderr());
  });

  test('OPA keys that are not honoured are warned about by name', async (context) => {
    const folder = scratchFolder(context);
    const config = { distributed_tracing: { type: 'grpc' }, plugins: { other: {} }, decision_logs: { plugin: 'x' } };
    const server = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], config, folder });
    for (const key of ['distributed_tracing', 'plugins.other', 'decision_logs.plugin']) {
      assert.ok(server.stderr().includes(`${key} is not honoured`), key);
    }
  });

  test('it prints where it listens, what it serves, and a curl line that works', async (context) => {
    const folder = scratchFolder(context);
    const server = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], folder });
    await server.printed('Try it:');
    for (const text of [server.grpc, server.api, server.diagnostic, 'revision r1', 'envoy/authz/allow']) {
      assert.ok(server.stdout().includes(text), text);
    }
    const line = /^ {2}(curl .*)$/m.exec(server.stdout())?.[1] ?? '';
    const answer = JSON.parse(execFileSync('sh', ['-c', line], { encoding: 'utf8' })) as { decision_id?: string };
    assert.match(answer.decision_id ?? '', /^[0-9a-f-]{36}$/);
  });

  test('Rego sources are compiled when there is an opa', async (context) => {
    const folder = scratchFolder(context);
    mkdirSync(join(folder, 'rego'));
    writeFileSync(join(folder, 'rego/policy.rego'), policy);
    const path = `${join(root, '.tools/bin')}:${process.env['PATH']}`;
    writeFileSync(join(folder, 'rego/broken.rego'), 'nonsense');
    // The flags that OPA's own pod specs carry.
    const flags = ['--ignore=.*', '--ignore', 'broken*', '--skip-version-check', '--shutdown-wait-period', '0'];
    const server = await startPostern(context, { args: [...flags, join(folder, 'rego')], folder, env: { PATH: path } });
    const client = checkClient(server.grpc);
    const reply = await client.send(httpRequest({ path: '/fine' }));
    client.close();
    assert.ok('response' in reply);
    assert.deepEqual(readResponse(reply.response)['status'], {});
  });
});

describe('listening', () => {
  test('on a unix socket, also when an old one is left', async (context) => {
    const folder = scratchFolder(context);
    const address = `unix://${join(folder, 'authz.sock')}`;
    const config = { plugins: { envoy_ext_authz_grpc: { addr: address } } };
    const args = ['-b', buildPolicy(policy, folder)];
    const first = await startPostern(context, { args, config, folder });
    await first.stop('SIGKILL');
    await startPostern(context, { args, config, folder });
    const client = checkClient(address);
    const reply = await client.send(httpRequest({ path: '/fine' }));
    client.close();
    assert.ok('response' in reply, JSON.stringify(reply));
  });

  test('health follows the policy, over gRPC and HTTP', async (context) => {
    const folder = scratchFolder(context);
    const file = join(folder, 'late.tar.gz');
    const config = {
      bundles: { main: { resource: `file://${file}`, polling: { min_delay_seconds: 0.05, max_delay_seconds: 0.1 } } },
    };
    const server = await startPostern(context, { config, folder, untilReady: false });
    const client = new Client(server.grpc, credentials.createInsecure());
    const health = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const same = (value: Buffer): Buffer => value;
        client.makeUnaryRequest('/grpc.health.v1.Health/Check', same, same, Buffer.alloc(0), (error, value) =>
          error === null ? resolve(value?.toString('hex') ?? '') : reject(error),
        );
      });
    assert.equal(await eventually(health), '0802');
    assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 503);
    assert.equal((await fetch(`http://${server.diagnostic}/health/live`)).status, 200);
    assert.equal((await fetch(`http://${server.api}/health?bundles`)).status, 500);
    buildPolicy(policy, folder, 'late');
    await eventually(async () => ((await health()) === '0801' ? true : undefined));
    assert.equal((await fetch(`http://${server.api}/health?bundles`)).status, 200);
    client.close();
  });
});

describe('reflection', () => {
  /** The answer to "which services are there?" (ServerReflectionRequest.list_services). */
  const listServices = (address: string): Promise<string> =>
    new Promise((resolve) => {
      const client = new Client(address, credentials.createInsecure());
      const same = (value: Buffer): Buffer => value;
      const call = client.makeBidiStreamRequest(
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        same,
        same,
      );
      const finish = (text: string): void => {
        resolve(text);
        client.close();
      };
      call.on('data', (answer: Buffer) => finish(answer.toString('latin1')));
      call.on('error', (error: { readonly code?: number }) => finish(`code ${error.code}`));
      call.write(Buffer.from([0x3a, 0x00]));
      call.end();
    });

  test('is served when it is switched on, and not otherwise', async (context) => {
    const folder = scratchFolder(context);
    const args = ['-b', buildPolicy(policy, folder)];
    const config = { plugins: { envoy_ext_authz_grpc: { 'enable-reflection': true } } };
    const server = await startPostern(context, { args, config, folder });
    const listed = await listServices(server.grpc);
    assert.ok(
      listed.includes('envoy.service.auth.v3.Authorization') && listed.includes('grpc.health.v1.Health'),
      listed,
    );
    const plain = await startPostern(context, { args, folder });
    assert.equal(await listServices(plain.grpc), 'code 12');
  });
});

describe('stopping', () => {
  test('SIGTERM of one of two replicas under load fails no request', async (context) => {
    const folder = scratchFolder(context);
    const args = ['-b', buildPolicy(policy, folder)];
    const config = { postern: { drain: { delay_seconds: 2, timeout_seconds: 5 } } };
    const replicas = await Promise.all([1, 2].map(() => startPostern(context, { args, config, folder })));
    const [first] = replicas;
    assert.ok(first);
    const upstream = await startUpstream(context);
    const envoy = await startEnvoy(context, {
      folder,
      servers: replicas.map(({ grpc }) => grpc),
      upstream: upstream.address,
      healthChecks: true,
    });
    await eventually(async () => ((await ask(envoy.port, '/fine')).status === 200 ? true : undefined));
    let running = true;
    const statuses = new Map<number, number>();
    const load = Array.from({ length: 16 }, async () => {
      while (running) {
        const { status } = await ask(envoy.port, '/fine');
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await first.stop('SIGTERM'), 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    running = false;
    await Promise.all(load);
    assert.deepEqual([...statuses.keys()], [200]);
    assert.ok((statuses.get(200) ?? 0) > 100);
  });

  test('a server that is killed lets nothing through, and its successor serves', async (context) => {
    const folder = scratchFolder(context);
    const args = ['-b', buildPolicy(policy, folder)];
    const server = await startPostern(context, { args, folder });
    const upstream = await startUpstream(context);
    const envoy = await startEnvoy(context, { folder, servers: [server.grpc], upstream: upstream.address });
    assert.equal((await ask(envoy.port, '/fine')).status, 200);
    await server.stop('SIGKILL');
    const before = upstream.seen.length;
    assert.equal((await ask(envoy.port, '/fine')).status, 403);
    assert.equal(upstream.seen.length, before);
    const config = { plugins: { envoy_ext_authz_grpc: { addr: server.grpc } } };
    await startPostern(context, { args, config, folder });
    await eventually(async () => ((await ask(envoy.port, '/fine')).status === 200 ? true : undefined));
  });
});
