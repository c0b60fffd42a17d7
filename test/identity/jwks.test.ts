import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createJwks, type Jwks } from '../../src/identity/jwks.ts';
import { keyOriginsOf } from '../../src/identity/key-origin.ts';
import { parseKeySet } from '../../src/identity/key-set.ts';
import { createKeyStore } from '../../src/identity/key-store.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { scratchFolder } from '../support/servers.ts';
import { createSigner } from '../support/tokens.ts';

type FakeClock = Clock & { advance: (ms: number) => void };
function fakeClock(): FakeClock {
  let now = 1_000_000;
  return {
    wallMs: () => now,
    monotonicMs: () => now,
    advance: (ms) => {
      now += ms;
    },
  };
}

const issuer = {
  issuer: 'https://i.test/',
  verified_by: 'postern' as const,
  discovery: false,
  audiences: [],
  algorithms: ['RS256' as const],
  leeway_seconds: 60,
  max_lifetime_seconds: 86_400,
  jwks_mirrors: [],
  allow_http: false,
  max_stale_seconds: 86_400,
  required_claims: [],
};

async function serve(context: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function jwksAt(context: TestContext, address: string, clock: Clock, onChanged = (): void => {}): Jwks {
  const jwks = createJwks({
    origins: keyOriginsOf({ ...issuer, jwks_uri: address }),
    maxStaleMs: 86_400_000,
    clock,
    random: () => 0.5,
    onFetched: () => {},
    onChanged,
  });
  context.after(jwks.stop);
  return jwks;
}

describe('a key set from a server', () => {
  test('is looked for again at most every 30 s, also while the server fails', async (context) => {
    const { jwks: document } = await createSigner('x');
    let fetches = 0;
    let up = true;
    const clock = fakeClock();
    const address = await serve(context, (_request, response) => {
      fetches++;
      response.statusCode = up ? 200 : 500;
      response.end(JSON.stringify(document));
    });
    const jwks = jwksAt(context, address, clock);
    await jwks.start();
    up = false;
    for (let second = 0; second < 60; second++) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => jwks.lookFor(`random-${second}-${i}`, 'RS256')));
      clock.advance(1000);
    }
    assert.ok(fetches <= 1 + 60 / 30, `${fetches} fetches`);
    assert.equal(jwks.current()?.keys.length, 1, 'the last good keys stay');
  });

  test('is fetched once for many who ask at the same time', async (context) => {
    const { jwks: document } = await createSigner('x');
    let fetches = 0;
    const address = await serve(context, (_request, response) => {
      fetches++;
      response.end(JSON.stringify(document));
    });
    const jwks = jwksAt(context, address, fakeClock());
    await Promise.all(Array.from({ length: 20 }, () => jwks.start()));
    assert.equal(fetches, 1);
  });

  test('that is older than a day is not used any more', async (context) => {
    const { jwks: document } = await createSigner('x');
    const clock = fakeClock();
    const jwks = jwksAt(
      context,
      await serve(context, (_request, response) => response.end(JSON.stringify(document))),
      clock,
    );
    await jwks.start();
    clock.advance(86_400_000);
    assert.equal(jwks.current()?.keys.length, 1);
    clock.advance(1);
    assert.equal(jwks.current(), undefined);
  });

  test('that changed is announced', async (context) => {
    const signers = await Promise.all([createSigner('x', 'k1'), createSigner('x', 'k2')]);
    let served = 0;
    let changes = 0;
    const clock = fakeClock();
    const address = await serve(context, (_request, response) => response.end(JSON.stringify(signers[served]?.jwks)));
    const jwks = jwksAt(context, address, clock, () => changes++);
    await jwks.start();
    clock.advance(31_000);
    await jwks.lookFor('k2', 'RS256');
    assert.equal(changes, 0);
    served = 1;
    clock.advance(31_000);
    await jwks.lookFor('k2', 'RS256');
    assert.equal(changes, 1);
    assert.equal(jwks.current()?.keys[0]?.kid, 'k2');
  });

  const hostile: readonly (readonly [string, RequestListener])[] = [
    [
      'a body without an end',
      (_request, response) => {
        response.on('error', () => {});
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
          response.once('drain', more);
        };
        more();
      },
    ],
    ['a redirect', (_request, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end()],
    ['a page', (_request, response) => response.end('<html></html>')],
    ['no keys', (_request, response) => response.end('{"keys":[]}')],
    ['null', (_request, response) => response.end('null')],
    ['ten thousand keys', (_request, response) => response.end(JSON.stringify({ keys: Array(10_000).fill({}) }))],
    ['a cut connection', (_request, response) => response.destroy()],
  ];
  for (const [name, listener] of hostile) {
    test(`${name}: the last good one stays`, async (context) => {
      const { jwks: document } = await createSigner('x');
      let isHostile = false;
      const clock = fakeClock();
      const address = await serve(context, (request, response) => {
        if (isHostile) listener(request, response);
        else response.end(JSON.stringify(document));
      });
      const jwks = jwksAt(context, address, clock);
      await jwks.start();
      isHostile = true;
      clock.advance(31_000);
      await jwks.lookFor('k2', 'RS256');
      assert.equal(jwks.current()?.keys.length, 1);
      assert.ok(jwks.status().error);
    });
  }

  test('is found by discovery, for the issuer that was asked for only', async (context) => {
    const { jwks: document } = await createSigner('x');
    let named = '';
    const address = await serve(context, (request, response) => {
      if (request.url === '/jwks') response.end(JSON.stringify(document));
      else response.end(JSON.stringify({ issuer: named, jwks_uri: `${address}/jwks` }));
    });
    const discover = async (): Promise<unknown> =>
      keyOriginsOf({ ...issuer, issuer: address, discovery: true })[0]?.(new AbortController().signal);
    named = address;
    assert.deepEqual(JSON.parse(((await discover()) as { text: string }).text), document);
    named = 'https://other.test';
    await assert.rejects(discover(), /another issuer/);
  });

  test('is found as RFC 8414 has it where there is no OpenID Connect, and only there', async (context) => {
    const { jwks: document } = await createSigner('x');
    let openId = 404;
    const asked: string[] = [];
    const address = await serve(context, (request, response) => {
      asked.push(request.url ?? '');
      if (request.url === '/jwks') response.end(JSON.stringify(document));
      else if (request.url === '/.well-known/oauth-authorization-server/tenant/a') {
        response.end(JSON.stringify({ issuer: `${address}/tenant/a`, jwks_uri: `${address}/jwks` }));
      } else response.writeHead(openId).end();
    });
    const [origin] = keyOriginsOf({ ...issuer, issuer: `${address}/tenant/a`, discovery: true });
    const { signal } = new AbortController();
    assert.deepEqual(JSON.parse((await origin?.(signal))?.text ?? ''), document);
    assert.deepEqual(asked, [
      '/tenant/a/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/tenant/a',
      '/jwks',
    ]);
    // A server that fails has not said that there is nothing.
    openId = 503;
    await assert.rejects(async () => origin?.(signal), /503/);
    assert.equal(asked.length, 4);
  });

  test('comes from the first mirror that has one when its own server fails', async (context) => {
    const { jwks: document } = await createSigner('x');
    const asked: string[] = [];
    const server = (name: string, listener: RequestListener): Promise<string> =>
      serve(context, (request, response) => {
        asked.push(name);
        listener(request, response);
      });
    const down = await server('down', (_request, response) => response.destroy());
    const wrong = await server('wrong', (_request, response) => response.end('{"keys":[]}'));
    const good = await server('good', (_request, response) => response.end(JSON.stringify(document)));
    const jwks = createJwks({
      origins: keyOriginsOf({ ...issuer, jwks_uri: down, jwks_mirrors: [wrong, good, down] }),
      maxStaleMs: 86_400_000,
      clock: fakeClock(),
      random: () => 0.5,
      onFetched: () => {},
      onChanged: () => {},
    });
    context.after(jwks.stop);
    await jwks.start();
    assert.deepEqual(asked, ['down', 'wrong', 'good']);
    assert.equal(jwks.current()?.keys.length, 1);
  });

  test('may stand in the configuration', async () => {
    const { jwks: document } = await createSigner('x');
    const [origin] = keyOriginsOf({ ...issuer, jwks: { keys: [...document.keys] } });
    const fetched = await origin?.(new AbortController().signal);
    assert.equal(parseKeySet(fetched?.text ?? '').keys.length, 1);
  });

  test('outlives the process, until it is too old', async (context) => {
    const { jwks: document } = await createSigner('x');
    const directory = join(scratchFolder(context), 'keys');
    const clock = fakeClock();
    let up = true;
    const address = await serve(context, (_request, response) => {
      if (up) response.end(JSON.stringify(document));
      else response.destroy();
    });
    const begin = async (): Promise<Jwks> => {
      const jwks = createJwks({
        origins: keyOriginsOf({ ...issuer, jwks_uri: address }),
        store: createKeyStore(directory, issuer.issuer),
        maxStaleMs: 3_600_000,
        clock,
        random: () => 0.5,
        onFetched: () => {},
        onChanged: () => {},
      });
      context.after(jwks.stop);
      await jwks.start();
      return jwks;
    };
    assert.equal((await begin()).current()?.keys.length, 1);
    up = false;
    clock.advance(3_000_000);
    const second = await begin();
    assert.equal(second.current()?.keys.length, 1);
    clock.advance(700_000);
    assert.equal(second.current(), undefined, 'the time before the start counts');
    assert.equal((await begin()).current(), undefined);
    // Another issuer's file, and one that was tampered with, are none.
    assert.equal(
      await createKeyStore(directory, 'https://other.test/')
        .load()
        .catch(() => undefined),
      undefined,
    );
    for (const file of readdirSync(directory))
      writeFileSync(join(directory, file), '{"issuer":"https://i.test/","text":5}');
    assert.equal((await begin()).current(), undefined);
  });

  test('is not asked for without encryption, except on loopback', () => {
    for (const jwks_uri of [
      'http://idp.test/jwks',
      'ftp://idp.test/',
      'http://10.0.0.1/',
      'http://127.0.0.1.evil.test/',
    ]) {
      assert.throws(() => keyOriginsOf({ ...issuer, jwks_uri }), /https is needed/, jwks_uri);
    }
  });
});

test('keys that verify nothing safely are left out, and a set of only such keys is none', async () => {
  const { jwks } = await createSigner('x');
  const rsa = (bits: number): object =>
    generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const bad = [
    rsa(1024),
    privateKey.export({ format: 'jwk' }),
    { kty: 'oct', k: 'c2VjcmV0' },
    { ...jwks.keys[0], use: 'enc' },
    { ...jwks.keys[0], key_ops: ['sign'] },
    { ...jwks.keys[0], key_ops: 'verify' },
    { kty: 'RSA', n: '!!', e: 'AQAB' },
    null,
    'text',
  ];
  for (const key of bad) assert.throws(() => parseKeySet(JSON.stringify({ keys: [key] })), /no usable public key/);
  assert.equal(parseKeySet(JSON.stringify({ keys: [...bad, ...jwks.keys] })).keys.length, 1);
});
