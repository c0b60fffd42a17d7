import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import type { ServerOptions } from 'node:https';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { ServiceConfig } from '../../src/config/schema.ts';
import { describeBundleSource, type Place } from '../contract/bundle-source.ts';
import { bundleOf } from '../support/archive.ts';
import { install, issue, type Pair, selfSigned } from '../support/certificates.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { httpSource } from '../support/sources.ts';
import { unpacked } from '../support/unpacked.ts';
import { serve } from '../support/web.ts';

const never = new AbortController().signal;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const give: RequestListener = (_request, response) => response.end(good);

type Credentials = NonNullable<ServiceConfig['credentials']>;
type ClientTls = NonNullable<Credentials['client_tls']>;

const clientTls = (pair: Pair, over: Partial<ClientTls> = {}): { readonly credentials: Credentials } => ({
  credentials: {
    client_tls: {
      cert: pair.cert,
      private_key: pair.key,
      cert_reread_interval_seconds: 0,
      system_ca_required: false,
      ...over,
    },
  },
});

/** An authority, a server's and a client's certificate. */
function authority(scope: Scope) {
  const folder = scratchFolder(scope);
  const ca = selfSigned(folder, 'ca');
  return {
    folder,
    ca,
    server: issue(ca, folder, 'server'),
    client: issue(ca, folder, 'client'),
    tls: { ca_cert: ca.cert, system_ca_required: false },
  };
}

const wanting = (ca: Pair): ServerOptions => ({
  requestCert: true,
  rejectUnauthorized: true,
  ca: readFileSync(ca.cert),
});

describeBundleSource('an HTTPS server that wants a client certificate', async (scope): Promise<Place> => {
  const { ca, server, client, tls } = authority(scope);
  let body: Buffer | undefined;
  let version = 0;
  let isHeld = false;
  const put = (bytes: Buffer | undefined): void => {
    body = bytes;
    version++;
  };
  const url = await serve(
    scope,
    (request, response) => {
      const etag = `"${version}"`;
      if (isHeld) return;
      if (body === undefined) response.writeHead(404).end('s3cr3t');
      else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
      else response.writeHead(200, { etag }).end(body);
    },
    server,
    wanting(ca),
  );
  return {
    source: (maxBytes) => unpacked(httpSource(scope, url, { service: { tls, ...clientTls(client) } }), maxBytes),
    put: (entries) => put(bundleOf(entries)),
    spoil: () => put(Buffer.from('s3cr3t')),
    remove: () => put(undefined),
    hold: () => {
      isHeld = true;
    },
    secrets: ['s3cr3t', 'PRIVATE KEY'],
  };
});

describe('a server over TLS', () => {
  test('is taken only with a certificate of an authority that is trusted', async (context) => {
    const { server, tls, folder } = authority(context);
    const url = await serve(context, give, server);
    const look = (service: Partial<ServiceConfig>): Promise<unknown> =>
      httpSource(context, url, { service })(undefined, never);
    const refused = /certificate of the server is not accepted \([A-Z_]+\)/;
    await assert.rejects(look({}), refused);
    const other = selfSigned(folder, 'other');
    await assert.rejects(look({ tls: { ca_cert: other.cert, system_ca_required: true } }), refused);
    await assert.rejects(look({ tls: { system_ca_required: true } }), refused);
    await look({ tls });
    await look({ tls: { ...tls, system_ca_required: true } });
  });

  test('is taken only by its name, and only as long as its certificate is valid', async (context) => {
    const { ca, folder, tls } = authority(context);
    const wrong = await serve(context, give, issue(ca, folder, 'wrong', { san: 'DNS:elsewhere.test' }));
    const past = await serve(context, give, issue(ca, folder, 'past', { days: -1 }));
    await assert.rejects(
      httpSource(context, wrong, { service: { tls } })(undefined, never),
      /ERR_TLS_CERT_ALTNAME_INVALID/,
    );
    await assert.rejects(httpSource(context, past, { service: { tls } })(undefined, never), /CERT_HAS_EXPIRED/);
  });

  test('is taken as it is where that is allowed; a server that it refers to is not', async (context) => {
    const { server } = authority(context);
    const service = { allow_insecure_tls: true };
    const url = await serve(context, give, server);
    assert.equal((await httpSource(context, url, { service })(undefined, never)).kind, 'new');
    const refers = await serve(
      context,
      (_request, response) => response.writeHead(302, { location: url }).end(),
      server,
    );
    await assert.rejects(httpSource(context, refers, { service })(undefined, never), /is not accepted/);
  });

  test('that speaks nothing newer than TLS 1.1 is refused', async (context) => {
    const { server, tls } = authority(context);
    const old: ServerOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    const url = await serve(context, give, server, old);
    await assert.rejects(httpSource(context, url, { service: { tls } })(undefined, never), /TLS failed|was cut/);
    const fine = await serve(context, give, server, { maxVersion: 'TLSv1.2' });
    assert.equal((await httpSource(context, fine, { service: { tls } })(undefined, never)).kind, 'new');
  });

  test('is asked no more when its authority has gone from the file, which may also be missing or be no such file', async (context) => {
    const { ca, server, folder } = authority(context);
    const url = await serve(context, give, server);
    const file = join(folder, 'trusted.pem');
    copyFileSync(ca.cert, file);
    const source = httpSource(context, url, { service: { tls: { ca_cert: file, system_ca_required: false } } });
    assert.equal((await source(undefined, never)).kind, 'new');
    copyFileSync(selfSigned(folder, 'next').cert, file);
    await assert.rejects(source(undefined, never), /is not accepted/);
    writeFileSync(file, 'nothing');
    await assert.rejects(source(undefined, never), /trusted\.pem: there is no certificate in it/);
    copyFileSync(ca.cert, file);
    assert.equal((await source(undefined, never)).kind, 'new');
  });
});

