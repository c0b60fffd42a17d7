import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readX509Response, type X509Choice } from '../../../src/identity/workload-api/x509-svid.ts';
import { type IssueOptions, issue, selfSigned } from '../../support/certificates.ts';
import { createScope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';
import { createTrustDomain, derOf, keyOf, type Svid, x509Response } from '../../support/spiffe.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const domain = createTrustDomain(folder, 'example.org');
const other = createTrustDomain(folder, 'other.org');
const first = domain.svid('/first');
const second = domain.svid('/second');
const given = (svid: Svid, bundle = domain.bundle): Svid & { readonly bundle: Buffer } => ({ ...svid, bundle });
const read = (message: Buffer, over: Partial<X509Choice> = {}): ReturnType<typeof readX509Response> =>
  readX509Response(message, { spiffeId: undefined, trustDomains: [], nowMs: Date.now(), ...over });

describe('an answer with X509-SVIDs', () => {
  test('gives the first SVID, its key, when it ends, and the bundle of its trust domain', () => {
    const context = read(x509Response([given(first), given(second)], [other]));
    assert.equal(context.id.spiffe_id, first.id);
    assert.deepEqual(
      context.chain.map(({ raw }) => raw),
      [first.chain],
    );
    assert.deepEqual(context.key.export({ format: 'der', type: 'pkcs8' }), first.key);
    assert.ok(context.startsMs <= Date.now() && context.expiresMs > Date.now());
    assert.deepEqual([...context.bundles.keys()], ['example.org'], 'bundles that nobody asked for are left out');
    assert.equal(context.bundles.get('example.org')?.length, 1);
  });

  test('gives the SVID that is asked for, and bundles of other trust domains that are', () => {
    const message = x509Response([given(first), given(second)], [other]);
    const context = read(message, { spiffeId: second.id, trustDomains: ['other.org', 'third.org', 'example.org'] });
    assert.equal(context.id.spiffe_id, second.id);
    assert.deepEqual([...context.bundles.keys()], ['example.org', 'other.org']);
    assert.deepEqual(context.bundles.get('other.org')?.[0]?.raw, other.bundle);
  });

  test('may have intermediate certificates, in their order', () => {
    const middle = issue(domain.authority, folder, 'middle', {
      ...{ san: 'URI:spiffe://example.org', usage: '', constraints: 'CA:TRUE,pathlen:0', keyUsage: 'keyCertSign' },
    });
    const id = 'spiffe://example.org/below';
    const leaf = issue(middle, folder, 'below', { san: `URI:${id}` });
    const [leafDer, middleDer, key] = [derOf(leaf.cert), derOf(middle.cert), keyOf(leaf.key)];
    const svid = (chain: Buffer): Svid => ({ id, pair: leaf, chain, key });
    assert.equal(read(x509Response([given(svid(Buffer.concat([leafDer, middleDer])))])).chain.length, 2);
    const refused = (chain: Buffer, message: RegExp): void =>
      assert.throws(() => read(x509Response([given(svid(chain))])), message);
    refused(leafDer, /does not end at the trust bundle/);
    refused(Buffer.concat([leafDer, first.chain]), /an intermediate certificate is no authority/);
    refused(Buffer.concat([leafDer, domain.bundle, middleDer]), /no chain/);
  });

  test('that is the same has the same digest, and any other another one', () => {
    const digest = (message: Buffer): string => read(message, { trustDomains: ['other.org'] }).digest;
    const same = digest(x509Response([given(first)], [other]));
    assert.equal(digest(x509Response([given(first), given(second)], [other])), same);
    assert.notEqual(digest(x509Response([given(second)], [other])), same);
    assert.notEqual(digest(x509Response([given(first)])), same);
    assert.notEqual(digest(x509Response([given(first, Buffer.concat([domain.bundle, other.bundle]))], [other])), same);
  });
});

describe('an answer that cannot be used is refused:', () => {
  const half = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length / 2);
  const leaf = (options: IssueOptions, path = '/odd'): Svid => domain.svid(path, options);
  const encrypted = join(folder, 'encrypted.der');
  const conversion = ['pkcs8', '-topk8', '-in', first.pair.key, '-outform', 'DER', '-passout', 'pass:x'];
  execFileSync('openssl', [...conversion, '-out', encrypted], { stdio: 'pipe' });
  const ec = execFileSync('openssl', ['ec', '-in', first.pair.key, '-outform', 'DER'], { stdio: 'pipe' });
  const bad: readonly (readonly [string, Buffer | (() => Buffer), RegExp])[] = [
    ['noise', randomBytes(1000), /no X509SVIDResponse/],
    ['half a message', half(x509Response([given(first)])), /no X509SVIDResponse/],
    ['nested groups', Buffer.alloc(1_000_000, 0x0b), /no X509SVIDResponse/],
    ['no SVID', x509Response([]), /^Error: no SVID$/],
    ['nothing', Buffer.alloc(0), /^Error: no SVID$/],
    ['a thousand SVIDs', x509Response(Array(1000).fill(given(first))), /more than 100 SVIDs/],
    ['no certificate', x509Response([given({ ...first, chain: Buffer.alloc(0) })]), /SVID: there is no certificate/],
    ['half a certificate', x509Response([given({ ...first, chain: half(first.chain) })]), /SVID: half an element/],
    ['noise for a certificate', x509Response([given({ ...first, chain: Buffer.from('3003020101', 'hex') })]), /SVID: /],
    ['PEM', x509Response([given({ ...first, chain: readFileSync(first.pair.cert) })]), /SVID: /],
    [
      'PEM inside of DER',
      () => {
        const pem = Buffer.concat([Buffer.from('\n'), readFileSync(first.pair.cert)]);
        const head = Buffer.from([0x04, 0x82, pem.length >> 8, pem.length & 255]);
        return x509Response([given({ ...first, chain: Buffer.concat([head, pem]) })]);
      },
      /SVID: a certificate cannot be read/,
    ],
    [
      'a long chain',
      x509Response([given({ ...first, chain: Buffer.concat(Array(17).fill(first.chain)) })]),
      /more than 16/,
    ],
    ['no key', x509Response([given({ ...first, key: Buffer.alloc(0) })]), /the key: there is none/],
    ['a huge key', x509Response([given({ ...first, key: Buffer.alloc(20_000, 0x30) })]), /the key: .*too large/],
    ['half a key', x509Response([given({ ...first, key: half(first.key) })]), /the key: it cannot be read/],
    [
      'an encrypted key',
      x509Response([given({ ...first, key: readFileSync(encrypted) })]),
      /the key: it cannot be read/,
    ],
    ['a key that is not PKCS #8', x509Response([given({ ...first, key: ec })]), /the key: it cannot be read/],
    ["another SVID's key", x509Response([given({ ...first, key: second.key })]), /the key does not belong to it/],
    ['no bundle', x509Response([given(first, Buffer.alloc(0))]), /the trust bundle: there is no certificate/],
    ['half a bundle', x509Response([given(first, half(domain.bundle))]), /the trust bundle: half an element/],
    ["another trust domain's bundle", x509Response([given(first, other.bundle)]), /does not end at the trust bundle/],
    [
      'a bundle with a leaf',
      x509Response([given(first, Buffer.concat([domain.bundle, second.chain]))]),
      /no authority/,
    ],
    ['no SPIFFE ID', x509Response([given({ ...first, id: '' })]), /not that of a workload/],
    [
      'the ID of a trust domain',
      x509Response([given({ ...first, id: 'spiffe://example.org' })]),
      /not that of a workload/,
    ],
    ["another SVID's ID", x509Response([given({ ...first, id: second.id })]), /another SPIFFE ID/],
    [
      "another trust domain's ID",
      x509Response([given({ ...first, id: 'spiffe://other.org/first' })]),
      /another SPIFFE ID/,
    ],
    [
      'two URIs',
      x509Response([given(leaf({ san: 'URI:spiffe://example.org/odd,URI:https://a.test/' }))]),
      /2 URI names/,
    ],
    ['no URI', x509Response([given(leaf({ san: 'DNS:example.org' }))]), /0 URI names/],
    ['no names', x509Response([given(leaf({ san: '' }))]), /0 URI names/],
    ['another URI', x509Response([given(leaf({ san: 'URI:https://example.org/odd' }))]), /not the SPIFFE ID/],
    ['an authority', x509Response([given(leaf({ constraints: 'CA:TRUE' }))]), /it is an authority/],
    ['a key for certificates', x509Response([given(leaf({ keyUsage: 'digitalSignature,keyCertSign' }))]), /key usage/],
    ['a key for revocation lists', x509Response([given(leaf({ keyUsage: 'digitalSignature,cRLSign' }))]), /key usage/],
    ['no key usage', x509Response([given(leaf({ keyUsage: '' }))]), /key usage/],
    ['a key for agreement', x509Response([given(leaf({ keyUsage: 'keyAgreement' }))]), /not for signatures/],
    ['a client only', x509Response([given(leaf({ usage: 'clientAuth' }))]), /extended key usage/],
    ['a server only', x509Response([given(leaf({ usage: 'serverAuth' }))]), /extended key usage/],
  ];
  for (const [name, message, error] of bad) {
    test(name, () => assert.throws(() => read(Buffer.isBuffer(message) ? message : message()), error));
  }

  test('one whose time is not now', () => {
    const message = x509Response([given(first)]);
    assert.throws(() => read(message, { nowMs: Date.now() - 86_400_000 }), /not valid before/);
    assert.throws(() => read(message, { nowMs: Date.now() + 90 * 86_400_000 }), /has expired/);
  });

  test('one without the SVID that is asked for', () => {
    const message = x509Response([given(first), given(second)]);
    assert.throws(() => read(message, { spiffeId: 'spiffe://example.org/third' }), /none of the 2 SVIDs is that of/);
  });

  test('a federated bundle that is wanted and cannot be read', () => {
    const message = x509Response([given(first)], [{ ...other, bundle: half(other.bundle) }]);
    assert.throws(() => read(message, { trustDomains: ['other.org'] }), /the bundle of other\.org: half an element/);
    read(message);
  });

  test('and no error repeats what was in it', () => {
    for (const [, message] of bad) {
      try {
        read(Buffer.isBuffer(message) ? message : message());
      } catch (error) {
        assert.ok(String(error).length < 200 && !String(error).includes('BEGIN'), String(error));
      }
    }
  });
});

test('an SVID without extended key usages is one for everything', () => {
  const svid = domain.svid('/plain', { usage: '' });
  assert.equal(read(x509Response([given(svid)])).id.spiffe_id, svid.id);
});

test('an authority that signs for itself is no SVID', () => {
  const id = 'spiffe://example.org/self';
  const pair = selfSigned(folder, 'self', [
    `subjectAltName=URI:${id}`,
    'keyUsage=critical,digitalSignature,keyCertSign',
  ]);
  const svid: Svid = { id, pair, chain: derOf(pair.cert), key: keyOf(pair.key) };
  assert.throws(() => read(x509Response([given(svid, svid.chain)])), /it is an authority/);
});
