import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { readRequest } from '../../src/envoy/request.ts';
import { createIdentify } from '../../src/identity/identify.ts';
import type { Identity } from '../../src/model/identity.ts';
import { encodeRequest } from '../support/grpc.ts';
import { createSigner, type Signer } from '../support/tokens.ts';

const vouched = 'https://envoy.test/';
const keyed = 'https://keys.test/';
const NAMESPACE = 'envoy.filters.http.jwt_authn';
const now = Math.floor(Date.now() / 1000);
const payload = (over: object = {}): object => ({ iss: vouched, sub: 'ann', exp: now + 600, iat: now, ...over });

type Sent = {
  readonly payload?: unknown;
  readonly header?: unknown;
  readonly headers?: { readonly [name: string]: string };
  readonly path?: string;
  readonly metadata?: object;
};
type Told = Identity | readonly [reason: string, cause: string];
type Callers = { readonly ask: (sent: Sent) => Promise<Told>; readonly signer: Signer; readonly envoySigner: Signer };

/** Callers as configured, asked through the bytes that Envoy would send. */
async function callersOf(context: TestContext, metadata: object | null = {}, over: object = {}): Promise<Callers> {
  const [signer, envoySigner] = await Promise.all([createSigner(keyed), createSigner(vouched)]);
  const place = metadata === null ? null : { namespace: NAMESPACE, key: 'jwt_payload', ...metadata };
  const vouchedIssuer = metadata === null ? [] : [{ issuer: vouched, verified_by: 'envoy', ...over }];
  const identity = {
    token: { metadata: place, cookie: 'session' },
    rules: [
      { paths: ['/open'], token: 'optional' },
      { paths: ['/none'], token: 'forbidden' },
    ],
    issuers: [...vouchedIssuer, { issuer: keyed, jwks: signer.jwks }],
  };
  const loaded = loadConfig({
    text: JSON.stringify({ postern: { identity } }),
    ...{ env: {}, set: [], setFile: [], readText: () => '', isReadable: () => true },
  });
  assert.ok(loaded.ok && loaded.config.postern.identity !== undefined, JSON.stringify(loaded));
  const identification = createIdentify({
    config: loaded.config.postern.identity,
    clock: { wallMs: () => now * 1000, monotonicMs: () => 0 },
    random: () => 0.5,
    log: { warn: () => {} },
    onCache: () => {},
    onKeys: () => {},
    onReady: () => {},
  });
  context.after(identification.stop);
  await identification.start();
  assert.ok(identification.isReady());
  const ask = async (sent: Sent): Promise<Told> => {
    const { headers = {}, path = '/', header, payload: told } = sent;
    const found = {
      ...(told === undefined ? {} : { jwt_payload: told }),
      ...(header === undefined ? {} : { jwt_header: header }),
    };
    const filterMetadata = sent.metadata ?? (Object.keys(found).length === 0 ? {} : { [NAMESPACE]: found });
    const request = { http: { method: 'GET', path, host: 'h', scheme: 'http', headers } };
    const bytes = encodeRequest({ attributes: { request, metadataContext: { filterMetadata } } });
    const result = await identification.identify(readRequest(Buffer.from(bytes)));
    if (!result.ok) return [result.reason, result.cause];
    assert.ok(result.identity);
    return result.identity;
  };
  return { ask, signer, envoySigner };
}
const reasonOf = (told: Told): string => (Array.isArray(told) ? String(told[0]) : 'accepted');
const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` });
/** A token whose signature nobody has made. */
const forged = (claims: object | string): string => {
  const part = (value: object | string): string =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', kid: 'k1' })}.${part(claims)}.AAAA`;
};

