import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { type CertificateFiles, readCertificates, watchCertificates } from '../../src/lib/certificates.ts';
import { messageOf } from '../../src/lib/message.ts';
import { alternativeNames, createServerTls, type TlsRules, tryCertificates } from '../../src/lib/tls-server.ts';
import type { Certificates, WatchedCertificates } from '../../src/lib/watched-certificates.ts';
import { install, issue, type Pair, selfSigned } from '../support/certificates.ts';
import { eventually } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const ca = selfSigned(folder, 'ca');
const [first, second] = [issue(ca, folder, 'first'), issue(ca, folder, 'second')];
const filesOf = (pair: Pair, clientCa: string | undefined = ca.cert): CertificateFiles => ({ ...pair, clientCa });
const place = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
};
const textOf = (file: string): string => readFileSync(file, 'utf8');
const serial = ({ cert }: Pick<Certificates, 'cert'>): string => cert.replaceAll(/\s/g, '');
const rules: TlsRules = { minVersion: 'TLSv1.3', allowedClientSans: [] };

describe('certificate files', () => {
  test('that are sound are read: chain, key, authorities and when it ends', async () => {
    const chain = place('chain.pem', textOf(first.cert) + textOf(ca.cert));
    const read = await readCertificates({ ...first, cert: chain, clientCa: ca.cert }, Date.now());
    assert.equal(read.cert.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.equal(read.ca?.length, 1);
    assert.ok(Math.abs(read.expiresMs - Date.now() - 60 * 86_400_000) < 600_000);
    tryCertificates(read, rules);
  });

  test('may have certificate and key in one file', async () => {
    const both = place('both.pem', textOf(first.cert) + textOf(first.key));
    const read = await readCertificates({ cert: both, key: both, clientCa: undefined }, Date.now());
    assert.ok(!read.cert.includes('PRIVATE'));
    assert.equal(read.ca, undefined);
  });

  const encrypted = join(folder, 'encrypted.key');
  execFileSync('openssl', ['pkcs8', '-topk8', '-in', first.key, '-out', encrypted, '-passout', 'pass:x'], {
    stdio: 'pipe',
  });
  const half = (text: string): string => text.slice(0, text.length / 2);
  const empty = place('empty.pem', '');
  const broken = place('broken.pem', textOf(first.cert).replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA'));
  const lost = join(folder, 'nowhere.pem');
  const twoHalves = place('halves.pem', textOf(ca.cert) + half(textOf(ca.cert)));
  const bad: readonly (readonly [string, CertificateFiles, string, RegExp])[] = [
    ['a missing file', { ...filesOf(first), cert: lost }, lost, /ENOENT/],
    ['a folder', { ...filesOf(first), key: folder }, folder, /regular file/],
    ['an empty file', { ...filesOf(first), cert: empty }, empty, /no certificate/],
    ['half a certificate', { ...filesOf(first), cert: place('h.pem', half(textOf(first.cert))) }, 'h.pem', /middle/],
    ['half a key', { ...filesOf(first), key: place('h.key', half(textOf(first.key))) }, 'h.key', /middle/],
    ['a certificate that is none', { ...filesOf(first), cert: broken }, broken, /certificate 1 cannot be read/],
    ["another certificate's key", { ...filesOf(first), key: second.key }, second.key, /does not belong/],
    ['a key with a passphrase', { ...filesOf(first), key: encrypted }, encrypted, /passphrase/],
    ['a certificate for a key', { ...filesOf(first), key: first.cert }, first.cert, /no private key/],
    ['half an authority after a whole one', filesOf(first, twoHalves), twoHalves, /middle/],
    ['no authority', filesOf(first, empty), empty, /no certificate/],
  ];
  for (const [name, files, file, reason] of bad) {
    test(`${name} is refused, with file and reason`, async () => {
      await assert.rejects(readCertificates(files, Date.now()), (error) => {
        assert.ok(messageOf(error).includes(file), messageOf(error));
        assert.match(messageOf(error), reason);
        assert.ok(!messageOf(error).includes('BEGIN'), 'the content stays out of the message');
        return true;
      });
    });
  }

  test('one that has expired, or is not valid yet, is refused', async () => {
    await assert.rejects(readCertificates(filesOf(first), Date.now() + 61 * 86_400_000), /has expired/);
    await assert.rejects(readCertificates(filesOf(first), Date.now() - 86_400_000), /not valid before/);
  });

  test('a key that OpenSSL finds too small is refused', async () => {
    const weak = { cert: join(folder, 'weak.pem'), key: join(folder, 'weak.key') };
    const made = ['req', '-x509', '-newkey', 'rsa:512', '-nodes', '-subj', '/CN=weak', '-days', '90'];
    execFileSync('openssl', [...made, '-keyout', weak.key, '-out', weak.cert], { stdio: 'pipe' });
    const read = await readCertificates(filesOf(weak), Date.now());
    assert.throws(() => tryCertificates(read, rules), /small|weak/);
  });
});

describe('watched certificates', () => {
  type Watched = WatchedCertificates & { readonly taken: Certificates[]; readonly failures: string[]; files: Pair };

  async function watch(name: string, everyMs: number): Promise<Watched> {
    const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
    install(first, files);
    const taken: Certificates[] = [];
    const failures: string[] = [];
    const watched = watchCertificates({
      files: filesOf(files),
      everyMs,
      nowMs: Date.now,
      verify: (certificates) => tryCertificates(certificates, rules),
      onChange: (certificates) => taken.push(certificates),
      onFailure: (error) => failures.push(messageOf(error)),
      onLook: () => {},
    });
    await watched.start();
    suite.after(watched.stop);
    return { ...watched, taken, failures, files };
  }

  test('are taken again when their files change, by themselves and on demand', async () => {
    const polled = await watch('polled', 10);
    install(second, polled.files);
    await eventually(async () => (polled.taken.length === 2 ? true : undefined));
    const asked = await watch('asked', 3_600_000);
    install(second, asked.files);
    await asked.reload();
    for (const { taken, current } of [polled, asked]) {
      assert.equal(taken.length, 2);
      assert.notEqual(serial(current()), serial(taken[0] ?? current()));
    }
  });

  test('are not taken again when the files are only touched', async () => {
    const watched = await watch('touched', 3_600_000);
    install(first, watched.files);
    await watched.reload();
    assert.equal(watched.taken.length, 1);
  });

  test('stay as they are while a file is half-written, mismatched or gone, and every look is a failure', async () => {
    const watched = await watch('half', 3_600_000);
    const before = watched.current();
    truncateSync(watched.files.cert, 100);
    await watched.reload();
    await watched.reload();
    assert.equal(watched.failures.length, 2);
    install({ cert: second.cert, key: first.key }, watched.files);
    await watched.reload();
    assert.match(watched.failures[2] ?? '', /does not belong/);
    assert.equal(watched.current(), before);
    install(second, watched.files);
    await watched.reload();
    assert.notEqual(watched.current(), before);
    assert.equal(watched.failures.length, 3);
  });

  test('are refused at the start when they are bad', async () => {
    const files = filesOf({ ...first, key: second.key });
    const ignore = (): void => {};
    const watched = watchCertificates({
      ...{ files, everyMs: 10, nowMs: Date.now },
      ...{ verify: ignore, onChange: ignore, onFailure: ignore, onLook: ignore },
    });
    await assert.rejects(watched.start(), /does not belong/);
    assert.throws(watched.current);
  });
});

describe('a server with them', () => {
  test('gives new connections the new certificate and keeps the rules, and old connections live on', async () => {
    let current = await readCertificates(filesOf(first), Date.now());
    const tls = createServerTls({ rules, current: () => current, onRefused: () => {} });
    const server = createServer(tls.options(), (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    tls.guard(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const sockets: TLSSocket[] = [];
    suite.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const open = async (extra: object = {}): Promise<TLSSocket> => {
      const pair = { cert: textOf(second.cert), key: textOf(second.key) };
      const socket = connect({ port, host: 'localhost', ca: textOf(ca.cert), ...pair, ...extra });
      sockets.push(socket);
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      return socket;
    };
    const echo = async (socket: TLSSocket): Promise<string> => {
      socket.write('x');
      return String((await once(socket, 'data'))[0]);
    };
    const name = (socket: TLSSocket): string => String(socket.getPeerCertificate().subject.CN);
    const old = await open();
    assert.equal(name(old), 'first');
    current = await readCertificates(filesOf(second), Date.now());
    tls.refresh();
    const young = await open();
    assert.equal(name(young), 'second');
    assert.equal(await echo(old), 'x');
    assert.equal(await echo(young), 'x');
    await assert.rejects(open({ maxVersion: 'TLSv1.2' }), 'the oldest version is kept');
    const bare = connect({ port, host: 'localhost', ca: textOf(ca.cert) });
    sockets.push(bare);
    await assert.rejects(once(bare.resume(), 'end'), 'the need for a client certificate is kept');
  });
});

describe("names of a client's certificate", () => {
  test('are read one by one', () => {
    assert.deepEqual(alternativeNames('URI:spiffe://td/gw, DNS:a.test, IP Address:127.0.0.1'), [
      { kind: 'URI', value: 'spiffe://td/gw' },
      { kind: 'DNS', value: 'a.test' },
      { kind: 'IP Address', value: '127.0.0.1' },
    ]);
    assert.deepEqual(alternativeNames(undefined), []);
    assert.deepEqual(alternativeNames(''), []);
  });

  test('cannot be forged by a name that looks like two', () => {
    assert.deepEqual(alternativeNames('DNS:"a, URI:spiffe://td/gw", DNS:b'), [
      { kind: 'DNS', value: 'a, URI:spiffe://td/gw' },
      { kind: 'DNS', value: 'b' },
    ]);
    assert.deepEqual(alternativeNames('DNS:"a\\", URI:spiffe://td/gw'), []);
    assert.deepEqual(alternativeNames('DNS:"a\\q", URI:spiffe://td/gw'), []);
  });
});
