import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import type { IdentityConfig, JwtSvidConfig } from '../../src/config/schema.ts';
import { createIdentify, type Identification } from '../../src/identity/identify.ts';
import type { Identity } from '../../src/model/identity.ts';
import { facts } from '../support/facts.ts';
import { eventually } from '../support/process.ts';
import { scratchFolder } from '../support/servers.ts';
import { createJwtAuthority, type JwtAuthority } from '../support/spiffe.ts';
import { createSigner, type Signer } from '../support/tokens.ts';

const issuer = 'https://i.test/';
const sub = 'spiffe://example.org/ns/shop/sa/cart';
const aud = 'postern';
const gateway = 'spiffe://mesh.test/ns/edge/sa/gateway';
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = (): number => Math.floor(Date.now() / 1000);

let own: JwtAuthority;
let foreign: JwtAuthority;
let x509: JwtAuthority;
let unused: JwtAuthority;
let idp: Signer;
before(async () => {
  // Every key with the same kid: what tells them apart must not be that.
  [own, foreign, x509, unused, idp] = await Promise.all([
    createJwtAuthority('k1'),
    createJwtAuthority('k1'),
    createJwtAuthority('k1', 'ES256', 'x509-svid'),
    createJwtAuthority('k1'),
    createSigner(issuer, 'k1', 'ES256'),
  ]);
});

type Over = { readonly jwtSvid?: Partial<JwtSvidConfig>; readonly identity?: Partial<IdentityConfig> };
type Setup = {
  readonly identification: Identification;
  readonly fetched: { readonly name: string; readonly ok: boolean }[];
  readonly warnings: string[];
  readonly folder: string;
  readonly advance: (ms: number) => void;
};

async function setUp(context: TestContext, over: Over = {}): Promise<Setup> {
  const folder = scratchFolder(context);
  const fileOf = (name: string, value: object): string => {
    const file = join(folder, name);
    writeFileSync(file, JSON.stringify(value));
    return file;
  };
  // An issuer's key set may hold anything: a SPIFFE bundle that is taken for one must have nothing for it.
  const jwks = { keys: [...idp.jwks.keys, own.jwk] };
  const bundle = {
    spiffe_sequence: 7,
    spiffe_refresh_hint: 600,
    keys: [own.jwk, x509.jwk, unused.bare, ...idp.jwks.keys],
  };
  let passed = 0;
  const fetched: Setup['fetched'] = [];
  const warnings: string[] = [];
  const identification = createIdentify({
    config: {
      required: true,
      token: { header: 'authorization', scheme: 'bearer', cookie: null, query: null, metadata: null, forward: true },
      rules: [],
      claims_to_headers: {},
      identity_headers: [],
      remove_forwarded: false,
      issuers: [
        {
          issuer,
          jwks_file: fileOf('jwks.json', jwks),
          verified_by: 'postern',
          discovery: false,
          audiences: [],
          algorithms: ['RS256', 'ES256'],
          leeway_seconds: 60,
          max_lifetime_seconds: 86_400,
          jwks_mirrors: [],
          allow_http: false,
          max_stale_seconds: 86_400,
          required_claims: [],
        },
      ],
      ...over.identity,
      workload: {
        trust_domains: ['mesh.test'],
        xfcc: false,
        jwt_svid: {
          audiences: [aud, 'other'],
          trust_domains: {
            'example.org': { bundle_file: fileOf('own.json', bundle), workload_api: false },
            'foreign.org': { bundle_file: fileOf('foreign.json', { keys: [foreign.jwk] }), workload_api: false },
          },
          algorithms: ['RS256', 'ES256', 'PS256', 'ES384'],
          leeway_seconds: 60,
          max_lifetime_seconds: 86_400,
          max_stale_seconds: 86_400,
          ...over.jwtSvid,
        },
      },
    },
    clock: { wallMs: () => Date.now() + passed, monotonicMs: () => performance.now() + passed },
    random: () => 0.5,
    log: { warn: (_fields, message) => warnings.push(message) },
    onCache: () => {},
    onKeys: (name, ok) => fetched.push({ name, ok }),
    onReady: () => {},
  });
  context.after(identification.stop);
  await identification.start();
  return { identification, fetched, warnings, folder, advance: (ms) => (passed += ms) };
}

