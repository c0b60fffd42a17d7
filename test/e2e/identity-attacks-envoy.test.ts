import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type Attacked, claims, goodToken, header, issuerA, now, pairs, startAttacked } from '../support/attacked.ts';
import { issue, type Pair, selfSigned } from '../support/certificates.ts';
import { type Envoy, startEnvoy, startUpstream } from '../support/envoy.ts';
import { forge } from '../support/forge.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

/* What a client can send through a real Envoy, byte by byte, and the certificates that it can show to one. */

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
let upstream: Awaited<ReturnType<typeof startUpstream>>;
const good = goodToken();
const bad = forge(header(), claims({ exp: now() - 3600 }), pairs.rsa, 'RS256');

type Plain = { readonly status: number; readonly head: string; readonly body: string };

/** One request of exactly these header lines, and its answer; Envoy may take a second to close after an error. */
async function send(port: number, lines: readonly string[], path = '/x'): Promise<Plain> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket
    .on('error', () => {})
    .on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (isWhole(text)) socket.destroy();
    });
  const all = [`GET ${path} HTTP/1.1`, 'host: api.test', 'connection: close', ...lines, '', ''];
  socket.write(Buffer.from(all.join('\r\n'), 'latin1'));
  await once(socket, 'close');
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(head)?.[1] ?? 0), head, body };
}

function isWhole(text: string): boolean {
  const [head = '', body] = text.split('\r\n\r\n');
  return body !== undefined && body.length === Number(/\r\ncontent-length: ([0-9]+)/.exec(head)?.[1]);
}

type Attack = readonly [name: string, lines: readonly string[], path?: string];
const auth = (value: string): readonly string[] => [`authorization: ${value}`];
const attacks: readonly Attack[] = [
  ['no token', []],
  ['a bad token', auth(`Bearer ${bad}`)],
  ['a tab for the blank', auth(`Bearer\t${good}`)],
  ['obs-text before the token', auth(`Bearer \xa0${good}`)],
  ['obs-text behind the token', auth(`Bearer ${good}\xa0x`)],
  ['obs-text in the scheme', auth(`B\xe9arer ${good}`)],
  ['UTF-8 blanks', auth(`Bearer ${Buffer.from('\u3000').toString('latin1')}${good}`)],
  ['a quoted token', auth(`Bearer "${good}"`)],
  ['twice the scheme', auth(`Bearer Bearer ${good}`)],
  ['a comma', auth(`Bearer ${good},`)],
  ['two headers', [...auth(`Bearer ${good}`), ...auth(`Bearer ${good}`)]],
  ['two headers, one bad', [...auth('Bearer x.y.z'), `Authorization: Bearer ${good}`]],
  ['two headers, one Basic', [...auth('Basic YTpi'), `AUTHORIZATION: Bearer ${good}`]],
  ['an underscore in the name', [`authorization_: Bearer ${good}`]],
  ['a blank before the colon', [`authorization : Bearer ${good}`]],
  ['a NUL', auth(`Bearer ${good}\0`)],
  ['30 KB', auth(`Bearer ${'x'.repeat(30_000)}`)],
  ['64 KB', auth(`Bearer ${'x'.repeat(65_536)}`)],
  ['a megabyte', auth(`Bearer ${'x'.repeat(1_048_576)}`)],
  ['alg none', auth(`Bearer ${forge({ alg: 'none' }, claims(), pairs.rsa, 'RS256')}`)],
  ['a numeric issuer', auth(`Bearer ${forge(header(), claims({ iss: 1 }), pairs.rsa, 'RS256')}`)],
  ['two cookies', [`cookie: session=${good}`, `cookie: session=${bad}`]],
  ['two cookies in one', [`cookie: session=${good}; session=${bad}`]],
  ['a cookie in odd quotes', [`cookie: session="${good}`]],
  ['a cookie after obs-text', [`cookie: session=\xa0${good}`]],
  ['a cookie joined by a comma', [`cookie: a=1,session=${good}`]],
  ['header and cookie', [...auth(`Bearer ${good}`), `cookie: session=${bad}`]],
  ['two parameters', [], `/x?access_token=${good}&access_token=${bad}`],
  ['a semicolon', [], `/x?access_token=${good};a=1`],
  ['a plus sign', [], `/x?access_token=+${good}`],
  ['a NUL in the query', [], `/x?access_token=${good}%00`],
  ['a token in the fragment', [], `/x#access_token=${good}`],
  ['a bad token where none is needed', auth(`Bearer ${bad}`), '/workload/x'],
  ['another spelling of a bearer where none is needed', auth(`Bearer\t${bad}`), '/workload/x'],
  [
    'another workload than none',
    ['x-forwarded-client-cert: URI=spiffe://cluster.local/ns/web/sa/front'],
    '/workload/x',
  ],
];

