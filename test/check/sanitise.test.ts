import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { claimHeaders, headersToRemove, type SanitiseOptions } from '../../src/check/sanitise.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { parseExact } from '../../src/values/json.ts';
import { facts } from '../support/facts.ts';

const options: SanitiseOptions = {
  identityHeaders: ['x-user-*', 'X-Remote_User', 'x-groups'],
  claimsToHeaders: { sub: 'X-Subject', 'org.id': 'x-org' },
  removeForwarded: false,
};
const removed = (names: readonly string[], over: Partial<SanitiseOptions> = {}): readonly string[] => {
  const headers = Object.fromEntries(names.map((name) => [name, 'x']));
  const wanted = headersToRemove(facts({ headers }), { ...options, ...over });
  const headerList = names.map((name) => [name, 'x'] as const);
  assert.deepEqual(headersToRemove(facts({ headerList }), { ...options, ...over }), wanted);
  return wanted;
};

describe('headers that claim an identity', () => {
  test('are removed in the spelling that came', () => {
    const forged = [
      'x-user-id',
      'X-User-Id',
      'x_user_id',
      'X_USER-ID',
      'x.user.id',
      'x-user.id',
      'x-user_',
      'x-user-',
      'X-USER-A-B-C',
      'x~user~id',
      'x!user+id',
      "x'user`id",
      'x-user-id ',
      ' x-user-id',
      'x-remote-user',
      'X_REMOTE_USER',
      'x.remote.user',
      'x-groups',
      'X-GROUPS',
      'x-subject',
      'x_subject',
      'X-Subject',
      'x-org',
      'x.org',
    ];
    assert.deepEqual(removed(forged), forged);
  });

  test('are no others', () => {
    assert.deepEqual(
      removed([
        'x-user',
        'x-users-id',
        'xx-user-id',
        'x--user-id',
        'user-id',
        'x-group',
        'x-groups-2',
        'x-subject-x',
        'my-x-org',
        'accept',
        'x-forwarded-for',
        'x-forwarded-client-cert',
        ':path',
        ':authority',
      ]),
      [],
    );
  });

  test('that come twice are told once', () => {
    const headerList = [['x-user-id', 'a'] as const, ['x-user-id', 'b'] as const, ['X-User-Id', 'c'] as const];
    assert.deepEqual(headersToRemove(facts({ headerList }), options), ['x-user-id', 'X-User-Id']);
  });

  test('what earlier proxies said goes when that is configured', () => {
    const forwarded = [
      'x-forwarded-for',
      'X_Forwarded_For',
      'x-envoy-internal',
      'X-Forwarded-Client-Cert',
      'x.forwarded.client.cert',
    ];
    assert.deepEqual(removed([...forwarded, 'x-forwarded-proto'], { removeForwarded: true }), forwarded);
    assert.deepEqual(removed(forwarded), []);
  });

  test('pseudo-headers stay even when everything goes', () => {
    assert.deepEqual(removed(['a', ':path', ':authority'], { identityHeaders: ['*'] }), ['a']);
  });

  test('without any configured nothing is removed', () => {
    const none = { identityHeaders: [], claimsToHeaders: {} };
    assert.deepEqual(removed(['x-user-id', 'authorization', 'x-subject'], none), []);
  });
});

const someone = (claims: JsonObject): Identity => ({ authenticated: true, issuer: 'i', subject: 's', claims });
const headerOf = (claim: unknown): string | undefined =>
  claimHeaders(someone({ c: claim } as JsonObject), { c: 'x-c' })[0]?.[1];

describe('headers from claims', () => {
  test('come from verified claims only', () => {
    const claims = { sub: 'a' };
    assert.deepEqual(claimHeaders(someone(claims), { sub: 'x-subject' }), [['x-subject', 'a']]);
    assert.deepEqual(claimHeaders({ authenticated: false, claims }, { sub: 'x-subject' }), []);
    assert.deepEqual(claimHeaders({ authenticated: true }, { sub: 'x-subject' }), []);
    assert.deepEqual(claimHeaders(undefined, { sub: 'x-subject' }), []);
  });

  for (const [claim, want] of [
    ['a b', 'a b'],
    ['!~', '!~'],
    ['Smith, John', 'Smith, John'],
    [0, '0'],
    [-1.5, '-1.5'],
    [true, 'true'],
    [false, 'false'],
    [['a', 'b'], 'a,b'],
    [['a'], 'a'],
    ['x'.repeat(4096), 'x'.repeat(4096)],
    [['x'.repeat(4000), 'y'.repeat(95)], `${'x'.repeat(4000)},${'y'.repeat(95)}`],
  ] as const) {
    test(`${JSON.stringify(claim).slice(0, 40)} is passed on`, () => assert.equal(headerOf(claim), want));
  }

  test('numbers keep their digits', () => {
    const claims = parseExact('{"c": 12345678901234567890, "d": 1.0, "e": 1e400}') as JsonObject;
    assert.deepEqual(claimHeaders(someone(claims), { c: 'x-c', d: 'x-d', e: 'x-e' }), [
      ['x-c', '12345678901234567890'],
      ['x-d', '1.0'],
      ['x-e', '1e400'],
    ]);
    assert.equal(headerOf(Number.POSITIVE_INFINITY), undefined);
    assert.equal(headerOf(Number.NaN), undefined);
  });

  for (const claim of [
    null,
    '',
    ' ',
    ' admin',
    'admin ',
    'a\r\nx-role: admin',
    'a\nb',
    'a\rb',
    'a\u0000b',
    'a\tb',
    'a\u007f',
    'a\u001fb',
    'ä',
    'a\u0085b',
    'a\u2028b',
    'a\u010ab',
    '\ud800',
    [],
    [''],
    ['a', ''],
    ['a,b'],
    ['a', 'b,admin'],
    ['a', 1],
    ['a', null],
    ['a', ['b']],
    [' a'],
    ['a', 'b\r\nc'],
    ['ä'],
    [{ a: 1 }],
    { a: 1 },
    {},
    'x'.repeat(4097),
    ['x'.repeat(4000), 'y'.repeat(96)],
    Array(3000).fill('a'),
    Array(100_000).fill('a'),
  ]) {
    test(`${JSON.stringify(claim).slice(0, 40)} is left out`, () => assert.equal(headerOf(claim), undefined));
  }

  test('a dotted path leads into nested claims, a claim of that whole name comes first', () => {
    const claims = {
      realm_access: { roles: ['a', 'b'], deep: { er: 1 } },
      'https://t.test/tenant': 'acme',
      'x.y': 'whole',
      x: { y: 'nested' },
      list: ['a'],
      text: 'abc',
    };
    const found = (path: string): string | undefined => claimHeaders(someone(claims), { [path]: 'x-h' })[0]?.[1];
    assert.equal(found('realm_access.roles'), 'a,b');
    assert.equal(found('realm_access.deep.er'), '1');
    assert.equal(found('https://t.test/tenant'), 'acme');
    assert.equal(found('x.y'), 'whole');
    for (const path of [
      'realm_access',
      'realm_access.',
      '.realm_access.roles',
      'realm_access.roles.0',
      'list.0',
      'list.length',
      'text.length',
      'constructor.name',
      'realm_access.constructor.name',
      '__proto__.x',
      'toString',
      '',
      '.',
      'missing.deeper.still',
    ]) {
      assert.equal(found(path), undefined, path);
    }
  });

  test('names that are no header names give none', () => {
    for (const name of ['', ':path', 'x y', 'x\r\ny', 'x:', 'ä']) {
      assert.deepEqual(claimHeaders(someone({ sub: 'a' }), { sub: name }), []);
    }
  });
});
