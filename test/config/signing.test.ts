import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stringify } from 'yaml';
import { verificationOf } from '../../src/bundles/verification.ts';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { hideSecrets } from '../../src/lib/hide-secrets.ts';
import { keyPairFor, privatePem, publicPem } from '../support/signing.ts';

const load = (config: object): LoadedConfig =>
  loadConfig({
    text: stringify({ services: { s: { url: 'http://s' } }, ...config }),
    env: {},
    set: [],
    setFile: [],
    readText: () => '',
    isReadable: () => true,
  });
const rsa = publicPem(keyPairFor('RS256'));
const ec = { key: publicPem(keyPairFor('ES256')), algorithm: 'ES256', scope: 'write' };

describe('keys and signing', () => {
  test("have OPA's names and defaults", () => {
    const signing = { keyid: 'ec', scope: 'read', exclude_files: ['*.md'] };
    const loaded = load({
      keys: { rsa: { key: rsa }, ec, other: { private_key: 'secret' } },
      bundles: { a: { signing }, b: { signing: {} }, c: {} },
      postern: { bundles: { allow_rollback: ['a'] } },
    });
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(loaded.warnings, []);
    const { keys, bundles } = loaded.config;
    const known = {
      rsa: { pem: rsa, algorithm: 'RS256', scope: '' },
      ec: { pem: ec.key, algorithm: 'ES256', scope: 'write' },
    };
    assert.deepEqual(verificationOf(keys, bundles['a']?.signing), {
      keys: known,
      required: true,
      keyId: 'ec',
      scope: 'read',
      excludeFiles: ['*.md'],
      allowUnsignedDeltas: false,
    });
    const anything = { keys: known, keyId: '', scope: '', excludeFiles: [], allowUnsignedDeltas: false };
    assert.deepEqual(verificationOf(keys, bundles['b']?.signing), { ...anything, required: true });
    assert.deepEqual(verificationOf(keys, bundles['c']?.signing), { ...anything, required: false });
    assert.equal(verificationOf({}, undefined), undefined);
    assert.deepEqual(hideSecrets({ keys: { k: { key: 'public', private_key: 'p' } } }), {
      keys: { k: { key: 'public', private_key: 'hidden' } },
    });
  });

  test('are looked at when the configuration is, and each problem is named', () => {
    const loaded = load({
      keys: {
        secret: { key: 'x', algorithm: 'HS256' },
        odd: { key: rsa, algorithm: 'none' },
        empty: { algorithm: 'RS256' },
        text: { key: 'secret words' },
        private: { key: privatePem(keyPairFor('RS256')) },
        wrong: { key: rsa, algorithm: 'ES256' },
        only: { private_key: 'p' },
      },
      bundles: {
        a: { signing: { keyid: 'nobody' } },
        b: { signing: { keyid: 'only' } },
        c: { signing: { keyid: '__proto__', exclude_files: ['*', '[a'] } },
      },
      postern: { bundles: { allow_rollback: ['a', 'z'] } },
    });
    assert.ok(!loaded.ok);
    assert.deepEqual(loaded.problems, [
      'keys.secret.algorithm: HS256 is refused: with a shared secret, whatever verifies bundles could also sign them',
      'keys.odd.algorithm: must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA',
      'keys.empty: there is no key in it',
      'keys.text.key: no key in PEM',
      'keys.private.key: a private key, where the public one is due',
      'keys.wrong.key: a key of type rsa, and ES256 needs ec',
      'bundles.a.signing.keyid: keys has no public key called nobody',
      'bundles.b.signing.keyid: keys has no public key called only',
      'bundles.c.signing.keyid: keys has no public key called __proto__',
      'bundles.c.signing.exclude_files.1: no pattern: a bracket that is not closed',
      'postern.bundles.allow_rollback: no bundle is called z',
    ]);
  });

  const refused: readonly (readonly [name: string, config: object, problem: RegExp])[] = [
    ['signing without keys', { bundles: { a: { signing: {} } } }, /^bundles\.a\.signing: keys has no public key to/],
    ['signing without a value', { keys: { ec }, bundles: { a: { signing: null } } }, /^bundles\.a\.signing: must be/],
    ['signing that is a list', { keys: { ec }, bundles: { a: { signing: [] } } }, /^bundles\.a\.signing/],
    ['a misspelt option', { keys: { ec }, bundles: { a: { signing: { key_id: 'ec' } } } }, /key_id: unknown option/],
    ['an empty key id', { keys: { ec }, bundles: { a: { signing: { keyid: '' } } } }, /^bundles\.a\.signing\.keyid/],
    ['a misspelt option of a key', { keys: { a: { ...ec, alg: 'RS256' } } }, /^keys\.a\.alg: unknown option/],
  ];
  for (const [name, config, problem] of refused) {
    test(`with ${name} are refused`, () => {
      const loaded = load(config);
      assert.ok(!loaded.ok && loaded.problems.some((each) => problem.test(each)), JSON.stringify(loaded));
    });
  }
});
