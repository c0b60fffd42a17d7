import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { issue, type Pair, selfSigned } from '../support/certificates.ts';
import { root } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';
import { clientMaterial } from '../support/tls.ts';

const gateway = 'spiffe://td/ns/envoy/sa/gateway';
const workload = 'spiffe://td/ns/authz/sa/postern';

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
const check = (...args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' };
    execFile(join(root, 'bin/postern'), ['check', ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });

describe('postern check --server over TLS', () => {
  const suite = createScope();
  after(suite.close);
  const folder = scratchFolder(suite);
  const ca = selfSigned(folder, 'ca');
  const otherCa = selfSigned(folder, 'other-ca');
  const client = issue(ca, folder, 'client', { san: `URI:${gateway}` });
  const url = ['--url', 'http://api/fine'] as const;
  const showing = (pair: Pair): readonly string[] => ['--tls-cert', pair.cert, '--tls-key', pair.key];
  const trusting = ['--tls-ca', ca.cert] as const;
  let named: Server;
  let spiffe: Server;

  before(async () => {
    const policy = 'package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] == "fine"\n';
    const args = ['-b', buildPolicy(policy, folder)];
    const start = (pair: Pair): Promise<Server> => {
      const tls = { ...pair, client_ca: ca.cert, allowed_client_sans: [gateway] };
      return startPostern(suite, { args, folder, config: { postern: { tls } } });
    };
    named = await start(issue(ca, folder, 'named'));
    spiffe = await start(issue(ca, folder, 'spiffe', { san: `URI:${workload}` }));
  });

  const expectVerdicts = async (...how: readonly string[]): Promise<void> => {
    const allowed = await check(...url, '--expect', 'allow', ...how);
    assert.deepEqual([allowed.code, allowed.stderr], [0, '']);
    assert.match(allowed.stdout, /^allowed \(HTTP 200\)\n/);
    const denied = await check('--url', 'http://api/other', '--expect', 'allow', ...how);
    assert.deepEqual([denied.code, denied.stderr], [1, '']);
    assert.match(denied.stdout, /^denied \(HTTP 403\)\n/);
  };
  const expectFailure = async (message: RegExp, ...how: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await check(...url, ...how);
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  };

  test('a server that wants client certificates answers by its address, and by its name', async () => {
    await expectVerdicts('--server', named.grpc, ...trusting, ...showing(client));
    const byName = named.grpc.replace('127.0.0.1', 'localhost');
    await expectVerdicts('--server', `grpc://${byName}`, '--tls', ...trusting, ...showing(client));
    await expectVerdicts('--server', named.grpc, ...trusting, ...showing(client), '--tls-server-name', 'localhost');
  });

  test('a server without a host name is known by its SPIFFE ID, exactly', async () => {
    const how = ['--server', spiffe.grpc, ...trusting, ...showing(client)];
    await expectVerdicts(...how, '--tls-server-name', workload);
    await expectFailure(
      /certificate is not of spiffe:.*postern2; its URIs: spiffe:\S*postern$/m,
      ...how,
      '--tls-server-name',
      `${workload}2`,
    );
    await expectFailure(/no TLS connection: .*127\.0\.0\.1 is not in/, ...how);
    await expectFailure(
      /is not of spiffe:.*its URIs: none/,
      '--server',
      named.grpc,
      ...how.slice(2),
      '--tls-server-name',
      workload,
    );
  });

  test('a server of nobody we trust, or of another name, is not asked, whatever the environment says', async () => {
    const how = ['--server', named.grpc, ...showing(client)];
    await expectFailure(/no TLS connection: self-signed certificate in certificate chain/, ...how, '--tls');
    await expectFailure(/no TLS connection: /, ...how, '--tls-ca', otherCa.cert);
    await expectFailure(
      /foo\.test.* is not in the cert's altnames/,
      ...how,
      ...trusting,
      '--tls-server-name',
      'foo.test',
    );
    await expectFailure(/::1.* is not in the cert's list/, ...how, ...trusting, '--tls-server-name', '::1');
  });

  test('a server that does not take our certificate is told apart', async () => {
    const how = ['--server', named.grpc, ...trusting];
    await expectFailure(/does the server accept the client's certificate\?/, ...how);
    const stranger = issue(ca, folder, 'stranger', { san: 'URI:spiffe://td/other' });
    await expectFailure(/does the server accept the client's certificate\?/, ...how, ...showing(stranger));
    const foreign = issue(otherCa, folder, 'foreign', { san: `URI:${gateway}` });
    await expectFailure(/does the server accept the client's certificate\?/, ...how, ...showing(foreign));
  });

  test('one that speaks no TLS, an old one, or no HTTP/2, gets no question', async (context) => {
    const serve = async (server: ReturnType<typeof createTcpServer>): Promise<string> => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      context.after(() => server.close());
      return `127.0.0.1:${(server.address() as AddressInfo).port}`;
    };
    const pair = clientMaterial(ca, issue(ca, folder, 'plain'));
    await expectFailure(/no TLS connection/, '--server', named.api, ...trusting);
    const closing = await serve(createTcpServer((socket) => socket.on('error', () => {}).end()));
    await expectFailure(/no TLS connection: .*(?:ended|disconnected)/, '--server', closing, ...trusting);
    const old = await serve(
      createTlsServer({ ...pair, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    );
    await expectFailure(/no TLS connection: .*version/, '--server', old, ...trusting);
    const other = await serve(createTlsServer({ ...pair, ALPNProtocols: ['http/1.1'] }));
    await expectFailure(/no TLS connection/, '--server', other, ...trusting);
    const silent = await serve(createTlsServer(pair));
    await expectFailure(/no TLS connection: the server does not speak HTTP\/2/, '--server', silent, ...trusting);
  });

  test('what cannot be is said before anybody is asked', async () => {
    const server = ['--server', named.grpc] as const;
    await expectFailure(/\/nowhere\.pem/, ...server, '--tls-ca', '/nowhere.pem');
    await expectFailure(/--tls-server-name: /, ...server, '--tls-server-name', 'spiffe://');
    await expectFailure(/with --server/, '-b', join(folder, 'bundle.tar.gz'), '--tls');
  });

  test('without encryption such a server cannot be asked', async () => {
    await expectFailure(/UNAVAILABLE/, '--server', named.grpc);
  });
});
