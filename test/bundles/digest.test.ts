import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestOf, isDocument } from '../../src/bundles/digest.ts';
import { createDocuments } from '../../src/bundles/documents.ts';
import { createRandom, randomJson } from '../support/random.ts';
import { scratchFolder } from '../support/servers.ts';
import { asFiles, type Files, payloadOf, signWithOpa } from '../support/signing.ts';

const digestsOf = (files: Files): { readonly [name: string]: string } => {
  const contents = asFiles(files);
  const documents = createDocuments(contents);
  return Object.fromEntries(
    [...contents].map(([name, content]) => [name, digestOf('SHA-256', isDocument(name) ? documents(name) : content)]),
  );
};
const digestsOfOpa = (folder: string, files: Files): { readonly [name: string]: string } =>
  Object.fromEntries(
    (payloadOf(signWithOpa(folder, files, 'EdDSA')).files as readonly { name: string; hash: string }[]).map(
      ({ name, hash }) => [name, hash],
    ),
  );

describe('a digest is what opa signs', () => {
  test('for JSON of all kinds', (context) => {
    const random = createRandom(20_26);
    const files = Object.fromEntries(
      Array.from({ length: 400 }, (_, i) => [`d${i}/data.${i % 4 === 0 ? 'yaml' : 'json'}`, randomJson(random)]),
    );
    assert.deepEqual(digestsOf(files), digestsOfOpa(scratchFolder(context), files));
  });

  test('for documents by their value, and for everything else by its bytes', (context) => {
    const names = ['.manifest', 'data.json', 'data.yaml', 'data.yml', 'a.manifest', 'other.json', 'patch.json'].concat([
      'x.yaml',
      'policy.wasm',
      'plan.json',
      'signatures.json',
      'mydata.json',
      'DATA.json',
      'data.json5',
    ]);
    const files = Object.fromEntries(names.map((name) => [`f/${name}`, '{ "b": 1, "a": 2 }']));
    assert.deepEqual(digestsOf(files), digestsOfOpa(scratchFolder(context), files));
  });

  test('and does not depend on spaces, order of keys or escapes, but on digits', () => {
    const of = (text: string): string | undefined => digestsOf({ 'data.json': text })['data.json'];
    assert.equal(of('{"a":"\\u00e9","b":[1,2]}'), of('{ "b" : [1, 2], "a" : "é" }'));
    assert.notEqual(of('{"a":1}'), of('{"a":1.0}'));
    assert.notEqual(of('{"a":1e3}'), of('{"a":1000}'));
  });
});

describe('a digest algorithm', () => {
  for (const [name, length] of Object.entries({
    'SHA-256': 64,
    'SHA-384': 96,
    'SHA-512': 128,
    'SHA-512-224': 56,
    'SHA-512-256': 64,
  })) {
    test(`${name} is accepted`, () => assert.equal(digestOf(name, Buffer.from('x')).length, length));
  }
  for (const name of ['MD5', 'SHA-1', 'SHA-224']) {
    test(`${name} is too weak`, () =>
      assert.throws(() => digestOf(name, Buffer.from('x')), { name: 'BundleError', message: /too weak/ }));
  }
  for (const name of ['', 'sha-256', 'SHA256', 'toString', '__proto__']) {
    test(`"${name}" is not known`, () => assert.throws(() => digestOf(name, Buffer.from('x')), /unknown digest/));
  }
});

test('keys that would be the same for OPA have no digest', () => {
  assert.throws(() => digestsOf({ 'data.json': '{"\\ud800":1,"\\ud801":2}' }), { name: 'BundleError' });
});
