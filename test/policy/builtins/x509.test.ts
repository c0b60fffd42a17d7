import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { derElement as der } from '../../../src/policy/builtins/x509/der.ts';
import { x509Builtins } from '../../../src/policy/builtins/x509.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { isArray, isRegoObject, RegoObject, type Value } from '../../../src/values/value.ts';

function call(name: string, ...args: readonly Value[]): Value | undefined {
  const builtin = x509Builtins.find((known) => known.name === name);
  assert.ok(builtin, name);
  return builtin.run(createContext(defaultHostOptions(), undefined), ...args);
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const oid = (content: string): Buffer => der(6, hex(content));
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const SPKI = publicKey.export({ format: 'der', type: 'spki' });
const PEM_KEY = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const ECDSA = der(0x30, oid('2a8648ce3d040302'));

const nameOf = (text: string): Buffer => der(0x30, der(0x31, der(0x30, oid('550403'), der(12, Buffer.from(text)))));
const extension = (id: string, value: Buffer, critical = false): Buffer =>
  der(0x30, oid(id), ...(critical ? [der(1, hex('ff'))] : []), der(4, value));
const AUTHORITY = extension('551d13', der(0x30, der(1, hex('ff'))), true);
const pathLength = (length: string): Buffer =>
  extension('551d13', der(0x30, der(1, hex('ff')), der(2, hex(length))), true);
const names = (...list: readonly Buffer[]): Buffer => extension('551d11', der(0x30, ...list));
const dns = (text: string): Buffer => der(0x82, Buffer.from(text));
const uri = (text: string): Buffer => der(0x86, Buffer.from(text));
const constraints = (side: number, ...list: readonly Buffer[]): Buffer =>
  extension('551d1e', der(0x30, der(side, ...list.map((base) => der(0x30, base)))), true);
const usage = (id: string): Buffer => extension('551d25', der(0x30, oid(id)));
const PERMITTED = 0xa0;
const EXCLUDED = 0xa1;
const CLIENT = '2b06010505070302';

function certificate(
  subject: string,
  issuer: string,
  extensions: readonly Buffer[],
  until = '20490101000000Z',
): Buffer {
  const validity = der(0x30, der(24, Buffer.from('20200101000000Z')), der(24, Buffer.from(until)));
  const body = [der(2, hex('05')), ECDSA, nameOf(issuer), validity, nameOf(subject), SPKI];
  const tbs = der(0x30, der(0xa0, der(2, hex('02'))), ...body, der(0xa3, der(0x30, ...extensions)));
  return der(0x30, tbs, ECDSA, der(3, hex('00'), sign('sha256', tbs, privateKey)));
}

const pem = (bytes: Buffer, type = 'CERTIFICATE'): string =>
  `-----BEGIN ${type}-----\n${bytes.toString('base64')}\n-----END ${type}-----\n`;

const ROOT = certificate('r', 'r', [AUTHORITY]);
const CA = certificate('i', 'r', [AUTHORITY]);
const VERIFY = 'crypto.x509.parse_and_verify_certificates';

function verified(certificates: readonly Buffer[], options?: { readonly [name: string]: Value }): number {
  const text = certificates.map((one) => pem(one)).join('');
  const result =
    options === undefined ? call(VERIFY, text) : call(`${VERIFY}_with_options`, text, RegoObject.from(options));
  assert.ok(isArray(result) && isArray(result[1]));
  assert.equal(result[0], result[1].length > 0);
  return result[1].length;
}

// Outcomes are those of OPA 1.22.2.
describe('chains of certificates', () => {
  const LEAF = certificate('l', 'i', [names(dns('a.example'))]);
  const CLIENT_LEAF = certificate('l', 'r', [usage(CLIENT)]);
  const CRITICAL_LEAF = certificate('l', 'r', [extension('2a0304', hex('00'), true)]);
  const SHORT_ROOT = certificate('r', 'r', [pathLength('00')]);
  const NO_CA = certificate('i', 'r', []);
  const OLD_CA = certificate('i', 'r', [AUTHORITY], '20210101000000Z');
  const constrained = (side: number, base: Buffer, name: Buffer): readonly Buffer[] => [
    certificate('r', 'r', [AUTHORITY, constraints(side, base)]),
    certificate('l', 'r', [names(name)]),
  ];
  for (const [title, length, chain, options] of [
    ['root, intermediate, leaf', 3, [ROOT, CA, LEAF], undefined],
    ['without the intermediate', 0, [ROOT, LEAF], undefined],
    ['the root twice', 1, [ROOT, ROOT], undefined],
    ['one certificate', 0, [ROOT], undefined],
    ['an intermediate that is no authority', 0, [ROOT, NO_CA, LEAF], undefined],
    ['an expired intermediate', 0, [ROOT, OLD_CA, LEAF], undefined],
    ['a root that allows no intermediates', 0, [SHORT_ROOT, CA, LEAF], undefined],
    ['a time before all', 0, [ROOT, CA, LEAF], { CurrentTime: 1 }],
    ['the host', 3, [ROOT, CA, LEAF], { DNSName: 'A.example.' }],
    ['another host', 0, [ROOT, CA, LEAF], { DNSName: 'b.example' }],
    ['a usage that the leaf has not', 0, [ROOT, CLIENT_LEAF], undefined],
    ['a usage that the leaf has', 2, [ROOT, CLIENT_LEAF], { KeyUsages: ['KeyUsageClientAuth'] }],
    ['any usage', 2, [ROOT, CLIENT_LEAF], { KeyUsages: ['KeyUsageAny'] }],
    ['an unknown critical extension', 0, [ROOT, CRITICAL_LEAF], undefined],
    ['a name below a permitted one', 2, constrained(PERMITTED, dns('example'), dns('a.example')), undefined],
    ['a name beside a permitted one', 0, constrained(PERMITTED, dns('example'), dns('an-example')), undefined],
    ['a wildcard over an excluded name', 0, constrained(EXCLUDED, dns('a.example'), dns('*.example')), undefined],
    ['a constrained URI without a host', 0, constrained(EXCLUDED, dns('x'), uri('urn:a:b')), undefined],
    ['constrained directory names', 0, constrained(EXCLUDED, der(0xa4, nameOf('x')), dns('a')), undefined],
  ] as const) {
    test(`${title}: ${length === 0 ? 'no chain' : `${length} certificates`}`, () => {
      assert.equal(verified(chain, options), length);
    });
  }

  test('options that are unknown or of another type are errors', () => {
    for (const [name, value] of [
      ['x', 1],
      ['KeyUsages', ['x']],
      ['CurrentTime', 1.5],
      ['DNSName', 1],
    ] as const) {
      assert.throws(() => verified([ROOT, CA, LEAF], { [name]: value }), BuiltinError);
    }
  });

  test('only so many signatures are checked', () => {
    const many = Array.from({ length: 300 }, (_, i) => certificate('i', 'i', [AUTHORITY, names(dns(`n${i}`))]));
    assert.equal(verified([ROOT, ...many, certificate('l', 'i', [])]), 0);
  });

  test('many names under many constraints take no quadratic time', { timeout: 5_000 }, () => {
    const trees = Array.from({ length: 15_000 }, (_, i) => dns(`x${i}.c`));
    const list = Array.from({ length: 15_000 }, (_, i) => dns(`a${i}.b.c`));
    const root = certificate('r', 'r', [AUTHORITY, constraints(EXCLUDED, ...trees)]);
    assert.equal(verified([root, certificate('l', 'r', [names(...list)])]), 2);
  });
});

describe('certificates and keys', () => {
  test('results with options have no URIs as text, others do', () => {
    const leaf = certificate('l', 'r', [names(uri('spiffe://a/b c'))]);
    const [plain] = call('crypto.x509.parse_certificates', pem(leaf)) as readonly Value[];
    assert.ok(isRegoObject(plain));
    assert.deepEqual(plain.get('URIStrings'), ['spiffe://a/b%20c']);
    const result = call(`${VERIFY}_with_options`, pem(ROOT) + pem(leaf), new RegoObject());
    const chain = isArray(result) && isArray(result[1]) ? result[1] : [];
    assert.ok(isRegoObject(chain[0]) && !chain[0].has('URIStrings'));
  });

  test('a certificate and its key are a pair', () => {
    const pair = call('crypto.x509.parse_keypair', pem(ROOT) + pem(CA), PEM_KEY);
    assert.ok(isRegoObject(pair) && isArray(pair.get('Certificate')));
    const other = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    assert.throws(() => call('crypto.x509.parse_keypair', pem(ROOT), other), BuiltinError);
  });

  test('no keys are null or an empty list', () => {
    assert.equal(call('crypto.parse_private_keys', ''), null);
    assert.deepEqual(call('crypto.parse_private_keys', pem(ROOT)), []);
    assert.equal(call('crypto.x509.parse_rsa_private_key', pem(ROOT)), null);
  });

  for (const [title, text] of [
    ['an integer of 100 kB', pem(der(0x30, der(0x30, der(2, Buffer.alloc(100_000, 1)))))],
    ['a length beyond the end', pem(hex('3084ffffffff00'))],
    ['an indefinite length', pem(hex('30800000'))],
    ['more after a certificate', pem(Buffer.concat([ROOT, hex('00')]))],
    ['an extension twice', pem(certificate('r', 'r', [AUTHORITY, AUTHORITY]))],
    ['a block of another type', PEM_KEY],
    ['text that is no base64', 'ä'],
  ] as const) {
    test(`${title} cannot be answered, nor verified`, () => {
      assert.throws(() => call('crypto.x509.parse_certificates', text), BuiltinError);
      assert.deepEqual(call(VERIFY, text), [false, []]);
    });
  }

  test('more than a megabyte ends the evaluation; as much of nothing is read soon', { timeout: 5_000 }, () => {
    for (const name of ['crypto.x509.parse_certificates', 'crypto.parse_private_keys', VERIFY]) {
      assert.throws(() => call(name, 'A'.repeat(1_048_577)), HaltError);
      call(name, '-----BEGIN CERTIFICATE-----'.concat('\n-----END X'.repeat(90_000)));
      call(name, '-----BEGIN CERTIFICATE-----\na:b\n-----END CERTIFICATE-----\n'.repeat(18_000));
    }
  });
});
