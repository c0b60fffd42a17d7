import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseSpiffeId, workloadOf } from '../../src/identity/spiffe.ts';

describe('a SPIFFE ID', () => {
  test('has a trust domain and a path', () => {
    assert.deepEqual(parseSpiffeId('spiffe://staging.example.com/payments/mysql'), {
      spiffe_id: 'spiffe://staging.example.com/payments/mysql',
      trust_domain: 'staging.example.com',
      path: '/payments/mysql',
    });
  });

  test('of Kubernetes names a namespace and a service account', () => {
    assert.deepEqual(parseSpiffeId('spiffe://cluster.local/ns/shop/sa/cart'), {
      spiffe_id: 'spiffe://cluster.local/ns/shop/sa/cart',
      trust_domain: 'cluster.local',
      path: '/ns/shop/sa/cart',
      namespace: 'shop',
      service_account: 'cart',
    });
  });

  for (const path of [
    '/ns/shop/sa',
    '/ns/shop/sa/cart/pod',
    '/x/ns/shop/sa/cart',
    '/NS/shop/SA/cart',
    '/sa/cart/ns/shop',
    '/ns/shop/team/x/sa/cart',
  ]) {
    test(`with the path ${path} names neither`, () => {
      const workload = parseSpiffeId(`spiffe://cluster.local${path}`);
      assert.equal(workload?.path, path);
      assert.equal(workload?.namespace, undefined);
      assert.equal(workload?.service_account, undefined);
    });
  }

  for (const id of [
    'spiffe://a',
    'spiffe://1.2.3.4/x',
    'spiffe://a_b-c.d/x',
    'spiffe://td/A-Z_0.9',
    'spiffe://td/...',
    'spiffe://td/..a/.b/c..',
    'spiffe://td/ns/.../sa/.x',
    `spiffe://${'a'.repeat(255)}/x`,
    `spiffe://td/${'a'.repeat(2048 - 12)}`,
  ]) {
    test(`may be ${id.slice(0, 60)} (${id.length})`, () => assert.equal(parseSpiffeId(id)?.spiffe_id, id));
  }

  const malformed = [
    '',
    'spiffe',
    'spiffe:',
    'spiffe:/td/x',
    'spiffe://',
    'spiffe:///x',
    'SPIFFE://td/x',
    'Spiffe://td/x',
    'spiffes://td/x',
    'https://td/x',
    ' spiffe://td/x',
    'spiffe://td/x ',
    'spiffe://td/x\n',
    '\nspiffe://td/x',
    'spiffe://td/x\u0000',
    'spiffe://td /x',
    'spiffe://TD/x',
    'spiffe://tD/x',
    'spiffe://td:8443/x',
    'spiffe://td:/x',
    'spiffe://user@td/x',
    'spiffe://user:pw@td/x',
    'spiffe://@td/x',
    'spiffe://[::1]/x',
    'spiffe://t%64/x',
    'spiffe://tä/x',
    'spiffe://t\u212a/x',
    'spiffe://td\\x',
    'spiffe://td/',
    'spiffe://td/x/',
    'spiffe://td//x',
    'spiffe://td/x//y',
    'spiffe://td/.',
    'spiffe://td/..',
    'spiffe://td/./x',
    'spiffe://td/x/..',
    'spiffe://td/x/../admin',
    'spiffe://td/%2e%2e/admin',
    'spiffe://td/x%2fy',
    'spiffe://td/x%',
    'spiffe://td/x?a=b',
    'spiffe://td?a',
    'spiffe://td/x#f',
    'spiffe://td#',
    'spiffe://td/x;y',
    'spiffe://td/x:y',
    'spiffe://td/x@y',
    'spiffe://td/x~y',
    'spiffe://td/x+y',
    'spiffe://td/x y',
    'spiffe://td/x,spiffe://td/y',
    'spiffe://td/x;spiffe://td/y',
    'spiffe://td/x spiffe://td/y',
    'spiffe://td/x\nspiffe://td/y',
    'spiffe://td/\u0430dmin',
    'spiffe://td/x\u200b',
    'spiffe://td/x\ud800',
    'URI:spiffe://td/x',
    'URI=spiffe://td/x',
    'CN=spiffe://td/x',
    'td/x',
    `spiffe://${'a'.repeat(256)}/x`,
    `spiffe://td/${'a'.repeat(2048 - 11)}`,
    `spiffe://td${'/a'.repeat(100_000)}`,
  ];
  for (const id of malformed) {
    test(`is not ${JSON.stringify(id.slice(0, 60))} (${id.length})`, () => assert.equal(parseSpiffeId(id), undefined));
  }
});

describe('the workload of a principal', () => {
  test('is one of a trust domain that is listed', () => {
    assert.equal(workloadOf('spiffe://b.test/x', ['a.test', 'b.test'])?.path, '/x');
  });

  for (const [principal, domains] of [
    ['spiffe://a.test/x', []],
    ['spiffe://a.test/x', ['b.test']],
    ['spiffe://sub.a.test/x', ['a.test']],
    ['spiffe://a.test.evil/x', ['a.test']],
    ['spiffe://a-test/x', ['a.test']],
    ['spiffe://a.test/x', ['A.TEST']],
    ['spiffe://a.test/x', ['*']],
    ['spiffe://a.test/x', ['']],
    ['spiffe://a.test/x', ['a.test/x']],
    ['spiffe://a.test', ['a.test']],
    ['', ['']],
    ['a.test', ['a.test']],
    ['CN=a,O=b', ['a.test']],
    ['b.test,URI=spiffe://a.test/x', ['a.test']],
    ['spiffe://a.test/x,spiffe://a.test/y', ['a.test']],
  ] as const) {
    test(`is none: ${principal} with ${JSON.stringify(domains)}`, () => {
      assert.equal(workloadOf(principal, domains), undefined);
    });
  }
});
