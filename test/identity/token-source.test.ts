import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type TokenSources, tokensOf, withoutTokens } from '../../src/identity/token-source.ts';
import type { RequestFacts } from '../../src/model/facts.ts';
import { facts } from '../support/facts.ts';

const bearer: TokenSources = { header: 'authorization', scheme: 'bearer', cookie: null, query: null };
const plain: TokenSources = { header: 'X-Token', scheme: 'none', cookie: null, query: null };
const everywhere: TokenSources = { ...bearer, cookie: 'sid', query: 'access_token' };
const fromHeader = (token: string) => [{ source: 'header', token }];
const fromCookie = (token: string) => [{ source: 'cookie', token }];
const fromQuery = (token: string) => [{ source: 'query', token }];

const cookies = (...values: string[]): RequestFacts =>
  facts({ headerList: values.map((value) => ['cookie', value] as const) });

describe('a token in a header', () => {
  for (const [value, want] of [
    ['Bearer t', fromHeader('t')],
    ['bearer t', fromHeader('t')],
    ['BEARER  t ', fromHeader('t')],
    [' bEaReR t', fromHeader('t')],
    ['Bearer a b', fromHeader('a b')],
    ['Bearer', fromHeader('')],
    ['Bearer ', fromHeader('')],
    ['Bearer a\nb', fromHeader('a\nb')],
    ['', []],
    ['t', []],
    ['Bearert', []],
    ['Bearer\tt', fromHeader('\tt')],
    ['Bearer \tt', fromHeader('\tt')],
    ['Bearer=t', fromHeader('=t')],
    ['Bearer:t', fromHeader(':t')],
    ['Bearer \u00a0t\u2003', fromHeader('\u00a0t\u2003')],
    ['Bearer-t t', []],
    ['"Bearer" t', []],
    ['Basic Zm9v', []],
    ['Digest username="a", realm="b", nonce="c"', []],
    ['Bearer a,Bearer b', 'ambiguous'],
    ['Bearer a,Bearer a', 'ambiguous'],
    ['Bearer a,b', 'ambiguous'],
    ['Bearer a,', 'ambiguous'],
    ['Bearer,Bearer a', 'ambiguous'],
    [',Bearer a', 'ambiguous'],
    ['Basic a, Bearer b', 'ambiguous'],
    ['Bearer a, Basic b', 'ambiguous'],
    ['Negotiate a,bearer b', 'ambiguous'],
    ['Digest username="a",Bearer eyJ.a.b=', 'ambiguous'],
    ['Digest username="a",\tBEARER\tb', 'ambiguous'],
  ] as const) {
    test(`${JSON.stringify(value)} is ${JSON.stringify(want)}`, () => {
      assert.deepEqual(tokensOf(facts({ headers: { authorization: value } }), bearer), want);
      assert.deepEqual(tokensOf(facts({ headerList: [['Authorization', value]] }), bearer), want);
    });
  }

  test('is found in any spelling of the name', () => {
    for (const name of ['authorization', 'Authorization', 'AUTHORIZATION', 'aUTHORIZATION']) {
      assert.deepEqual(tokensOf(facts({ headers: { [name]: 'Bearer t' } }), bearer), fromHeader('t'));
      assert.deepEqual(
        tokensOf(facts({ headerList: [[name, 'Bearer t']] }), { ...bearer, header: 'AuthoriZation' }),
        fromHeader('t'),
      );
    }
    for (const name of ['x-authorization', 'authorization ', 'authorisation', 'proxy-authorization']) {
      assert.deepEqual(tokensOf(facts({ headers: { [name]: 'Bearer t' } }), bearer), []);
    }
  });

  test('is ambiguous when two headers differ, whatever their schemes', () => {
    for (const [a, b] of [
      ['Bearer a', 'Bearer b'],
      ['Bearer a', 'Basic b'],
      ['Basic b', 'Bearer a'],
      ['Bearer a', ''],
      ['Bearer', 'Bearer a'],
    ] as const) {
      const list = { headerList: [['Authorization', a] as const, ['authorization', b] as const] };
      assert.equal(tokensOf(facts(list), bearer), 'ambiguous', `${a} ${b}`);
      assert.equal(tokensOf(facts({ headers: { authorization: a, Authorization: b } }), bearer), 'ambiguous');
      const both = { headers: { authorization: a }, headerList: [['authorization', b] as const] };
      assert.equal(tokensOf(facts(both), bearer), 'ambiguous');
    }
  });

  test('that comes twice is one', () => {
    const headerList = [['authorization', 'Bearer t'] as const, ['Authorization', 'Bearer t'] as const];
    assert.deepEqual(tokensOf(facts({ headerList }), bearer), fromHeader('t'));
  });

  test('of its own is the whole value', () => {
    assert.deepEqual(tokensOf(facts({ headers: { 'x-token': ' t ' } }), plain), fromHeader('t'));
    assert.deepEqual(tokensOf(facts({ headers: { 'X-TOKEN': 'Bearer t' } }), plain), fromHeader('Bearer t'));
    assert.deepEqual(tokensOf(facts({ headers: { 'x-token': '' } }), plain), []);
    assert.equal(tokensOf(facts({ headers: { 'x-token': 'a,b' } }), plain), 'ambiguous');
    assert.equal(tokensOf(facts({ headers: { 'x-token': 'a', 'X-Token': 'b' } }), plain), 'ambiguous');
    assert.deepEqual(tokensOf(facts({ headers: { authorization: 'Bearer t' } }), plain), []);
  });
});

