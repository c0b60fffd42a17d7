import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2, type SecureClientSessionOptions } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Client, credentials } from '@grpc/grpc-js';
import { install, issue, type Pair, selfSigned } from '../support/certificates.ts';
import { ask, type Envoy, startEnvoy, startUpstream } from '../support/envoy.ts';
import { httpRequest, readResponse } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { allowed, call, clientHello, clientMaterial, closed, httpOf } from '../support/tls.ts';

const policy = 'package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] == "fine"\n';
const CHECK = '/envoy.service.auth.v3.Authorization/Check';
const gateway = 'spiffe://td/ns/envoy/sa/gateway';
const fine = Buffer.from(httpRequest({ path: '/fine' }));

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const ca = selfSigned(folder, 'ca');
const otherCa = selfSigned(folder, 'other-ca');
const envoyPair = issue(ca, folder, 'envoy', { san: `URI:${gateway}` });
const serving: Pair = { cert: join(folder, 'server.pem'), key: join(folder, 'server.key') };
const [oldPair, newPair] = [issue(ca, folder, 'old'), issue(ca, folder, 'new', { days: 10 })];
const bundle = buildPolicy(policy, folder);

const tlsConfig = (extra: object = {}): Tree => ({
  postern: { tls: { ...serving, client_ca: ca.cert, allowed_client_sans: [gateway], reload_seconds: 0.05, ...extra } },
});
async function start(scope: Scope, extra: object = {}, args: readonly string[] = []): Promise<Server> {
  install(oldPair, serving);
  return startPostern(scope, { args: ['--bundle', bundle, ...args], folder, config: tlsConfig(extra) });
}

const portOf = (address: string): number => Number(address.split(':').at(-1));
const material = (pair: Pair | undefined): ReturnType<typeof clientMaterial> => clientMaterial(ca, pair);
function open(server: Server, pair: Pair | undefined, extra: SecureClientSessionOptions = {}): ClientHttp2Session {
  const session = connectHttp2(`https://localhost:${portOf(server.grpc)}`, { ...material(pair), ...extra });
  session.on('error', () => {});
  return session;
}

