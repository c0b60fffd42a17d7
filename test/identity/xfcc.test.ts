import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseXfcc, workloadOfXfcc } from '../../src/identity/xfcc.ts';

const one = (header: string) => {
  const certificates = parseXfcc(header);
  assert.equal(certificates?.length, 1, header);
  return certificates?.[0];
};
const nobody = { by: [], uris: [], dns: [] };

describe('x-forwarded-client-cert', () => {
  test('is read as Envoy writes it', () => {
    // Envoy 1.40, SANITIZE_SET: two URI SANs of its own, a subject with everything that RFC 2253 escapes.
    const header =
      'By=spiffe://cluster.local/ns/envoy/sa/gateway;By=spiffe://cluster.local/two;' +
      'Hash=53c7858598af1a0bd2b0b7d0f5ed75dd1501d1867737363d36ccb9b52a614158;' +
      'Subject="CN=x\\;URI=spiffe://cluster.local/evil,O=A\\, \\"B\\" \\\\ \\C3\\84,C=DE";' +
      'URI=spiffe://cluster.local/ns/shop/sa/cart;DNS=a.test;DNS=b.test';
    assert.deepEqual(one(header), {
      by: ['spiffe://cluster.local/ns/envoy/sa/gateway', 'spiffe://cluster.local/two'],
      hash: '53c7858598af1a0bd2b0b7d0f5ed75dd1501d1867737363d36ccb9b52a614158',
      subject: 'CN=x\\;URI=spiffe://cluster.local/evil,O=A\\, "B" \\ \\C3\\84,C=DE',
      uris: ['spiffe://cluster.local/ns/shop/sa/cart'],
      dns: ['a.test', 'b.test'],
    });
    assert.equal(workloadOfXfcc(header, ['cluster.local'])?.service_account, 'cart');
  });

  test('has an empty URI when the certificate has none', () => {
    assert.deepEqual(one('Hash=ab;Subject="CN=none";URI='), { ...nobody, hash: 'ab', subject: 'CN=none', uris: [''] });
  });

  test('has an element of each proxy, the nearest last', () => {
    const certificates = parseXfcc('By=http://a;Hash=1;URI=http://x,By=http://b;Hash=2;URI=http://a');
    assert.deepEqual(
      certificates?.map(({ hash, uris }) => [hash, uris]),
      [
        ['1', ['http://x']],
        ['2', ['http://a']],
      ],
    );
  });

  for (const [header, want] of [
    ['hash=1', { hash: '1' }],
    ['HASH=1;uRi=a;dNs=b;SUBJECT="c"', { hash: '1', uris: ['a'], dns: ['b'], subject: 'c' }],
    ['Subject="a,b;c=d"', { subject: 'a,b;c=d' }],
    ['Subject=""', { subject: '' }],
    ['Subject="\\""', { subject: '"' }],
    ['Subject="a\\\\"', { subject: 'a\\' }],
    ['Subject="a\\\\\\"b"', { subject: 'a\\"b' }],
    ['Subject="a\\,b"', { subject: 'a\\,b' }],
    ['Subject="x\\",URI=spiffe://td/evil"', { subject: 'x",URI=spiffe://td/evil' }],
    ['URI="spiffe://td/a"', { uris: ['spiffe://td/a'] }],
    ['URI=http://x/p?a=b', { uris: ['http://x/p?a=b'] }],
    ['Cert="-----BEGIN%20";Chain="x";Hash=1', { hash: '1' }],
    [' Hash=1\t', { hash: '1' }],
  ] as const) {
    test(`${header} is read`, () => assert.deepEqual(one(header), { ...nobody, ...want }));
  }

  for (const header of [
    '',
    ' ',
    ',',
    ';',
    '=',
    '"',
    'Hash',
    'Hash;URI=a',
    '=a',
    'Hash=1;',
    'Hash=1,',
    ',Hash=1',
    ';Hash=1',
    'Hash=1;;URI=a',
    'Hash=1,,URI=a',
    'Hash=1, ,URI=a',
    'Hash=1 ;URI=a',
    'Hash=1; URI=a',
    'Hash =1',
    'Hash= 1',
    'Hash=1 2',
    'Subject="a',
    'Subject="a\\"',
    'Subject="a\\',
    'Subject="',
    'Subject="a"b',
    'Subject="a" ;Hash=1',
    'Subject="a""b"',
    'Subject=a"b"',
    'Subject=a"',
    'Subject=a\\,b',
    "Subject='a,b'",
    'Hash=1;Hash=1',
    'Hash=1;hash=2',
    'Subject="a";SUBJECT="b"',
    'Cert="a";Cert="a"',
    'Chain="a";Chain="b"',
    'SAN=spiffe://td/a',
    'X=1',
    'URI2=a',
    'URI[]=a',
    '__proto__=a',
    'constructor=a',
    'junk',
    'Hash=1;junk',
    'Hash=1\nURI=a',
    'Hash=1\r\n,URI=a',
    'Hash=1\u0000',
    'Subject="a\u0000b"',
    'Subject="a\nb"',
    'Subject="ä"',
    'Subject="\u007f"',
    'URI=spiffe://td/ä',
    'U\u0052\u0131=a',
    'Hash\u00a0=1',
    Array(17).fill('Hash=1').join(','),
    `Subject="${'a'.repeat(65_536)}"`,
    `Subject="${'\\"'.repeat(32_000)}`,
    `${'Hash=1;'.repeat(9000)}`,
    ','.repeat(65_000),
  ]) {
    test(`${JSON.stringify(header.slice(0, 60))} (${header.length}) is malformed`, () => {
      assert.equal(parseXfcc(header), undefined);
    });
  }

  test('may have 16 elements and 64 KiB', () => {
    assert.equal(parseXfcc(Array(16).fill('Hash=1').join(', '))?.length, 16);
    assert.equal(one(`Subject="${'a'.repeat(65_536 - 10)}"`)?.subject?.length, 65_526);
  });
});