describe('a token in a cookie', () => {
  const sources: TokenSources = { ...bearer, cookie: 'sid' };
  for (const [value, want] of [
    ['sid=t', fromCookie('t')],
    ['a=1; sid=t; b=2', fromCookie('t')],
    ['a=1;sid=t;b=2', fromCookie('t')],
    ['sid="t"', fromCookie('t')],
    [' sid = t ', fromCookie('t')],
    ['sid=t==', fromCookie('t==')],
    ['sid=a=b', fromCookie('a=b')],
    ['sid="t', fromCookie('"t')],
    ['sid="a"b"', fromCookie('"a"b"')],
    ['sid=%74', fromCookie('%74')],
    ['sid=t; sid=t', fromCookie('t')],
    ['sid=t; sid="t"', fromCookie('t')],
    ['x="; sid=t; y="', fromCookie('t')],
    ['sid=', []],
    ['sid=""', []],
    ['sid', []],
    ['', []],
    ['SID=t', []],
    ['xsid=t', []],
    ['sid2=t', []],
    ['a=sid=t', []],
    ['__Host-sid=t', []],
    ['$sid=t', []],
    ['%73id=t', []],
    ['a=1,b=2; sid=t', fromCookie('t')],
    ['sid=a; sid=b', 'ambiguous'],
    ['sid=a;sid=', 'ambiguous'],
    ['sid=a; x=1; sid ="b"', 'ambiguous'],
    ['sid=\u00a0t', fromCookie('\u00a0t')],
    ['\u00a0sid=t', 'ambiguous'],
    ['sid\t=t', 'ambiguous'],
    ['sid=a,sid=b', 'ambiguous'],
    ['sid=a,b', 'ambiguous'],
    ['x=1,sid=t', 'ambiguous'],
    ['x=1, sid=t', 'ambiguous'],
    ['sid=t,b="q"', 'ambiguous'],
    ['x="1,sid=t"', 'ambiguous'],
  ] as const) {
    test(`${JSON.stringify(value)} is ${JSON.stringify(want)}`, () => {
      assert.deepEqual(tokensOf(cookies(value), sources), want);
      assert.deepEqual(tokensOf(facts({ headers: { Cookie: value } }), sources), want);
    });
  }

  test('may be in any of several Cookie headers, and in one value only', () => {
    assert.deepEqual(tokensOf(cookies('a=1', 'sid=t; b=2'), sources), fromCookie('t'));
    assert.equal(tokensOf(cookies('sid=a', 'sid=b'), sources), 'ambiguous');
  });

  test('is not looked for when no cookie is configured', () =>
    assert.deepEqual(tokensOf(cookies('sid=t'), bearer), []));
});