describe('a payload in the metadata', () => {
  test('is a caller, without what only the text of the token tells', async (context) => {
    const { ask } = await callersOf(context);
    const claims = payload({ roles: ['a', 1, true, null, { b: -0.5 }], tenant: 'x' });
    const told = await ask({ payload: claims });
    assert.deepEqual(JSON.parse(JSON.stringify(told)), {
      ...{ authenticated: true, issuer: vouched, subject: 'ann', claims },
      token: { expires_at: now + 600, source: 'metadata' },
    });
  });

  test('has numbers as a token spells them, up to what a double holds', async (context) => {
    const { ask } = await callersOf(context);
    const numbers = { a: 1e6, b: 12345678.5, c: 1e-7, d: 1e21, e: 9007199254740993n.toString() };
    const told = await ask({ payload: payload({ ...numbers, e: Number(numbers.e) }) });
    assert.ok(!Array.isArray(told));
    const { claims } = told as Identity;
    const { a, b, c, d, e } = claims as { [name: string]: number };
    assert.equal(JSON.stringify([a, b, c, d, e]), '[1000000,12345678.5,1e-7,1e+21,9007199254740992]');
  });

  test('is checked as a token is', async (context) => {
    const { ask } = await callersOf(context, {}, { audiences: ['api'], required_claims: ['tenant'] });
    const good = { aud: ['other', 'api'], tenant: 't' };
    assert.equal(reasonOf(await ask({ payload: payload(good) })), 'accepted');
    const { exp: _, ...without } = payload(good) as { exp: number };
    const bad: readonly (readonly [string, unknown])[] = [
      ['token_issuer', payload({ ...good, iss: 5 })],
      ['token_issuer', payload({ ...good, iss: 'https://envoy.test' })],
      ['token_issuer', payload({ ...good, iss: [vouched] })],
      ['token_issuer', { sub: 'ann' }],
      ['token_issuer', {}],
      ['token_audience', payload({ ...good, aud: 'other' })],
      ['token_audience', payload({ tenant: 't' })],
      ['token_claims', payload({ aud: 'api' })],
      ['token_claims', payload({ aud: 'api', tenant: null })],
      ['token_claims', payload({ ...good, sub: '' })],
      ['token_claims', payload({ ...good, sub: 7 })],
      ['token_claims', without],
      ['token_claims', payload({ ...good, exp: String(now + 600) })],
      ['token_claims', payload({ ...good, exp: 'NaN' })],
      ['token_claims', payload({ ...good, exp: null })],
      ['token_claims', payload({ ...good, exp: [now + 600] })],
      ['token_claims', payload({ ...good, exp: -1 })],
      ['token_claims', payload({ ...good, exp: 1e308 })],
      ['token_claims', payload({ ...good, exp: now + 400 * 86_400 })],
      ['token_expired', payload({ ...good, exp: now - 61 })],
      ['token_expired', payload({ ...good, exp: 0 })],
      ['token_not_yet_valid', payload({ ...good, nbf: now + 120 })],
      ['token_not_yet_valid', payload({ ...good, iat: now + 120 })],
    ];
    for (const [reason, told] of bad)
      assert.equal(reasonOf(await ask({ payload: told })), reason, JSON.stringify(told));
    assert.equal(reasonOf(await ask({ payload: payload({ ...good, exp: now - 59 }) })), 'accepted', 'the leeway');
  });

  test('that is no object, or is too deep or too large for a token, is refused', async (context) => {
    const { ask } = await callersOf(context);
    const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
    for (const odd of [null, [], [payload()], 'a', JSON.stringify(payload()), 5, true]) {
      assert.equal(reasonOf(await ask({ payload: odd })), 'token_malformed', JSON.stringify(odd));
      assert.equal(
        reasonOf(await ask({ payload: odd, path: '/open' })),
        'token_malformed',
        'also where none is needed',
      );
    }
    assert.equal(reasonOf(await ask({ payload: payload({ a: nested(40) }) })), 'token_malformed');
    for (const large of [
      { a: 'x'.repeat(9000) },
      { a: Array(9000).fill(0) },
      Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`claim-${i}`, true])),
    ]) {
      assert.equal(reasonOf(await ask({ payload: payload(large) })), 'token_too_large');
    }
    const plan = await ask({ payload: JSON.parse(`{"__proto__": {"iss": "${vouched}"}, "constructor": 1}`) as object });
    assert.equal(reasonOf(plan), 'token_issuer');
  });

  test('is looked for in its namespace, under its key, and only when that is configured', async (context) => {
    const { ask } = await callersOf(context);
    for (const metadata of [
      { 'envoy.filters.http.jwt_authn2': { jwt_payload: payload() } },
      { [NAMESPACE]: { payload: payload() } },
      { [NAMESPACE]: payload() },
      { [NAMESPACE]: {} },
      {},
    ]) {
      assert.equal(reasonOf(await ask({ metadata })), 'token_missing', JSON.stringify(metadata));
    }
    const without = await callersOf(context, null);
    for (const told of [payload(), payload({ iss: keyed }), 'odd']) {
      assert.equal(reasonOf(await without.ask({ payload: told })), 'token_missing');
      assert.equal(reasonOf(await without.ask({ payload: told, path: '/none' })), 'accepted');
    }
    const own = await without.signer.sign({ sub: 'bob' });
    const told = await without.ask({ payload: payload({ iss: keyed }), headers: bearer(own) });
    assert.equal((told as Identity).subject, 'bob');
  });

  test('counts as a token for the rules', async (context) => {
    const { ask } = await callersOf(context);
    assert.equal(reasonOf(await ask({})), 'token_missing');
    assert.deepEqual(await ask({ path: '/open' }), { authenticated: false });
    assert.equal(((await ask({ path: '/open', payload: payload() })) as Identity).subject, 'ann');
    for (const told of [payload(), 'odd', null]) {
      assert.equal(reasonOf(await ask({ path: '/none', payload: told })), 'token_forbidden');
    }
    assert.deepEqual(await ask({ path: '/none' }), { authenticated: false });
  });
});