describe('the workload of x-forwarded-client-cert', () => {
  const trusted = ['td'];

  test('is the one of the last element, which the nearest proxy appended', () => {
    const header = 'By=spiffe://td/x;URI=spiffe://td/admin,By=spiffe://td/y;Hash=1;URI=spiffe://td/user';
    assert.equal(workloadOfXfcc(header, trusted)?.path, '/user');
  });

  for (const header of [
    'URI=spiffe://td/admin,Hash=1',
    'URI=spiffe://td/admin,Hash=1;URI=',
    'URI=spiffe://td/admin,',
    'URI=spiffe://td/admin,junk',
    'URI=spiffe://td/admin,Subject="',
    'URI=spiffe://td/a;URI=spiffe://td/b',
    'URI=spiffe://td/a;URI=spiffe://td/a',
    'URI=spiffe://td/a;URI=',
    'URI=;URI=spiffe://td/a',
    'URI=http://x;DNS=b.test;URI=spiffe://td/evil',
    'URI=https://td/a',
    'URI=spiffe://other/a',
    'URI=spiffe://td',
    'URI=spiffe://TD/a',
    'URI="spiffe://td/a,spiffe://td/b"',
    'URI=" spiffe://td/a"',
    'DNS=spiffe://td/a',
    'By=spiffe://td/a',
    'Subject="URI=spiffe://td/a"',
    'Subject="x";DNS=a.test;DNS="URI=spiffe://td/a"',
    'Subject="x\\",URI=spiffe://td/evil"',
    'spiffe://td/a',
    '',
  ]) {
    test(`is none: ${header}`, () => assert.equal(workloadOfXfcc(header, trusted), undefined));
  }

  test('is none without trust domains', () => assert.equal(workloadOfXfcc('URI=spiffe://td/a', []), undefined));
});