async function serve(context: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Who that is, or why not. */
async function ask({ identification }: Setup, token: string, principal = ''): Promise<Identity | string> {
  const headers = { authorization: `Bearer ${token}` };
  const result = await identification.identify(facts({ headers, sourcePrincipal: principal }));
  return result.ok ? (result.identity ?? 'nobody') : result.reason;
}

const workload = {
  ...{ spiffe_id: sub, trust_domain: 'example.org', path: '/ns/shop/sa/cart' },
  ...{ namespace: 'shop', service_account: 'cart' },
};

describe('a JWT-SVID', () => {
  test('says which workload calls', async (context) => {
    const setup = await setUp(context);
    const exp = now() + 60;
    const token = await own.sign({ sub, aud, exp, more: { a: 1 } });
    const expected = {
      ...{ authenticated: true, issuer: 'spiffe://example.org', subject: sub },
      claims: { sub, aud, exp, more: { a: 1 } },
      token: { alg: 'ES256', kid: 'k1', expires_at: exp, source: 'header' },
      workload,
    };
    assert.deepEqual(await ask(setup, token), expected);
    assert.deepEqual(await ask(setup, token), expected, 'from memory');
  });

  test('may have an issuer that nobody knows, several audiences, no kid, and no or another typ', async (context) => {
    const setup = await setUp(context);
    const tokens = [
      await own.sign({ sub, aud, iss: 'https://spire.test/' }),
      await own.sign({ sub, aud: ['a', 'other'] }),
      await own.sign({ sub, aud }, { kid: undefined }),
      await own.sign({ sub, aud }, { typ: undefined }),
      await own.sign({ sub, aud }, { typ: 'JOSE' }),
      await own.sign({ sub, aud, exp: now() - 30 }),
    ];
    for (const token of tokens) assert.equal(((await ask(setup, token)) as Identity).subject, sub);
  });

  test('is refused when it is not what the specification says', async (context) => {
    const setup = await setUp(context);
    const key = createPublicKey({ key: own.jwk as { kty: string }, format: 'jwk' });
    const pem = key.export({ type: 'spki', format: 'pem' });
    const claims = { sub, aud, exp: now() + 60 };
    const unsigned = (header: object): string => `${part(header)}.${part(claims)}`;
    const hmac = (secret: string | Buffer): string => {
      const text = unsigned({ alg: 'HS256', kid: 'k1' });
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    };
    const [head = '', , signature = ''] = (await own.sign(claims)).split('.');
    const edwards = generateKeyPairSync('ed25519').privateKey;
    const eddsa = unsigned({ alg: 'EdDSA', kid: 'k1' });
    const tokens: readonly (readonly [string, string, string])[] = [
      ['no algorithm', `${unsigned({ kid: 'k1' })}.${signature}`, 'token_algorithm'],
      ['alg none', `${unsigned({ alg: 'none', kid: 'k1' })}.AA`, 'token_algorithm'],
      ['HMAC with the public key', hmac(String(pem)), 'token_algorithm'],
      ['EdDSA', `${eddsa}.${sign(null, Buffer.from(eddsa), edwards).toString('base64url')}`, 'token_algorithm'],
      ['an algorithm for another key', `${unsigned({ alg: 'RS256', kid: 'k1' })}.${signature}`, 'token_signature'],
      ['another payload', `${head}.${part({ ...claims, admin: true })}.${signature}`, 'token_signature'],
      ['another typ', await own.sign(claims, { typ: 'at+jwt' }), 'token_claims'],
      ['typ in other letters', await own.sign(claims, { typ: 'jwt' }), 'token_claims'],
      ['crit', `${unsigned({ alg: 'ES256', kid: 'k1', crit: ['x'], x: 1 })}.${signature}`, 'token_malformed'],
      ['b64', `${unsigned({ alg: 'ES256', kid: 'k1', crit: ['b64'], b64: false })}.${signature}`, 'token_malformed'],
      ['a key in the header', await foreign.sign(claims, { jwk: foreign.jwk }), 'token_signature'],
      ['an unknown kid', await own.sign(claims, { kid: 'k2' }), 'token_key_unknown'],
      ['no audience', await own.sign({ sub }), 'token_audience'],
      ['an empty audience', await own.sign({ sub, aud: [] }), 'token_audience'],
      ['another audience', await own.sign({ sub, aud: 'spiffe://example.org/other' }), 'token_audience'],
      ['part of an audience', await own.sign({ sub, aud: 'poster' }), 'token_audience'],
      ['no end', await own.sign({ sub, aud, exp: undefined as unknown as number }), 'token_claims'],
      ['an end in the past', await own.sign({ sub, aud, exp: now() - 61 }), 'token_expired'],
      ['an end far away', await own.sign({ sub, aud, exp: now() + 400 * 86_400 }), 'token_claims'],
      ['a beginning in the future', await own.sign({ sub, aud, nbf: now() + 120 }), 'token_not_yet_valid'],
      ['no path', await own.sign({ sub: 'spiffe://example.org', aud }), 'token_claims'],
      ['no subject', await own.sign({ aud }), 'token_issuer'],
      ['a subject that is no SPIFFE ID', await own.sign({ sub: 'cart', aud }), 'token_issuer'],
    ];
    for (const [name, token, reason] of tokens) assert.equal(await ask(setup, token), reason, name);
    const odd = [
      '/',
      '//x',
      '/a//b',
      '/a/../b',
      '/a/',
      '/a%2fb',
      '/a?b',
      '/a#b',
      ':80/a',
      '@evil.org/a',
      '\\a',
      ' ',
      '/a\0',
    ];
    for (const path of odd) {
      assert.equal(await ask(setup, await own.sign({ sub: `spiffe://example.org${path}`, aud })), 'token_issuer', path);
    }
    for (const subject of ['SPIFFE://example.org/a', 'spiffe://Example.org/a', 'https://example.org/a']) {
      assert.equal(await ask(setup, await own.sign({ sub: subject, aud })), 'token_issuer', subject);
    }
  });

  test('without a kid is verified with whichever key fits, past those of another kind', async (context) => {
    const rsa = await createJwtAuthority('k0', 'RS256');
    const file = join(scratchFolder(context), 'mixed.json');
    writeFileSync(file, JSON.stringify({ keys: [rsa.jwk, foreign.jwk, own.jwk] }));
    const trustDomains = { 'example.org': { bundle_file: file, workload_api: false } };
    const setup = await setUp(context, { jwtSvid: { trust_domains: trustDomains } });
    for (const signer of [own, rsa]) {
      assert.equal(((await ask(setup, await signer.sign({ sub, aud }, { kid: undefined }))) as Identity).subject, sub);
    }
  });

  test('is verified with the bundle of its own trust domain only', async (context) => {
    const setup = await setUp(context);
    const elsewhere = 'spiffe://foreign.org/ns/shop/sa/cart';
    assert.equal(((await ask(setup, await foreign.sign({ sub: elsewhere, aud }))) as Identity).subject, elsewhere);
    assert.equal(await ask(setup, await foreign.sign({ sub, aud })), 'token_signature');
    assert.equal(await ask(setup, await own.sign({ sub: elsewhere, aud })), 'token_signature');
    assert.equal(await ask(setup, await own.sign({ sub: 'spiffe://unknown.org/a', aud })), 'token_issuer');
    for (const name of ['__proto__', 'constructor', 'example.org.evil.test', 'org']) {
      assert.equal(await ask(setup, await own.sign({ sub: `spiffe://${name}/a`, aud })), 'token_issuer', name);
    }
  });

  test('is not verified with keys of the bundle that are for something else', async (context) => {
    const setup = await setUp(context);
    for (const signer of [x509, unused])
      assert.equal(await ask(setup, await signer.sign({ sub, aud })), 'token_signature');
  });
});

describe('issuers and trust domains are not mixed up:', () => {
  test("an issuer's key verifies no JWT-SVID, though the key is in the bundle", async (context) => {
    const setup = await setUp(context);
    for (const iss of [undefined, 'https://other.test/']) {
      assert.equal(await ask(setup, await idp.sign({ sub, aud, iss })), 'token_signature');
    }
  });

  test("a trust domain's key verifies no issuer's token, though the key is in the issuer's set", async (context) => {
    const setup = await setUp(context);
    for (const subject of [sub, 'ann']) {
      assert.equal(await ask(setup, await own.sign({ iss: issuer, sub: subject, aud })), 'token_signature');
    }
  });

  test("an issuer's token is no workload, whatever its subject", async (context) => {
    const setup = await setUp(context);
    const identity = (await ask(setup, await idp.sign({ sub }))) as Identity;
    assert.equal(identity.issuer, issuer);
    assert.equal(identity.subject, sub);
    assert.equal(identity.workload, undefined);
  });

  test('an issuer that is no text is nobody', async (context) => {
    const setup = await setUp(context);
    for (const iss of [5, null, [issuer], { a: issuer }, true]) {
      assert.equal(await ask(setup, await own.sign({ sub, aud, iss: iss as unknown as string })), 'token_issuer');
    }
  });

  test('without JWT-SVIDs in the configuration a token without a known issuer is refused as before', async (context) => {
    const setup = await setUp(context, { jwtSvid: { trust_domains: {} } });
    assert.equal(await ask(setup, await own.sign({ sub, aud })), 'token_issuer');
  });
});

describe('the workload of the connection', () => {
  const peer = {
    ...{ spiffe_id: gateway, trust_domain: 'mesh.test', path: '/ns/edge/sa/gateway' },
    ...{ namespace: 'edge', service_account: 'gateway' },
  };

  test('stands beside that of the token, which is the one that calls', async (context) => {
    const setup = await setUp(context);
    const token = await own.sign({ sub, aud });
    for (let i = 0; i < 2; i++) {
      const identity = (await ask(setup, token, gateway)) as Identity;
      assert.deepEqual([identity.workload, identity.peer_workload], [workload, peer]);
    }
    const other = (await ask(setup, token)) as Identity;
    assert.deepEqual([other.workload, other.peer_workload], [workload, undefined], 'nothing of it is remembered');
  });

  test('is both when the token is no JWT-SVID, or absent', async (context) => {
    const setup = await setUp(context, { identity: { required: false } });
    const identity = (await ask(setup, await idp.sign({ sub: 'ann' }), gateway)) as Identity;
    assert.deepEqual([identity.subject, identity.workload, identity.peer_workload], ['ann', peer, peer]);
    const result = await setup.identification.identify(facts({ sourcePrincipal: gateway }));
    assert.deepEqual(result, {
      ok: true,
      identity: { authenticated: false, workload: peer, peer_workload: peer },
    });
  });

  test('does not make a bad token good', async (context) => {
    const setup = await setUp(context);
    assert.equal(await ask(setup, await foreign.sign({ sub, aud }), gateway), 'token_signature');
  });
});

describe('a SPIFFE bundle', () => {
  const config = (place: object): Over => ({
    jwtSvid: { trust_domains: { 'example.org': { workload_api: false, ...place } } },
  });

  test('from a bundle endpoint is asked for again when its hint says so', async (context) => {
    let asked = 0;
    const address = await serve(context, (_request, response) => {
      asked++;
      response.end(JSON.stringify({ keys: [own.jwk], spiffe_refresh_hint: 100 }));
    });
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const setup = await setUp(context, config({ bundle_url: address }));
    assert.equal(((await ask(setup, await own.sign({ sub, aud }))) as Identity).subject, sub);
    context.mock.timers.tick(70_000);
    assert.equal(asked, 1);
    context.mock.timers.tick(10_000);
    context.mock.timers.reset();
    while (asked < 2) await new Promise((resolve) => setImmediate(resolve));
  });

  test('that cannot be had is a fault of ours: 503, and not ready', async (context) => {
    let up = false;
    const address = await serve(context, (_request, response) => {
      if (up) response.end(JSON.stringify({ keys: [own.jwk] }));
      else response.destroy();
    });
    const setup = await setUp(context, config({ bundle_url: address }));
    assert.equal(setup.identification.isReady(), false);
    assert.equal(await ask(setup, await own.sign({ sub, aud })), 'keys_unavailable');
    assert.deepEqual(
      setup.fetched.find(({ name }) => name === 'spiffe://example.org'),
      {
        ...{ name: 'spiffe://example.org', ok: false },
      },
    );
    up = true;
    await eventually(async () => (setup.identification.isReady() ? true : undefined));
    assert.equal(((await ask(setup, await own.sign({ sub, aud }))) as Identity).subject, sub);
    up = false;
    setup.advance(31_000);
    assert.equal(await ask(setup, await own.sign({ sub, aud }, { kid: 'k2' })), 'keys_unavailable', 'nobody can tell');
    assert.equal(((await ask(setup, await own.sign({ sub, aud }))) as Identity).subject, sub, 'known keys go on');
  });

  test('without authorities takes back those that were there, also from memory', async (context) => {
    let keys = [own.jwk];
    const address = await serve(context, (_request, response) => response.end(JSON.stringify({ keys })));
    const setup = await setUp(context, config({ bundle_url: address }));
    const token = await own.sign({ sub, aud });
    assert.equal(((await ask(setup, token)) as Identity).subject, sub);
    keys = [];
    setup.advance(31_000);
    assert.equal(await ask(setup, await own.sign({ sub, aud }, { kid: 'k2' })), 'token_key_unknown');
    assert.equal(await ask(setup, token), 'token_key_unknown');
    assert.ok(setup.identification.isReady());
    assert.ok(setup.warnings.includes('the bundle has no JWT authorities'));
  });

  test('that is older than the one at hand is not taken', async (context) => {
    let bundle = { spiffe_sequence: 8, keys: [foreign.jwk] };
    const address = await serve(context, (_request, response) => response.end(JSON.stringify(bundle)));
    const setup = await setUp(context, config({ bundle_url: address }));
    const look = async (): Promise<unknown> => {
      setup.advance(31_000);
      return ask(setup, await own.sign({ sub, aud }, { kid: 'k9' }));
    };
    bundle = { spiffe_sequence: 7, keys: [own.jwk] };
    assert.equal(await look(), 'keys_unavailable');
    assert.equal(await ask(setup, await own.sign({ sub, aud })), 'token_signature');
    bundle = { spiffe_sequence: 9, keys: [own.jwk] };
    assert.equal(await look(), 'token_key_unknown');
    assert.equal(((await ask(setup, await own.sign({ sub, aud }))) as Identity).subject, sub);
  });

  test('is not asked for without encryption, except on loopback', async (context) => {
    await assert.rejects(setUp(context, config({ bundle_url: 'http://bundles.test/' })), /https is needed/);
  });

  test('has authorities with a kid only', async (context) => {
    const setup = await setUp(context);
    const { kid: _kid, ...nameless } = own.jwk as { kid: string };
    writeFileSync(join(setup.folder, 'nameless.json'), JSON.stringify({ keys: [nameless] }));
    const other = await setUp(context, config({ bundle_file: join(setup.folder, 'nameless.json') }));
    assert.equal(await ask(other, await own.sign({ sub, aud })), 'token_key_unknown');
  });
});
