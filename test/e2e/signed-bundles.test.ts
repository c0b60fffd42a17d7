import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unpack } from '../../src/bundles/unpack.ts';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually, tool } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { type Server, scratchFolder, startPostern } from '../support/servers.ts';
import { asArchive, type Files, keyPairFor, privatePem, publicPem, writeFiles } from '../support/signing.ts';

const NOW_S = Math.floor(Date.now() / 1000);
const suite = createScope();
const folder = scratchFolder(suite);
writeFileSync(join(folder, 'key.pem'), privatePem(keyPairFor('ES256')));

/** A bundle that says its revision, built and signed by opa. */
function signedBundle(revision: string, claims: object): Buffer {
  const rego = `package envoy.authz\n\nallow := {"allowed": true, "headers": {"x-said": "${revision}"}}\n`;
  writeFiles(join(folder, 'src'), { 'p.rego': rego });
  writeFileSync(join(folder, 'claims.json'), JSON.stringify({ keyid: 'ci', ...claims }));
  const signing = ['--signing-alg', 'ES256', '--signing-key', 'key.pem', '--claims-file', 'claims.json'];
  const options = ['-t', 'wasm', '-e', 'envoy/authz/allow', '-r', revision, '-o', 'bundle.tar.gz', ...signing];
  execFileSync(tool('opa'), ['build', ...options, '-b', 'src'], { cwd: folder, stdio: 'pipe' });
  return readFileSync(join(folder, 'bundle.tar.gz'));
}
const unpacked = async (bundle: Buffer): Promise<Files> => Object.fromEntries(await unpack(bundle, 10_000_000));

async function said(server: Server): Promise<string | undefined> {
  const client = checkClient(server.grpc);
  const reply = await client.send(httpRequest({ path: '/x' }));
  client.close();
  assert.ok('response' in reply, JSON.stringify(reply));
  const response = readResponse(reply.response) as { okResponse?: { headers: { header: { value: string } }[] } };
  return response.okResponse?.headers[0]?.header.value;
}

type Status = { readonly message?: string; readonly active_revision?: string };
async function statusOf(server: Server): Promise<Status> {
  const answer = (await (await fetch(`http://${server.api}/v1/status`)).json()) as {
    readonly result: { readonly bundles: { readonly main: Status } };
  };
  return answer.result.bundles.main;
}

describe('a server whose bundle has to be signed', () => {
  let server: Server;
  let body = signedBundle('one', { iat: NOW_S - 100, scope: 'write' });
  const signing = { scope: 'write' };

  before(async () => {
    const http = createServer((_request, response) => response.end(body)).listen(0, '127.0.0.1');
    await once(http, 'listening');
    suite.after(() => {
      http.closeAllConnections();
      http.close();
    });
    const config = {
      keys: { ci: { key: publicPem(keyPairFor('ES256')), algorithm: 'ES256' } },
      services: { s: { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` } },
      bundles: { main: { signing, polling: { min_delay_seconds: 0.02, max_delay_seconds: 0.05 } } },
    };
    server = await startPostern(suite, { config, folder });
  });
  after(suite.close);

  const isRefused = async (bundle: Buffer, message: RegExp): Promise<void> => {
    body = bundle;
    await eventually(async () => (message.test((await statusOf(server)).message ?? '') ? true : undefined)).catch(
      async () => assert.fail(JSON.stringify(await statusOf(server))),
    );
    assert.equal(await said(server), 'one');
  };

  test('serves it', async () => assert.equal(await said(server), 'one'));

  test('refuses it stripped, changed and under another scope, and the old one serves', async () => {
    const files = await unpacked(signedBundle('two', { iat: NOW_S, scope: 'write' }));
    const stripped = Object.fromEntries(Object.entries(files).filter(([name]) => name !== '.signatures.json'));
    await isRefused(asArchive(stripped), /is not signed/);
    await isRefused(asArchive({ ...files, 'data.json': '{"x":1}' }), /data\.json is not what was signed/);
    await isRefused(asArchive({ ...files, 'x/data.json': '1' }), /x\/data\.json is not listed/);
    await isRefused(signedBundle('two', { iat: NOW_S, scope: 'read' }), /scope is "read", and "write" is expected/);
  });

  test('refuses an older one, and takes a newer one', async () => {
    await isRefused(signedBundle('zero', { iat: NOW_S - 200, scope: 'write' }), /it would be a rollback/);
    body = signedBundle('two', { iat: NOW_S - 50, scope: 'write' });
    await eventually(async () => ((await said(server)) === 'two' ? true : undefined));
    assert.equal((await statusOf(server)).active_revision, 'two');
  });
});