describe('a client certificate', () => {
  test('is shown to the service, and not to whom it refers', async (context) => {
    const { ca, server, client, tls } = authority(context);
    const shown: (readonly [string, string | undefined])[] = [];
    const note =
      (name: string, next: RequestListener): RequestListener =>
      (request, response) => {
        shown.push([name, (request.socket as TLSSocket).getPeerX509Certificate()?.subject]);
        next(request, response);
      };
    const optional = { ...wanting(ca), rejectUnauthorized: false };
    const other = await serve(context, note('other', give), server, optional);
    const refer: RequestListener = (_request, response) => response.writeHead(307, { location: other }).end();
    const url = await serve(context, note('service', refer), server, optional);
    const source = httpSource(context, url, { service: { tls, ...clientTls(client) } });
    assert.equal((await source(undefined, never)).kind, 'new');
    assert.deepEqual(shown, [
      ['service', 'CN=client'],
      ['other', undefined],
    ]);
  });

  test('follows its files; half-written ones are not taken, which is said once', async (context) => {
    const { ca, server, client, tls, folder } = authority(context);
    const subjects: (string | undefined)[] = [];
    const url = await serve(
      context,
      (request, response) => {
        subjects.push((request.socket as TLSSocket).getPeerX509Certificate()?.subject);
        give(request, response);
      },
      server,
      wanting(ca),
    );
    const files = { cert: join(folder, 'used.pem'), key: join(folder, 'used.key') };
    const warnings: string[] = [];
    const source = httpSource(context, url, {
      service: { tls, ...clientTls(files) },
      warn: (fields, message) => void warnings.push(`${JSON.stringify(fields)} ${message}`),
    });
    await assert.rejects(source(undefined, never), /ENOENT.*used\.pem/);
    install(client, files);
    await source(undefined, never);
    const next = issue(ca, folder, 'next');
    copyFileSync(next.cert, files.cert);
    await source(undefined, never);
    await source(undefined, never);
    copyFileSync(next.key, files.key);
    await source(undefined, never);
    assert.deepEqual(subjects, ['CN=client', 'CN=client', 'CN=client', 'CN=next']);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /"service":"ci".*used\.key: the key does not belong.*the one before is shown/);
  });

  test('is not looked at again before its interval is over', async (context) => {
    const { ca, server, client, tls, folder } = authority(context);
    const url = await serve(context, give, server, wanting(ca));
    const files = { cert: join(folder, 'used.pem'), key: join(folder, 'used.key') };
    install(client, files);
    const once = clientTls(files, { cert_reread_interval_seconds: 3600 });
    const source = httpSource(context, url, { service: { tls, ...once } });
    await source(undefined, never);
    writeFileSync(files.cert, 'gone');
    assert.equal((await source(undefined, never)).kind, 'new');
  });

  test('may have a key with a passphrase, which no message holds', async (context) => {
    const { ca, server, client, tls, folder } = authority(context);
    const url = await serve(context, give, server, wanting(ca));
    const locked = { cert: client.cert, key: join(folder, 'locked.key') };
    const options = ['-topk8', '-passout', 'pass:s3cr3t', '-in', client.key, '-out', locked.key];
    execFileSync('openssl', ['pkcs8', ...options], { stdio: 'pipe' });
    const look = (private_key_passphrase?: string): Promise<unknown> => {
      const given = private_key_passphrase === undefined ? {} : { private_key_passphrase };
      return httpSource(context, url, { service: { tls, ...clientTls(locked, given) } })(undefined, never);
    };
    await look('s3cr3t');
    await assert.rejects(look('s3cr3t-but-wrong'), (error: Error) => !error.message.includes('s3cr3t'));
    await assert.rejects(look(), /is encrypted/);
  });

  test('is needed where the server wants one, and its authority may stand beside it', async (context) => {
    const { ca, server, client, tls } = authority(context);
    const url = await serve(context, give, server, wanting(ca));
    await assert.rejects(httpSource(context, url, { service: { tls } })(undefined, never), /TLS failed|was cut/);
    const older = clientTls(client, { ca_cert: ca.cert });
    assert.equal((await httpSource(context, url, { service: older })(undefined, never)).kind, 'new');
  });
});