describe('the header in the metadata', () => {
  const config = { header_key: 'jwt_header' };

  test('tells the algorithm, the key and the type', async (context) => {
    const { ask } = await callersOf(context, config, { typ: 'at+jwt', algorithms: ['ES256'] });
    const header = { alg: 'ES256', kid: 'k', typ: 'at+jwt' };
    const told = (await ask({ payload: payload(), header })) as Identity;
    assert.deepEqual(told.token, { alg: 'ES256', kid: 'k', expires_at: now + 600, source: 'metadata' });
    const bad: readonly (readonly [string, unknown])[] = [
      ['token_claims', { ...header, typ: 'JWT' }],
      ['token_claims', { alg: 'ES256' }],
      ['token_algorithm', { ...header, alg: 'RS256' }],
      ['token_algorithm', { ...header, alg: 'none' }],
      ['token_algorithm', { ...header, alg: ['ES256'] }],
      ['token_algorithm', { typ: 'at+jwt' }],
      ['token_malformed', { ...header, kid: 5 }],
      ['token_malformed', undefined],
      ['token_malformed', null],
      ['token_malformed', 'ES256'],
      ['token_malformed', [header]],
    ];
    for (const [reason, odd] of bad) {
      assert.equal(reasonOf(await ask({ payload: payload(), header: odd })), reason, JSON.stringify(odd));
    }
  });

  test('alone is no token', async (context) => {
    const { ask } = await callersOf(context, config);
    assert.equal(reasonOf(await ask({ header: { alg: 'ES256' } })), 'token_missing');
  });
});

