import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientTlsOf, type TlsFlags, wantsTls } from '../../src/cli/client-tls.ts';
import { selfSigned } from '../support/certificates.ts';
import { scratchFolder } from '../support/servers.ts';

test('each of the flags asks for TLS', () => {
  assert.equal(wantsTls({}), false);
  for (const flags of [{ tls: true }, { tlsCa: 'f' }, { tlsCert: 'f' }, { tlsKey: 'f' }, { tlsServerName: '' }]) {
    assert.equal(wantsTls(flags), true);
  }
});

test('what cannot be is said with the flag or the file', async (context) => {
  const folder = scratchFolder(context);
  const [ca, other] = [selfSigned(folder, 'ca'), selfSigned(folder, 'other')];
  const none = join(folder, 'none.pem');
  writeFileSync(none, 'nothing');
  const bad: readonly (readonly [TlsFlags, RegExp])[] = [
    [{ tlsCa: '/nowhere.pem' }, /\/nowhere\.pem/],
    [{ tlsCa: none }, /none\.pem: there is no certificate in it/],
    [{ tlsCert: ca.cert }, /--tls-cert and --tls-key go together/],
    [{ tlsKey: ca.key }, /--tls-cert and --tls-key go together/],
    [{ tlsCert: ca.cert, tlsKey: other.key }, /other\.key: the key does not belong to the certificate/],
  ];
  for (const [flags, message] of bad) await assert.rejects(clientTlsOf(flags), { message });
  const { ca: authorities, certificate } = await clientTlsOf({ tlsCa: ca.cert, tlsCert: ca.cert, tlsKey: ca.key });
  assert.equal(authorities?.length, 1);
  assert.match(certificate?.key ?? '', /PRIVATE KEY/);
});

test('a server has the name of a host, an address or a SPIFFE ID', async () => {
  for (const tlsServerName of ['localhost', 'a.b-c.test', 'a.test.', '127.0.0.1', '::1', 'spiffe://td/ns/a/sa/b']) {
    assert.equal((await clientTlsOf({ tlsServerName })).serverName, tlsServerName);
  }
  for (const tlsServerName of [
    '',
    'spiffe://',
    'spiffe://td/a/../b',
    'https://a',
    'a b',
    'a/b',
    'SPIFFE://td/a',
    '-a',
  ]) {
    await assert.rejects(clientTlsOf({ tlsServerName }), /--tls-server-name: /, tlsServerName);
  }
});