for (const rawHeaders of [false, true]) {
  describe(`clients of an Envoy that sends headers ${rawHeaders ? 'raw' : 'as text'}`, () => {
    let attacked: Attacked;
    let envoy: Envoy;
    before(async () => {
      attacked = await startAttacked(suite);
      upstream ??= await startUpstream(suite);
      envoy = await startEnvoy(suite, {
        folder,
        servers: [attacked.server.grpc],
        upstream: upstream.address,
        rawHeaders,
        // What Postern refused must not become an allow by this.
        failureModeAllow: true,
      });
    });

    test('get through with a good token, however the header is spelled', async () => {
      for (const line of [
        `authorization: Bearer ${good}`,
        `AuThOrIzAtIoN:bearer  ${good}`,
        `cookie: session="${good}"`,
      ]) {
        assert.equal((await send(envoy.port, [line])).status, 200, line);
      }
    });

    test('are refused with any of the others, and learn nothing', async () => {
      for (const [name, lines, path] of attacks) {
        const before = upstream.seen.length;
        const { status, head, body } = await send(envoy.port, lines, path);
        // 431 is Envoy's own, and so is a closed connection for what is no HTTP.
        assert.ok([400, 401, 403, 431, 0].includes(status), `${name}: ${status}`);
        assert.equal(upstream.seen.length, before, `${name} reached the upstream`);
        if (status === 401) assert.match(head, /\r\nwww-authenticate: Bearer(?: error="invalid_token")?\r\n/i, name);
        for (const leak of ['eyJ', 'ann', issuerA, 'Error:', '.ts']) assert.ok(!`${head}${body}`.includes(leak), name);
        assert.equal((await send(envoy.port, auth(`Bearer ${good}`))).status, 200, `the next one after ${name}`);
      }
      assert.equal(await envoy.stat('http.in.ext_authz.failure_mode_allowed'), 0);
      assert.equal(await envoy.stat('http.in.ext_authz.error'), 0);
    });
  });
}

describe('certificates that clients of an Envoy show', () => {
  const front = 'spiffe://cluster.local/ns/web/sa/front';
  let ca: Pair;
  let byPrincipal: Envoy;
  let byHeader: Envoy;
  before(async () => {
    ca = selfSigned(folder, 'clients-ca');
    const server = issue(ca, folder, 'clients-server');
    upstream ??= await startUpstream(suite);
    const start = async (xfcc: boolean): Promise<Envoy> => {
      const attacked = await startAttacked(suite, { workload: { trust_domains: ['cluster.local'], xfcc } });
      const clients = { ca: ca.cert, ...server };
      return startEnvoy(suite, { folder, servers: [attacked.server.grpc], upstream: upstream.address, clients });
    };
    [byPrincipal, byHeader] = await Promise.all([start(false), start(true)]);
  });

  async function statusOf(
    envoy: Envoy,
    pair: Pair,
    headers: { readonly [name: string]: string } = {},
  ): Promise<number> {
    const outgoing = request({
      ...{ host: '127.0.0.1', port: envoy.port, path: '/workload/x', agent: false, servername: 'localhost', headers },
      ...{ ca: readFileSync(ca.cert), cert: readFileSync(pair.cert), key: readFileSync(pair.key) },
    });
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    return response.statusCode ?? 0;
  }

  let made = 0;
  const shown = (san: string): Pair => issue(ca, folder, `client-${++made}`, { san });

  test('make a workload of the trust domain, whatever the header says', async () => {
    const pair = shown(`URI:${front}`);
    for (const envoy of [byPrincipal, byHeader]) {
      assert.equal(await statusOf(envoy, pair), 200);
      assert.equal(await statusOf(envoy, pair, { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/x' }), 200);
    }
  });

  const odd: readonly (readonly [name: string, san: string])[] = [
    ['no name', ''],
    ['a DNS name', 'DNS:front.web.svc'],
    ['another trust domain', 'URI:spiffe://evil.test/ns/web/sa/front'],
    ['upper case', `URI:${front.replace('cluster', 'CLUSTER')}`],
    ['another scheme', `URI:${front.replace('spiffe', 'https')}`],
    ['a port', `URI:${front.replace('local', 'local:443')}`],
    ['a user', `URI:${front.replace('//', '//user@')}`],
    ['an escape', `URI:${front.replace('front', 'fr%6fnt')}`],
    ['dots', `URI:${front.replace('web', 'x/../web')}`],
    ['a slash behind', `URI:${front}/`],
    ['a query', `URI:${front}?x`],
    ['the trust domain itself', 'URI:spiffe://cluster.local'],
    ['another first', `URI.1=spiffe://cluster.local/other\nURI.2=${front}`],
    ['a pair in a name', `URI.1=spiffe://cluster.local/x;URI=${front}`],
  ];
  for (const [name, san] of odd) {
    test(`make none with ${name}`, async () => {
      const pair = shown(san);
      assert.equal(await statusOf(byPrincipal, pair, { 'x-forwarded-client-cert': `URI=${front}` }), 403);
      assert.equal(await statusOf(byHeader, pair, { 'x-forwarded-client-cert': `URI=${front}` }), 403);
    });
  }

  test('make none with two URIs where the header counts; the principal is only the first', async () => {
    const pair = shown(`URI.1=${front}\nURI.2=spiffe://cluster.local/other`);
    assert.equal(await statusOf(byHeader, pair), 403);
    assert.equal(await statusOf(byPrincipal, pair), 200);
  });
});