describe('a token whose issuer only Envoy can verify', () => {
  test('counts for nothing without its payload, whoever signed it', async (context) => {
    const { ask, envoySigner } = await callersOf(context);
    const token = await envoySigner.sign({ sub: 'ann' });
    for (const path of ['/', '/open']) {
      assert.equal(reasonOf(await ask({ headers: bearer(token), path })), 'token_issuer');
      assert.equal(reasonOf(await ask({ headers: { cookie: `session=${token}` }, path })), 'token_issuer');
    }
  });

  test('may come beside its payload when it says the same, in whatever order and spelling', async (context) => {
    const { ask } = await callersOf(context, { space_delimited_claims: ['scope'] });
    const claims = { iss: vouched, sub: 'ann', exp: now + 600, scope: 'a  b', n: [1, { x: 1.5e3 }], z: null };
    const same = [
      forged(claims),
      forged(`{"z":null,"n":[1.0,{"x":15e2}],"scope":"a b","exp":${now + 600}.0,"sub":"\\u0061nn","iss":"${vouched}"}`),
    ];
    for (const token of same) {
      const sent = { payload: { ...claims, scope: ['a', 'b'] } };
      for (const headers of [
        bearer(token),
        { cookie: `session=${token}` },
        { ...bearer(token), cookie: `session=${token}` },
      ]) {
        const told = (await ask({ ...sent, headers })) as Identity;
        assert.equal(told.subject, 'ann');
        assert.equal(told.token?.source, 'metadata');
      }
      assert.equal(reasonOf(await ask({ ...sent, headers: bearer(token), path: '/none' })), 'token_forbidden');
    }
  });

  test('is refused when any of its claims is another, since it would go upstream', async (context) => {
    const { ask } = await callersOf(context, { space_delimited_claims: ['scope'] });
    const claims = {
      iss: vouched,
      sub: 'ann',
      exp: now + 600,
      roles: ['user'],
      tenant: 9007199254740992,
      scope: ['a'],
    };
    const { roles: _, ...without } = claims;
    const other: readonly (object | string)[] = [
      { ...claims, roles: ['admin'] },
      { ...claims, roles: ['user', 'admin'] },
      { ...claims, roles: 'user' },
      { ...claims, roles: { 0: 'user' } },
      { ...claims, admin: true },
      without,
      { ...claims, sub: 'root' },
      { ...claims, tenant: '9007199254740992' },
      { ...claims, scope: 'a admin' },
      JSON.stringify(claims).replace('9007199254740992', '9007199254740993'),
      JSON.stringify(claims).replace('"roles":["user"]', '"roles":["user"],"roles":["user"]'),
      '[]',
      'nonsense',
    ];
    for (const text of other) {
      const reason = reasonOf(await ask({ payload: claims, headers: bearer(forged(text)) }));
      assert.ok(['token_issuer', 'token_malformed'].includes(reason), `${JSON.stringify(text)}: ${reason}`);
    }
    const good = forged(claims);
    assert.equal(reasonOf(await ask({ payload: claims, headers: bearer(good) })), 'accepted');
    for (const [headers, reason] of [
      [bearer('opaque'), 'token_malformed'],
      [bearer(''), 'token_malformed'],
      [bearer(`${good}${'A'.repeat(9000)}`), 'token_too_large'],
      [{ authorization: `Bearer ${good},Bearer ${good}` }, 'authorization_ambiguous'],
      [{ ...bearer(good), cookie: `session=${good}x` }, 'authorization_ambiguous'],
      [{ cookie: `session=${good}; session=${forged({ ...claims, admin: true })}` }, 'authorization_ambiguous'],
    ] as const) {
      assert.equal(reasonOf(await ask({ payload: claims, headers })), reason);
    }
  });
});

describe('a token that can be verified, beside a payload', () => {
  test('is verified, and must be the same one', async (context) => {
    const { ask, signer } = await callersOf(context);
    const claims = { sub: 'bob', jti: '1', big: 1 };
    const token = await signer.sign({ ...claims, iat: now, exp: now + 600 });
    const own = { iss: keyed, ...claims, iat: now, exp: now + 600 };
    assert.equal(reasonOf(await ask({ payload: own })), 'accepted', 'Envoy may vouch for it alone');
    for (let i = 0; i < 2; i++) {
      const told = (await ask({ payload: { ...own, big: 2 }, headers: bearer(token) })) as Identity;
      assert.equal(told.token?.source, 'header');
      assert.equal(told.claims?.['big'], 1, 'its own claims count, with every digit');
    }
    for (const other of [
      { jti: '2' },
      { sub: 'eve' },
      { iat: now - 1 },
      { exp: now + 601 },
      { aud: 'x' },
      { nbf: 1 },
    ]) {
      const reason = reasonOf(await ask({ payload: { ...own, ...other }, headers: bearer(token) }));
      assert.equal(reason, 'authorization_ambiguous', JSON.stringify(other));
    }
    assert.equal(reasonOf(await ask({ payload: payload(), headers: bearer(token) })), 'authorization_ambiguous');
    assert.equal(reasonOf(await ask({ payload: 'odd', headers: bearer(token) })), 'token_malformed');
    const unsigned = `${token.slice(0, token.lastIndexOf('.'))}.AAAA`;
    assert.equal(reasonOf(await ask({ payload: own, headers: bearer(unsigned) })), 'token_signature');
    assert.equal(reasonOf(await ask({ payload: own, headers: bearer(forged(own)) })), 'token_signature');
  });
});
