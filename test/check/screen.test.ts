import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { screen } from '../../src/check/screen.ts';
import { type FactsLike, facts } from '../support/facts.ts';

describe('postern.paths: standard', () => {
  const ambiguous = [
    '//admin',
    '///admin/x',
    '//',
    '/a/../admin',
    '/a/..',
    '/..',
    '/.',
    '/./admin',
    '/a/%2e%2e/admin',
    '/a/%2E%2e/admin',
    '/a/.%2e/admin',
    '/a/%2e./admin',
    '/%2e/admin',
    '/a/..%2fadmin',
    '/a%2f..%2fadmin',
    '/a%2F..%2Fadmin',
    '/a%5c..%5cadmin',
    '/a\\..\\admin',
    '\\admin',
    '/a\\b',
    '/a/..;/admin',
    '/a/..;x=1/admin',
    '/a/%2e%2e;/admin',
    '/a%00',
    '/a%0d%0ab',
    '/a%0A',
    '/a%7f',
    '/a%1f',
    '/%zz',
    '/a%',
    '/a%2',
    '/a#b',
    '/a?b#c',
    '/a b',
    '/a\tb',
    '/a\u0000',
    'admin',
    'http://h/admin',
    '?a=b',
    '*',
    '/a/%2e%2e',
    '/a/.%2E',
    '/a/%c0%ae%c0%ae/admin/..',
    '/a/%2e%2e%2fadmin',
  ].filter((path) => path !== '?a=b');
  for (const path of ambiguous) {
    test(`${JSON.stringify(path)} is refused`, () =>
      assert.equal(screen(facts({ path }), 'standard'), 'path_ambiguous'));
  }
  const plain = [
    '/',
    '/a',
    '/a/',
    '/a/b',
    '/a//b',
    '/a.b',
    '/a..b',
    '/...',
    '/.well-known/x',
    '/a/..b',
    '/%41',
    '/a%20b',
    '/a%2fb',
    '/a;b=c',
    '/ä',
    '/%E2%82%AC',
    '/a?b=/../c',
    '/a?b=%zz',
    '/a?x=//y',
    "/a'b",
    '/a:b@c',
    '',
  ];
  for (const path of plain) {
    test(`${JSON.stringify(path)} is let pass`, () => assert.equal(screen(facts({ path }), 'standard'), undefined));
  }
  test('* with OPTIONS and an authority with CONNECT are let pass', () => {
    assert.equal(screen(facts({ path: '*', method: 'OPTIONS' }), 'standard'), undefined);
    assert.equal(screen(facts({ path: 'h:443', method: 'CONNECT' }), 'standard'), undefined);
  });
  test('a fragment of its own is refused', () => {
    assert.equal(screen(facts({ fragment: 'x' }), 'standard'), 'path_ambiguous');
  });
});

test('postern.paths: strict also refuses encoded slashes, backslashes and parameters; off refuses none', () => {
  for (const path of ['/a%2fb', '/a%2Fb', '/a%5cb', '/a%5Cb', '/a;b']) {
    assert.equal(screen(facts({ path }), 'strict'), 'path_ambiguous', path);
    assert.equal(screen(facts({ path }), 'off'), undefined, path);
  }
  assert.equal(screen(facts({ path: '//a/../b%00', host: 'a b', method: 'get' }), 'off'), undefined);
});

test('hosts that are no hosts are refused', () => {
  for (const host of [
    'a@b',
    'user:pw@h',
    'h%2e',
    'a,b',
    'a b',
    'h\u0000',
    'h/x',
    'h?x',
    'h#x',
    '[::1',
    'h:port',
    'h:123456',
    'h:1:2',
    'http://h',
    'ä',
  ]) {
    assert.equal(screen(facts({ host }), 'standard'), 'host_invalid', host);
  }
  for (const host of [
    'api.test',
    'api.test:8080',
    '127.0.0.1',
    '[::1]:80',
    '[2001:db8::1]',
    'a_b',
    'xn--bcher-kva.test',
    '',
  ]) {
    assert.equal(screen(facts({ host }), 'standard'), undefined, host);
  }
});

test('methods that are no upper-case tokens are refused', () => {
  for (const method of ['get', 'GeT', 'GET ', 'G(T', 'GET\n', 'ГET']) {
    assert.equal(screen(facts({ method }), 'strict'), 'method_invalid', method);
  }
  for (const method of ['GET', 'PROPFIND', 'M-SEARCH', ''])
    assert.equal(screen(facts({ method }), 'strict'), undefined);
});

test('two Authorization values are refused, however they come and whatever postern.paths says', () => {
  const doubled: readonly FactsLike[] = [
    { headers: { authorization: 'Bearer a', Authorization: 'Bearer b' } },
    { headers: { authorization: 'Bearer a,Bearer b' } },
    { headers: { authorization: 'Bearer a, Basic b' } },
    { headers: { authorization: 'Basic a,Bearer b' } },
    {
      headerList: [
        ['authorization', 'Bearer a'],
        ['AUTHORIZATION', 'Bearer b'],
      ],
    },
    { headers: { authorization: 'Bearer a' }, headerList: [['authorization', 'Bearer b']] },
  ];
  for (const over of doubled) assert.equal(screen(facts(over), 'off'), 'authorization_ambiguous', JSON.stringify(over));
  const digest = 'Digest username="a", realm="b", nonce="c"';
  assert.equal(screen(facts({ headers: { authorization: digest } }), 'standard'), undefined);
});

test('one header in two spellings is refused', () => {
  assert.equal(screen(facts({ headers: { 'x-role': 'user', 'X-Role': 'admin' } }), 'standard'), 'headers_ambiguous');
  assert.equal(screen(facts({ headers: { 'X-ROLE': 'user', 'X-Role': 'admin' } }), 'standard'), 'headers_ambiguous');
  assert.equal(screen(facts({ headers: { 'X-Role': 'user', 'x-rule': 'admin' } }), 'standard'), undefined);
});