async function callOnce(server: Server, pair: Pair | undefined, extra?: SecureClientSessionOptions): Promise<unknown> {
  const session = open(server, pair, extra);
  try {
    return await call(session, fine);
  } finally {
    session.destroy();
  }
}
async function metric(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

describe('ext_authz with client certificates', () => {
  const own = createScope();
  after(own.close);
  let server: Server;
  let envoy: Envoy;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;

  before(async () => {
    server = await start(own);
    upstream = await startUpstream(own);
    envoy = await startEnvoy(own, {
      ...{ folder, servers: [server.grpc], upstream: upstream.address, healthChecks: true },
      tls: { ca: ca.cert, ...envoyPair, server: 'localhost' },
    });
  });

  const serves = async (): Promise<void> => {
    assert.ok(allowed(await callOnce(server, envoyPair)), 'the next valid request is answered');
    assert.equal(server.process.exitCode, null);
  };

  test('a real Envoy asks over mutual TLS, and both answers arrive', async () => {
    await eventually(async () => ((await ask(envoy.port, '/fine')).status === 200 ? true : undefined));
    const before = upstream.seen.length;
    assert.equal((await ask(envoy.port, '/other')).status, 403);
    assert.equal(upstream.seen.length, before);
    assert.ok((await envoy.stat('cluster.postern.ssl.handshake')) > 0);
  });

  test('a real Envoy with a certificate that is not on the list gets no answer, and lets nothing through', async (context) => {
    const stranger = issue(ca, folder, 'stranger-envoy', { san: 'URI:spiffe://td/ns/envoy/sa/other' });
    const outside = await startEnvoy(context, {
      ...{ folder, servers: [server.grpc], upstream: upstream.address },
      tls: { ca: ca.cert, ...stranger, server: 'localhost' },
    });
    const before = upstream.seen.length;
    assert.equal((await ask(outside.port, '/fine')).status, 403);
    assert.equal(upstream.seen.length, before);
  });

  test('a grpc-js client with the right certificate is answered', async () => {
    const secure = credentials.createSsl(
      ...([ca.cert, envoyPair.key, envoyPair.cert].map((file) => readFileSync(file)) as [Buffer, Buffer, Buffer]),
    );
    const client = new Client(`localhost:${portOf(server.grpc)}`, secure);
    const same = (value: Buffer): Buffer => value;
    const reply = await new Promise<Buffer>((resolve, reject) => {
      client.makeUnaryRequest(CHECK, same, same, fine, (error, value) =>
        error === null && value !== undefined ? resolve(value) : reject(error),
      );
    });
    client.close();
    assert.ok(allowed(readResponse(reply)));
  });

  const named = (name: string, san: string, authority = ca): Pair => issue(authority, folder, name, { san });
  const strangers: readonly (readonly [string, () => Pair | undefined, SecureClientSessionOptions?])[] = [
    ['no certificate', () => undefined],
    [
      'a self-signed certificate with the right name',
      () => selfSigned(folder, 'self', [`subjectAltName=URI:${gateway}`]),
    ],
    ["another authority's certificate with the right name", () => named('foreign', `URI:${gateway}`, otherCa)],
    ['another name', () => named('other-name', 'URI:spiffe://td/ns/envoy/sa/gateway2')],
    ['the name in other letters', () => named('letters', 'URI:SPIFFE://td/ns/envoy/sa/gateway')],
    ['a star', () => named('star', 'URI:*,DNS:*')],
    ['a host name that reads like two names', () => named('two', `DNS.1=a\\, URI:${gateway}\n`)],
    ['the name as a host name', () => named('as-dns', `DNS:${gateway}`)],
    ['no name but the common one', () => named('gateway', '')],
    [
      'a certificate for servers only',
      () => issue(ca, folder, 'usage', { san: `URI:${gateway}`, usage: 'serverAuth' }),
    ],
    ['TLS 1.2', () => envoyPair, { maxVersion: 'TLSv1.2' }],
  ];
  for (const [name, pairOf, extra] of strangers) {
    test(`a client with ${name} is refused before anything is answered`, async () => {
      const before = await metric(server, 'postern_decisions_total');
      assert.equal(await callOnce(server, pairOf(), extra), 'nothing');
      assert.equal(await metric(server, 'postern_decisions_total'), before);
      await serves();
    });
  }

  test('a client that speaks another protocol gets no answer', async () => {
    const options = { ...material(envoyPair), port: portOf(server.grpc), host: 'localhost' };
    const other = connectTls({ ...options, ALPNProtocols: ['http/1.1'] }).on('error', () => {});
    let answered = false;
    other.on('data', () => (answered = true));
    await closed(other);
    assert.equal(answered, false);
    await serves();
  });

  test('a client without encryption is refused', async () => {
    const session = connectHttp2(`http://${server.grpc}`).on('error', () => {});
    assert.equal(await call(session, fine), 'nothing');
    session.destroy();
    await serves();
  });

  test('refused connections are counted, and the log says why', async () => {
    for (const reason of ['handshake', 'client_unverified', 'client_not_allowed']) {
      const name = `postern_tls_refused_connections_total{listener="ext_authz",reason="${reason}"}`;
      assert.ok((await metric(server, name)) > 0, reason);
    }
    assert.match(server.stderr(), /a TLS connection was refused/);
  });

  test('a second connection shows its certificate again: there are no tickets', async () => {
    const port = portOf(server.grpc);
    const tickets: Buffer[] = [];
    const options = { ...material(envoyPair), port, host: 'localhost', ALPNProtocols: ['h2'] };
    const first = connectTls(options).on('session', (ticket: Buffer) => tickets.push(ticket));
    await once(first, 'secureConnect');
    await once(first, 'data');
    first.destroy();
    const session = tickets[0] ?? first.getSession();
    const second = connectTls({ ...options, ...(session === undefined ? {} : { session }) });
    await once(second, 'secureConnect');
    assert.equal(second.isSessionReused(), false);
    second.destroy();
  });

  test('streams are still looked at first: deadlines and sizes are refused in-band', async () => {
    const session = open(server, envoyPair);
    assert.equal(httpOf(await call(session, fine, { 'grpc-timeout': '1n' })), 503);
    assert.equal(httpOf(await call(session, Buffer.alloc(5 * 1_048_576))), 413);
    assert.equal(httpOf(await call(session, Buffer.from([0xff]))), 400);
    assert.ok(allowed(await call(session, fine, { 'grpc-timeout': '99999999H' })));
    session.destroy();
  });

  const hellos: readonly (readonly [string, Buffer])[] = [
    ['an empty server name', Buffer.alloc(0)],
    ['NUL in the server name', Buffer.from('a\0b')],
    ['bytes for a server name', Buffer.from([0xff, 0xfe, 0x80])],
    ['a server name of 64 KB', Buffer.alloc(65_000, 'a')],
    ['a server name that is an address', Buffer.from('127.0.0.1')],
  ];
  for (const [name, sni] of hellos) {
    test(`a ClientHello with ${name} does no harm`, async () => {
      const socket = connectSocket(portOf(server.grpc), '127.0.0.1').on('error', () => {});
      socket.write(clientHello(sni));
      socket.resume();
      await Promise.race([closed(socket), once(socket, 'data')]);
      socket.destroy();
      await serves();
    });
  }

  test('noise instead of a ClientHello does no harm', async () => {
    for (const noise of [
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      Buffer.alloc(70_000, 0x16),
      Buffer.from([0x16, 3]),
    ]) {
      const socket = connectSocket(portOf(server.grpc), '127.0.0.1').on('error', () => {});
      socket.end(noise).resume();
      await closed(socket);
    }
    await serves();
  });
});

describe('certificates that change while it serves', () => {
  test('under steady load no request fails, nor with a half-written file in between', async (context) => {
    const server = await start(context);
    const upstream = await startUpstream(context);
    const envoy = await startEnvoy(context, {
      ...{ folder, servers: [server.grpc], upstream: upstream.address },
      tls: { ca: ca.cert, ...envoyPair, server: 'localhost' },
    });
    let running = true;
    let [answered, failed] = [0, 0];
    const again = async (attempt: () => Promise<boolean>): Promise<void> => {
      while (running) {
        if (await attempt()) answered++;
        else failed++;
      }
    };
    const kept = open(server, envoyPair);
    const load = [
      again(async () => allowed(await call(kept, fine))),
      again(async () => allowed(await callOnce(server, envoyPair))),
      again(async () => allowed(await callOnce(server, envoyPair))),
      again(async () => (await ask(envoy.port, '/fine')).status === 200),
    ];
    const presented = async (): Promise<string> => {
      const socket = connectTls({
        ...material(envoyPair),
        port: portOf(server.grpc),
        host: 'localhost',
        ALPNProtocols: ['h2'],
      });
      await once(socket, 'secureConnect');
      const name = String(socket.getPeerCertificate().subject.CN);
      socket.destroy();
      return name;
    };
    for (let turn = 0; turn < 6; turn++) {
      const [pair, name] = turn % 2 === 0 ? ([newPair, 'new'] as const) : ([oldPair, 'old'] as const);
      const failures = await metric(server, 'postern_tls_reload_failures_total');
      truncateSync(serving.cert, 200);
      await eventually(async () =>
        (await metric(server, 'postern_tls_reload_failures_total')) > failures ? true : undefined,
      );
      assert.notEqual(await presented(), name);
      install(pair, serving);
      await eventually(async () => ((await presented()) === name ? true : undefined));
    }
    running = false;
    await Promise.all(load);
    kept.destroy();
    assert.equal(failed, 0);
    assert.ok(answered > 100, `${answered} requests`);
    assert.match(
      server.stderr(),
      /server\.pem: it ends, or is broken, in the middle of a PEM block.*the ones before keep serving/,
    );
    assert.equal(await envoy.stat('http.in.ext_authz.error'), 0);
  });

  test('a key that does not fit keeps the old pair, and the end of the new one is told', async (context) => {
    const server = await start(context);
    const expiry = async (): Promise<number> =>
      Math.round(
        ((await metric(server, 'postern_tls_certificate_expiry_timestamp_seconds')) * 1000 - Date.now()) / 86_400_000,
      );
    assert.equal(await expiry(), 60);
    assert.doesNotMatch(server.stderr(), /expires soon/);
    copyFileSync(newPair.cert, serving.cert);
    await server.printed(/server\.key: the key does not belong to the certificate/);
    assert.ok(allowed(await callOnce(server, envoyPair)));
    assert.equal(await expiry(), 60);
    copyFileSync(newPair.key, serving.key);
    await eventually(async () => ((await expiry()) === 10 ? true : undefined));
    await server.printed('the TLS certificate expires soon');
    assert.ok(allowed(await callOnce(server, envoyPair)));
  });

  test('are looked at when SIGHUP comes, however long it is until the next look', async (context) => {
    const server = await start(context, { reload_seconds: 3600 });
    const presented = async (): Promise<string> => {
      const options = { ...material(envoyPair), port: portOf(server.grpc), host: 'localhost', ALPNProtocols: ['h2'] };
      const socket = connectTls(options);
      await once(socket, 'secureConnect');
      const name = String(socket.getPeerCertificate().subject.CN);
      socket.destroy();
      return name;
    };
    truncateSync(serving.cert, 200);
    server.process.kill('SIGHUP');
    await server.printed(/in the middle of a PEM block.*the ones before keep serving/);
    assert.equal(await presented(), 'old');
    install(newPair, serving);
    assert.equal(await presented(), 'old');
    server.process.kill('SIGHUP');
    await eventually(async () => ((await presented()) === 'new' ? true : undefined));
    assert.ok(allowed(await callOnce(server, envoyPair)));
    for (let i = 0; i < 200; i++) server.process.kill('SIGHUP');
    assert.ok(allowed(await callOnce(server, envoyPair)), 'a storm of signals does no harm');
    assert.equal(await server.stop('SIGTERM'), 0);
  });

  test("a new authority takes the old one's clients out, and lets its own in", async (context) => {
    const authorities = join(folder, 'authorities.pem');
    copyFileSync(ca.cert, authorities);
    const server = await start(context, { client_ca: authorities });
    const foreign = issue(otherCa, folder, 'late', { san: `URI:${gateway}` });
    assert.equal(await callOnce(server, foreign), 'nothing');
    writeFileSync(authorities, '');
    await server.printed(/authorities\.pem: there is no certificate in it/);
    assert.ok(allowed(await callOnce(server, envoyPair)));
    copyFileSync(otherCa.cert, authorities);
    await eventually(async () => (allowed(await callOnce(server, foreign)) ? true : undefined));
    assert.equal(await callOnce(server, envoyPair), 'nothing');
  });
});

describe('other settings', () => {
  test('without TLS there are only bundles to look at again on SIGHUP, and it goes on serving', async (context) => {
    const server = await startPostern(context, { args: ['--bundle', bundle], folder });
    server.process.kill('SIGHUP');
    await server.printed(/"parts":\["bundles"\].*looked at again/);
    const session = connectHttp2(`http://${server.grpc}`);
    assert.ok(allowed(await call(session, fine)));
    session.destroy();
    assert.equal(await server.stop('SIGTERM'), 0);
  });

  test('without client_ca every client is served, encrypted', async (context) => {
    const config = { client_ca: undefined, allowed_client_sans: undefined };
    const server = await start(context, config);
    assert.ok(allowed(await callOnce(server, undefined)));
  });

  test('without names on the list every client of the authority is served', async (context) => {
    const server = await start(context, { allowed_client_sans: undefined });
    const anybody = issue(ca, folder, 'anybody', { san: '' });
    assert.ok(allowed(await callOnce(server, anybody)));
    assert.equal(await callOnce(server, undefined), 'nothing');
  });

  test('host names are compared exactly, and TLS 1.2 is spoken when configured', async (context) => {
    const server = await start(context, { allowed_client_sans: ['*.gw.test', 'a.test'], min_version: 'TLSv1.2' });
    const client = (name: string, san: string): Pair => issue(ca, folder, name, { san });
    const old = { maxVersion: 'TLSv1.2' } as const;
    assert.ok(allowed(await callOnce(server, client('a', 'DNS:b.test,DNS:a.test'), old)));
    assert.ok(allowed(await callOnce(server, client('literal', 'DNS:*.gw.test'))));
    assert.equal(await callOnce(server, client('below', 'DNS:x.gw.test'), old), 'nothing');
    assert.equal(await callOnce(server, client('uri', 'URI:a.test')), 'nothing');
    assert.equal(
      await callOnce(server, client('a', 'DNS:a.test'), { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }),
      'nothing',
    );
    await assert.rejects(
      once(
        connectTls({ ...material(envoyPair), ...old, port: portOf(server.grpc), ciphers: 'AES128-SHA' }),
        'secureConnect',
      ),
    );
  });

  test('a unix socket has it too', async (context) => {
    install(oldPair, serving);
    const path = join(folder, 'tls.sock');
    const config = { ...tlsConfig(), plugins: { envoy_ext_authz_grpc: { addr: `unix://${path}` } } };
    const server = await startPostern(context, { args: ['--bundle', bundle], folder, config });
    await eventually(async () => (existsSync(path) ? true : undefined));
    const over = (pair: Pair | undefined): SecureClientSessionOptions => ({
      createConnection: () =>
        connectTls({ ...material(pair), path, servername: 'localhost', ALPNProtocols: ['h2'] }).on('error', () => {}),
    });
    assert.ok(allowed(await callOnce(server, envoyPair, over(envoyPair))));
    assert.equal(await callOnce(server, undefined, over(undefined)), 'nothing');
  });
});