describe('a token in the query', () => {
  const sources: TokenSources = { ...bearer, query: 'access_token' };
  for (const [path, want] of [
    ['/?access_token=t', fromQuery('t')],
    ['/a?b=1&access_token=t&c', fromQuery('t')],
    ['?access_token=t', fromQuery('t')],
    ['/?access%5Ftoken=t', fromQuery('t')],
    ['/?%61ccess_token=%74', fromQuery('t')],
    ['/?access_token=a%2Eb', fromQuery('a.b')],
    ['/?access_token=a+b', fromQuery('a b')],
    ['/?access_token=a=b', fromQuery('a=b')],
    ['/?access_token=a,b', fromQuery('a,b')],
    ['/?access_token=a?b', fromQuery('a?b')],
    ['/?access_token=%C3%A4', fromQuery('ä')],
    ['/?access_token=t#f', fromQuery('t')],
    ['/?access_token=t&access_token=t', fromQuery('t')],
    ['/?access_token=t&access%5ftoken=%74', fromQuery('t')],
    ['/?x=%zz&access_token=t', fromQuery('t')],
    ['/?x=a;b&access_token=t', fromQuery('t')],
    ['/?access_token=a%3Bb', fromQuery('a;b')],
    ['/?access_token', []],
    ['/?access_token=', []],
    ['/', []],
    ['', []],
    ['/?', []],
    ['/access_token=t', []],
    ['/#?access_token=t', []],
    ['/?ACCESS_TOKEN=t', []],
    ['/?access_token[]=t', []],
    ['/?access-token=t', []],
    ['/?access+token=t', []],
    ['/?access_token%00=t', []],
    ['/?%20access_token=t', []],
    ['/?access%255Ftoken=t', []],
    ['/?x=access_token=t', []],
    ['/?x=%26access_token=t', []],
    ['/?access_token=a&access_token=b', 'ambiguous'],
    ['/?access_token=a&access_token', 'ambiguous'],
    ['/?access_token=a&access%5ftoken=b', 'ambiguous'],
    ['/?access_token=%zz', 'ambiguous'],
    ['/?access_token=a%', 'ambiguous'],
    ['/?access_token=%ff', 'ambiguous'],
    ['/?access_token=%c0%ae', 'ambiguous'],
    ['/?access_token=%ed%a0%80', 'ambiguous'],
    ['/?access_token=a;b', 'ambiguous'],
    ['/?x=1;access_token=t', 'ambiguous'],
    ['/?x=1;access%5ftoken=t', 'ambiguous'],
    ['/?access_token=a;access_token=a', 'ambiguous'],
  ] as const) {
    test(`${path} is ${JSON.stringify(want)}`, () => {
      assert.deepEqual(tokensOf(facts({ path }), sources), want);
    });
  }

  test('is not looked for when no parameter is configured', () => {
    assert.deepEqual(tokensOf(facts({ path: '/?access_token=a&access_token=b' }), bearer), []);
  });
});

test('every place is told, the header first', () => {
  const request = facts({
    path: '/?access_token=q',
    headers: { authorization: 'Bearer h', cookie: 'sid=c' },
  });
  assert.deepEqual(tokensOf(request, everywhere), [...fromHeader('h'), ...fromCookie('c'), ...fromQuery('q')]);
  assert.deepEqual(tokensOf(facts({}), everywhere), []);
});

test('one ambiguous place is enough', () => {
  const request = facts({ path: '/?access_token=a&access_token=b', headers: { authorization: 'Bearer h' } });
  assert.equal(tokensOf(request, everywhere), 'ambiguous');
});

describe('a request without its tokens', () => {
  test('has no token header, in whatever spelling it came, and keeps other schemes', () => {
    assert.deepEqual(withoutTokens(facts({ headers: { AUTHORIZATION: 'bearer t' } }), bearer), {
      headersToRemove: ['AUTHORIZATION'],
      cookie: undefined,
      queryParametersToRemove: [],
    });
    const twice = facts({ headerList: [['Authorization', 'Bearer t'] as const, ['authorization', 'Bearer'] as const] });
    assert.deepEqual(withoutTokens(twice, bearer).headersToRemove, ['Authorization', 'authorization']);
    assert.deepEqual(withoutTokens(facts({ headers: { authorization: 'Basic a' } }), bearer).headersToRemove, []);
    assert.deepEqual(withoutTokens(facts({ headers: { 'X-token': 'a' } }), plain).headersToRemove, ['X-token']);
  });

  test('keeps the other cookies as they were', () => {
    const left = (...values: string[]) => withoutTokens(cookies(...values), everywhere).cookie;
    assert.equal(left('a=1; sid=t; b="2"'), 'a=1; b="2"');
    assert.equal(left('a=1;sid="t";b = 2'), 'a=1; b = 2');
    assert.equal(left('sid=t'), '');
    assert.equal(left('sid=t; ; sid=t'), '');
    assert.equal(left('sid='), '');
    assert.equal(left('a=1', 'sid=t; b=2'), 'a=1; b=2');
    assert.equal(left('a=1; xsid=t'), undefined);
    assert.equal(left('SID=t;;'), undefined);
    assert.equal(left('x=1,sid=t; b=2'), 'b=2');
    assert.equal(withoutTokens(facts({}), everywhere).cookie, undefined);
    assert.equal(withoutTokens(cookies('sid=t'), bearer).cookie, undefined);
  });

  test('names query parameters as they came: Envoy compares them undecoded', () => {
    const path = '/?a=1&access%5ftoken=x&access_token=%zz&access_token=y&%61ccess_token#access_tokeN=';
    assert.deepEqual(withoutTokens(facts({ path }), everywhere).queryParametersToRemove, [
      'access%5ftoken',
      'access_token',
      '%61ccess_token',
    ]);
    assert.deepEqual(withoutTokens(facts({ path }), bearer).queryParametersToRemove, []);
  });
});
