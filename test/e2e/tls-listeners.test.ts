import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { install, issue, type Pair, selfSigned } from '../support/certificates.ts';
import { eventually, freePorts, root, startProcess } from '../support/process.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { clientMaterial } from '../support/tls.ts';

const gateway = 'spiffe://td/ns/envoy/sa/gateway';
const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const ca = selfSigned(folder, 'ca');
const envoyPair = issue(ca, folder, 'envoy', { san: `URI:${gateway}` });
const serving: Pair = { cert: join(folder, 'server.pem'), key: join(folder, 'server.key') };
const [oldPair, newPair] = [issue(ca, folder, 'old'), issue(ca, folder, 'new', { days: 10 })];
const bundle = buildPolicy('package envoy.authz\n\nallow := true\n', folder);

const tlsConfig = (extra: object = {}): Tree => ({
  postern: { tls: { ...serving, client_ca: ca.cert, allowed_client_sans: [gateway], reload_seconds: 0.05, ...extra } },
});
async function start(scope: Scope, extra: object = {}, args: readonly string[] = []): Promise<Server> {
  install(oldPair, serving);
  return startPostern(scope, { args: ['--bundle', bundle, ...args], folder, config: tlsConfig(extra) });
}

const material = (pair: Pair | undefined): ReturnType<typeof clientMaterial> => clientMaterial(ca, pair);

describe('the API', () => {
  const get = (port: number, pair: Pair | undefined, host = 'localhost'): Promise<number | string> =>
    new Promise((resolve) => {
      const tls = { ...material(pair), servername: 'localhost' };
      request({ ...tls, host, port, path: '/health', agent: false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      })
        .on('error', () => resolve('nothing'))
        .end();
    });

  test('is not encrypted unless told', async (context) => {
    const server = await start(context);
    assert.equal((await fetch(`http://${server.api}/health`)).status, 200);
  });

  test('asks for the same certificates, also of each address that its name has, and follows the files', async (context) => {
    const [port = 0] = await freePorts(1);
    // The last --addr holds.
    const server = await start(context, { api: true }, ['--addr', `localhost:${port}`]);
    const stranger = issue(ca, folder, 'api-stranger', { san: 'DNS:other.test' });
    for (const host of ['127.0.0.1', '::1']) {
      const reached = await get(port, envoyPair, host);
      if (host === '127.0.0.1') assert.equal(reached, 200);
      else assert.ok(reached === 200 || reached === 'nothing');
      for (const pair of [undefined, stranger, selfSigned(folder, 'api-self')]) {
        assert.equal(await get(port, pair, host), 'nothing', host);
      }
    }
    await assert.rejects(fetch(`http://127.0.0.1:${port}/health`));
    install(newPair, serving);
    await eventually(async () => {
      const socket: TLSSocket = connectTls({ ...material(envoyPair), port, host: 'localhost' });
      await once(socket, 'secureConnect');
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN === 'new' ? true : undefined;
    });
    assert.equal(await get(port, envoyPair), 200);
    assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 200);
  });
});

describe('a bad start', () => {
  const bad: readonly (readonly [string, object, RegExp])[] = [
    ['a missing file', { cert: '/nowhere.pem' }, /postern\.tls\.cert: \/nowhere\.pem cannot be read/],
    ['a missing authority', { client_ca: '/nowhere.pem' }, /postern\.tls\.client_ca: \/nowhere\.pem cannot be read/],
    [
      "another certificate's key",
      { key: newPair.key },
      /new\.key: the key does not belong to the certificate in .*server\.pem/,
    ],
    ['an authority that is none', { client_ca: oldPair.key }, /old\.key: there is no certificate in it/],
    ['names but no authority', { client_ca: undefined }, /postern\.tls\.allowed_client_sans: needs client_ca/],
    ['an unknown version', { min_version: 'TLSv1.1' }, /postern\.tls\.min_version: must be "TLSv1\.3" or "TLSv1\.2"/],
    ['an unknown option', { verify: false }, /postern\.tls\.verify: unknown option/],
    ['no key', { key: undefined }, /postern\.tls: .*key/],
  ];
  for (const [name, extra, message] of bad) {
    test(`with ${name} ends with exit code 2 and says why`, async (context) => {
      install(oldPair, serving);
      const [grpc = 0, api = 0, diagnostic = 0] = await freePorts(3);
      const file = join(folder, `bad-${grpc}.json`);
      const plugins = { envoy_ext_authz_grpc: { addr: `127.0.0.1:${grpc}` } };
      writeFileSync(file, JSON.stringify({ ...tlsConfig(extra), plugins }));
      const addresses = ['--addr', `127.0.0.1:${api}`, '--diagnostic-addr', `127.0.0.1:${diagnostic}`];
      const child = startProcess(context, join(root, 'bin/postern'), ['run', '--config-file', file, ...addresses]);
      assert.equal(await child.exited, 2);
      assert.match(child.stderr(), message);
    });
  }
});
