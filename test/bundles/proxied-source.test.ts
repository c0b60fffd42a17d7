import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { bundleOf } from '../support/archive.ts';
import { issue, selfSigned } from '../support/certificates.ts';
import { startForwardProxy } from '../support/forward-proxy.ts';
import { scratchFolder } from '../support/servers.ts';
import { httpSource } from '../support/sources.ts';
import { serve } from '../support/web.ts';

const never = new AbortController().signal;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const bearer = { bearer: { token: 's3cr3t-token', scheme: 'Bearer' } };
/** The same server under a name that only a proxy can find. */
const named = (origin: string): string => origin.replace('127.0.0.1', 'bundles.test');
const portOf = (origin: string): string => new URL(origin).port;

describe('a proxy of the environment', () => {
  test('makes plain requests itself, and opens tunnels for those over TLS, which it cannot look into', async (context) => {
    const folder = scratchFolder(context);
    const ca = selfSigned(folder, 'ca');
    const server = issue(ca, folder, 'server', { san: 'DNS:bundles.test' });
    const client = issue(ca, folder, 'client');
    const seen: (string | undefined)[] = [];
    const plain = await serve(context, (request, response) => {
      seen.push(request.headers.authorization);
      response.end(good);
    });
    const secure = await serve(
      context,
      (request, response) => {
        seen.push((request.socket as TLSSocket).getPeerX509Certificate()?.subject);
        response.end(good);
      },
      server,
      { requestCert: true, ca: readFileSync(ca.cert) },
    );
    const proxy = await startForwardProxy(context);
    const env = { HTTP_PROXY: proxy.address, HTTPS_PROXY: `http://user:s3cr3t%21@${proxy.address}` };
    const tls = { ca_cert: ca.cert, system_ca_required: false };
    const pair = { cert: client.cert, private_key: client.key };
    const client_tls = { ...pair, cert_reread_interval_seconds: 0, system_ca_required: false };

    await httpSource(context, named(plain), { service: { credentials: bearer }, env })(undefined, never);
    await httpSource(context, named(secure), { service: { tls, credentials: { client_tls } }, env })(undefined, never);
    assert.deepEqual(seen, ['Bearer s3cr3t-token', 'CN=client']);
    const [[first, firstHeaders] = [], [second, secondHeaders] = []] = proxy.asked;
    assert.equal(first, `GET http://bundles.test:${portOf(plain)}/bundles/main`);
    assert.equal(firstHeaders?.['proxy-authorization'], undefined);
    assert.equal(second, `CONNECT bundles.test:${portOf(secure)}`);
    assert.equal(secondHeaders?.['proxy-authorization'], `Basic ${Buffer.from('user:s3cr3t!').toString('base64')}`);
    assert.equal(secondHeaders?.authorization, undefined);
  });

  test('does not weaken TLS: the authority of the configuration holds through it', async (context) => {
    const folder = scratchFolder(context);
    const server = issue(selfSigned(folder, 'ca'), folder, 'server', { san: 'DNS:bundles.test' });
    const secure = await serve(context, (_request, response) => response.end(good), server);
    const proxy = await startForwardProxy(context);
    const env = { HTTPS_PROXY: proxy.address };
    const refused = /certificate of the server is not accepted/;
    await assert.rejects(httpSource(context, named(secure), { env })(undefined, never), refused);
    const tls = { ca_cert: selfSigned(folder, 'other').cert, system_ca_required: false };
    await assert.rejects(httpSource(context, named(secure), { service: { tls }, env })(undefined, never), refused);
    assert.equal(proxy.asked.length, 2);
  });

  test('is not asked for what NO_PROXY names, nor for loopback', async (context) => {
    const url = await serve(context, (_request, response) => response.end(good));
    const proxy = await startForwardProxy(context);
    assert.equal(
      (await httpSource(context, url, { env: { HTTP_PROXY: proxy.address } })(undefined, never)).kind,
      'new',
    );
    const env = { HTTP_PROXY: proxy.address, NO_PROXY: 'other.test,.invalid' };
    await assert.rejects(httpSource(context, 'http://b.invalid', { env })(undefined, never), /cannot be resolved/);
    assert.deepEqual(proxy.asked, []);
  });

  test('that refuses, hangs or is not there is said, without its password', async (context) => {
    const folder = scratchFolder(context);
    const ca = selfSigned(folder, 'ca');
    const secure = await serve(
      context,
      (_request, response) => response.end(good),
      issue(ca, folder, 'server', { san: 'DNS:bundles.test' }),
    );
    const proxy = await startForwardProxy(context);
    const address = `http://user:s3cr3t@${proxy.address}`;
    const env = { HTTP_PROXY: address, HTTPS_PROXY: address };
    const service = { tls: { ca_cert: ca.cert, system_ca_required: false }, response_header_timeout_seconds: 1 };
    const messageOf = async (url: string, given: typeof env = env): Promise<string> => {
      const stopping = AbortSignal.timeout(30_000);
      const look = httpSource(context, url, { service, env: given })(undefined, stopping);
      const error: unknown = await look.then(
        () => 'it came',
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof Error && !stopping.aborted, String(error));
      assert.ok(!error.message.includes('s3cr3t') && !String(error.stack).includes('s3cr3t'));
      return error.message;
    };
    proxy.fault = 407;
    for (const url of [named(secure), 'http://bundles.test:1']) {
      assert.match(await messageOf(url), /: the proxy answered 407$/);
    }
    proxy.fault = 403;
    assert.match(await messageOf(named(secure)), /: the proxy answered 403$/);
    proxy.fault = 'hang';
    assert.match(await messageOf('http://bundles.test:1'), /no response headers in time/);
    assert.match(await messageOf(named(secure)), /in time|timed out/);
    const gone = { HTTP_PROXY: 'http://u:s3cr3t@127.0.0.1:1', HTTPS_PROXY: 'http://u:s3cr3t@127.0.0.1:1' };
    assert.match(await messageOf(named(secure), gone), /refused \(ECONNREFUSED\)/);
    const odd = { HTTP_PROXY: 'socks5://u:s3cr3t@127.0.0.1:1', HTTPS_PROXY: 'http://s3cr3t:x:y' };
    assert.match(await messageOf(named(secure), odd), /HTTPS_PROXY is no address of a proxy/);
    assert.match(await messageOf('http://bundles.test:1', odd), /HTTP_PROXY names .* not supported \(socks5\)/);
  });
});
