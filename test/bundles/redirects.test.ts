import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener } from 'node:http';
import { describe, test } from 'node:test';
import { bundleOf } from '../support/archive.ts';
import { issue, selfSigned } from '../support/certificates.ts';
import { scratchFolder } from '../support/servers.ts';
import { httpSource } from '../support/sources.ts';
import { serve } from '../support/web.ts';

const never = new AbortController().signal;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const credentials = { bearer: { token: 's3cr3t-token', scheme: 'Bearer' } };
const service = { headers: { 'x-key': 's3cr3t-key', cookie: 's3cr3t=1' }, credentials };

const redirect =
  (location: string, status = 302): RequestListener =>
  (_request, response) =>
    response.writeHead(status, { location }).end('s3cr3t-page');

/** Gives the bundle, and keeps what it was asked. */
function target() {
  const asked: IncomingMessage[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(request);
    response.end(good);
  };
  return { asked, listener };
}

const secretsIn = (asked: readonly IncomingMessage[]): string =>
  [...JSON.stringify(asked.map(({ rawHeaders, url }) => [rawHeaders, url])).matchAll(/s3cr3t[\w-]*/g)].join();

describe('a redirect', () => {
  test('within the origin is followed with all that is due to the service, whatever its status', async (context) => {
    for (const status of [301, 302, 303, 307, 308]) {
      const { asked, listener } = target();
      const url = await serve(context, (request, response) => {
        if (request.url === '/there') listener(request, response);
        else redirect('/there', status)(request, response);
      });
      const source = httpSource(context, url, { service });
      assert.equal((await source(`${'0'.repeat(64)} "1"`, never)).kind, 'new');
      const [{ method, headers } = assert.fail('nothing was asked')] = asked;
      assert.deepEqual(
        [method, headers.authorization, headers['x-key'], headers['if-none-match'], headers.prefer],
        ['GET', 'Bearer s3cr3t-token', 's3cr3t-key', '"1"', 'modes=snapshot,delta'],
      );
    }
  });

  test('to another port, host or scheme is followed with nothing that is secret', async (context) => {
    const folder = scratchFolder(context);
    const ca = selfSigned(folder, 'ca');
    const { asked, listener } = target();
    const plain = await serve(context, listener);
    const secure = await serve(context, listener, issue(ca, folder, 'server'));
    const places = [plain, plain.replace('127.0.0.1', 'localhost'), secure, plain.replace('//', '//u:s3cr3t-in-url@')];
    for (const place of places) {
      const url = await serve(context, redirect(`${place}/elsewhere`));
      const address = url.replace('//', '//user:s3cr3t-password@');
      const tls = { ca_cert: ca.cert, system_ca_required: false };
      const source = httpSource(context, address, { service: { ...service, url: address, tls } });
      assert.equal((await source(undefined, never)).kind, 'new', place);
    }
    assert.equal(asked.length, places.length);
    assert.equal(secretsIn(asked), '');
  });

  test('back to the origin is followed, and what is secret stays where it was', async (context) => {
    const { asked, listener } = target();
    let back = '';
    const elsewhere = await serve(context, (request, response) => redirect(`${back}/chosen`)(request, response));
    back = await serve(context, (request, response) => {
      if (request.url === '/chosen') listener(request, response);
      else redirect(elsewhere)(request, response);
    });
    assert.equal((await httpSource(context, back, { service })(undefined, never)).kind, 'new');
    assert.equal(asked.length, 1);
    assert.equal(secretsIn(asked), '');
  });

  test('is followed five times and not six times', async (context) => {
    let asked = 0;
    const after =
      (count: number): RequestListener =>
      (request, response) => {
        asked++;
        const step = Number(request.url?.slice(2));
        if (step >= count) response.end(good);
        else redirect(`/r${step + 1}`)(request, response);
      };
    const five = httpSource(context, await serve(context, after(5)), { bundle: { resource: 'r0' } });
    assert.equal((await five(undefined, never)).kind, 'new');
    assert.equal(asked, 6);
    const six = httpSource(context, await serve(context, after(6)), { bundle: { resource: 'r0' } });
    await assert.rejects(six(undefined, never), /\/r0: more than 5 redirects/);
    assert.equal(asked, 12);
  });

  test('from https to http, or to what is no address of a web server, is refused', async (context) => {
    const folder = scratchFolder(context);
    const ca = selfSigned(folder, 'ca');
    const { asked, listener } = target();
    const plain = await serve(context, listener);
    const secure = await serve(context, redirect(plain), issue(ca, folder, 'server'));
    const tls = { ca_cert: ca.cert, system_ca_required: false };
    await assert.rejects(httpSource(context, secure, { service: { tls } })(undefined, never), /from https to http/);
    for (const location of ['file:///etc/passwd', 'ftp://127.0.0.1/', 'data:,x', 'http://[', 'javascript:0']) {
      const url = await serve(context, redirect(location));
      await assert.rejects(
        httpSource(context, url)(undefined, never),
        /a redirect to what is no HTTP address/,
        location,
      );
    }
    assert.equal(asked.length, 0);
  });

  test('that leads nowhere is an answer, and one into a refusal says why credentials did not help', async (context) => {
    const nowhere = await serve(context, (_request, response) => response.writeHead(302).end());
    await assert.rejects(httpSource(context, nowhere)(undefined, never), /the server answered 302$/);
    const elsewhere = await serve(context, (_request, response) => response.writeHead(401).end());
    const url = await serve(context, redirect(elsewhere));
    const source = httpSource(context, url, { service });
    await assert.rejects(
      source(undefined, never),
      /answered 401; credentials stay with the origin that redirected here/,
    );
  });
});
