import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { BundleError } from '../../src/bundles/error.ts';
import { type OpenedBundle, openBundle } from '../../src/bundles/open.ts';
import { unpack } from '../../src/bundles/unpack.ts';
import type { Verification } from '../../src/bundles/verification.ts';
import { signatureAlgorithms } from '../../src/lib/public-key.ts';
import { tool } from '../support/process.ts';
import { createRandom } from '../support/random.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import {
  asArchive,
  asFiles,
  type Files,
  jws,
  keyPairFor,
  payloadOf,
  privatePem,
  publicPem,
  signaturesOf,
  signWithOpa,
  verdictOfOpa,
  verificationWith,
  writeFiles,
} from '../support/signing.ts';

const NOW_S = 1_800_000_000;
const open = (files: Files, verification: Verification | undefined): OpenedBundle =>
  openBundle(asFiles(files), verification, NOW_S * 1000);
const verifiedOf = (opened: OpenedBundle) => (opened.kind === 'snapshot' ? opened.verified : undefined);

const scope = createScope();
after(scope.close);
const plain: Files = {
  '.manifest': '{"revision":"r1","roots":["a","b"]}',
  'a/data.json': '{"n":1.0,"s":"é"}',
  'b/data.yaml': 'x: [1, 2]\n',
  'README.md': 'read me',
};
const signed = signWithOpa(scratchFolder(scope), plain, 'RS256');
const payload = payloadOf(signed);
const header = { alg: 'RS256', kid: 'k', typ: 'JWT' };
const key = verificationWith('RS256');

/** The bundle under a signature by the right key, over something else. */
const resigned = (claims: object, head: object = header, files: Files = plain): Files => ({
  ...files,
  '.signatures.json': signaturesOf(jws(head, { ...payload, ...claims }, 'RS256')),
});
const listed = (change: (file: { name: string; hash: string; algorithm: string }) => object): Files =>
  resigned({ files: (payload.files as Parameters<typeof change>[0][]).map(change) });
const without = (files: Files, name: string): Files =>
  Object.fromEntries(Object.entries(files).filter(([each]) => each !== name));
const hashOf = (algorithm: string, content: string): string => createHash(algorithm).update(content).digest('hex');

describe('a bundle that opa has signed', () => {
  for (const algorithm of signatureAlgorithms) {
    test(`with ${algorithm} is accepted`, (context) => {
      const files = signWithOpa(scratchFolder(context), plain, algorithm, { iat: NOW_S - 10, iss: 'ci', scope: 's' });
      const opened = open(files, verificationWith(algorithm, { scope: 's' }));
      assert.equal(opened.kind, 'snapshot');
      assert.deepEqual(
        [opened.bundle.revision, JSON.stringify(opened.bundle.data)],
        ['r1', '{"a":{"n":1.0,"s":"é"},"b":{"x":[1,2]}}'],
      );
      const { keyId, issuedAt, issuer } = opened.verified ?? {};
      assert.deepEqual([keyId, issuedAt, issuer], ['k', NOW_S - 10, 'ci']);
    });
  }

  test('while building it, with a policy, is accepted', async (context) => {
    const folder = scratchFolder(context);
    writeFiles(join(folder, 'src'), { 'p.rego': 'package app\n\nallow if input.x\n', 'lists/data.json': '{"x":1}' });
    writeFileSync(join(folder, 'key.pem'), privatePem(keyPairFor('ES512')));
    const options = ['-t', 'wasm', '-e', 'app/allow', '-r', 'r9', '--signing-alg', 'ES512', '--signing-key', 'key.pem'];
    execFileSync(tool('opa'), ['build', ...options, '-o', 'b.tar.gz', '-b', 'src'], { cwd: folder, stdio: 'pipe' });
    const files = await unpack(readFileSync(join(folder, 'b.tar.gz')), 10_000_000);
    const keys = { default: { pem: publicPem(keyPairFor('ES512')), algorithm: 'ES512' as const, scope: '' } };
    const opened = openBundle(files, verificationWith('ES512', { keys, keyId: '' }), Date.now());
    assert.equal(opened.kind, 'snapshot');
    assert.deepEqual(
      opened.bundle.modules.map(({ path, entrypoints }) => [path, entrypoints]),
      [['policy.wasm', ['app/allow']]],
    );
    assert.equal(opened.verified?.keyId, 'default');
  });
});

type Row = readonly [name: string, files: Files, over?: Partial<Verification>];

const accepted: readonly Row[] = [
  ['as it is', signed],
  ['with other spaces and keys in another order', { ...signed, 'a/data.json': '{ "s" : "\\u00e9", "n" : 1.0 }' }],
  ['with YAML in another style', { ...signed, 'b/data.yaml': 'x:\n- 1\n- 0x2\n' }],
  ['by the key in its header', resigned({}), { keyId: '' }],
  ['by the key in its payload', resigned({ keyid: 'k' }, { alg: 'RS256' }), { keyId: '' }],
  ['by the configured key, whatever it says itself', resigned({ keyid: 'x' }, { alg: 'RS256', kid: 'y' })],
  ["with the key's scope", resigned({ scope: 's' }), { keys: scoped('s') }],
  ['with the configured scope', resigned({ scope: 's' }), { scope: 's', keys: scoped('t') }],
  ['with claims of its own', resigned({ custom: { a: [1] }, iat: NOW_S, exp: NOW_S + 1, nbf: NOW_S })],
  ['with digests in capitals', listed((file) => ({ ...file, hash: file.hash.toUpperCase() }))],
  ['with a changed file that is excluded', { ...signed, 'README.md': 'changed' }, { excludeFiles: ['*.md'] }],
  ['with a further file that is excluded', { ...signed, 'x/y.txt': '' }, { excludeFiles: ['x/*'] }],
  ['with SHA-512 digests of bytes', listed((file) => longer(file, 'SHA-512', 'sha512'))],
  ['with SHA-384 digests of bytes', listed((file) => longer(file, 'SHA-384', 'sha384'))],
  ['with SHA-512-256 digests of bytes', listed((file) => longer(file, 'SHA-512-256', 'sha512-256'))],
];

function scoped(name: string): Verification['keys'] {
  return { k: { pem: publicPem(keyPairFor('RS256')), algorithm: 'RS256', scope: name } };
}
function longer(file: { readonly name: string }, algorithm: string, digest: string): object {
  return file.name === 'README.md' ? { name: file.name, algorithm, hash: hashOf(digest, 'read me') } : file;
}

const { files: listing } = payload;
const other = signWithOpa(scratchFolder(scope), { ...plain, 'a/data.json': '{"n":2}' }, 'RS256');
const [token = ''] = (JSON.parse(String(signed['.signatures.json'])) as { signatures: string[] }).signatures;
const [head = '', body = '', mark = ''] = token.split('.');
const withSignatures = (text: string): Files => ({ ...plain, '.signatures.json': text });

/** OPA takes some of what is refused here. */
const refused: readonly (readonly [
  name: string,
  files: Files,
  message: RegExp,
  over?: Partial<Verification>,
  opa?: 'takes it' | 'cannot be asked',
])[] = [
  ['stripped of its signature', plain, /is not signed/],
  ['with changed JSON', { ...signed, 'a/data.json': '{"n":2,"s":"é"}' }, /^a\/data\.json is not what was signed/],
  ['with a number spelt otherwise', { ...signed, 'a/data.json': '{"n":1,"s":"é"}' }, /a\/data\.json is not what/],
  ['with changed YAML', { ...signed, 'b/data.yaml': 'x: [1]\n' }, /^b\/data\.yaml is not what was signed/],
  ['with a changed manifest', { ...signed, '.manifest': '{"revision":"r1"}' }, /^\.manifest is not what was signed/],
  ['with a changed file of another kind', { ...signed, 'README.md': 'read me ' }, /^README\.md is not what/],
  ['with a file more', { ...signed, 'policy.wasm': 'wasm' }, /^policy\.wasm is not listed in/],
  ['with data more', { ...signed, 'a/x/data.json': '{}' }, /^a\/x\/data\.json is not listed in/],
  ['with a policy more', { ...signed, 'p.rego': 'package a' }, /^p\.rego is not listed in/],
  ['with a file less', without(signed, 'README.md'), /lists README\.md, which is not there/],
  ['with a file renamed', { ...without(signed, 'README.md'), 'R.md': 'read me' }, /^R\.md is not listed/],
  ['with a file that is no longer JSON', { ...signed, 'a/data.json': '{"n":' }, /a\/data\.json is not JSON/],
  [
    'under the signature of another bundle',
    { ...plain, '.signatures.json': other['.signatures.json'] ?? '' },
    /is not what/,
  ],
  [
    'with MD5 digests',
    listed((file) => longer(file, 'MD5', 'md5')),
    /README\.md: the digest algorithm MD5 is too weak/,
    {},
    'takes it',
  ],
  ['with SHA-1 digests', listed((file) => longer(file, 'SHA-1', 'sha1')), /SHA-1 is too weak/, {}, 'takes it'],
  ['with SHA-224 digests', listed((file) => longer(file, 'SHA-224', 'sha224')), /SHA-224 is too weak/, {}, 'takes it'],
  ['with unknown digests', listed((file) => ({ ...file, algorithm: 'SHA-3' })), /unknown digest algorithm/],
  ['without a digest algorithm', listed(({ name, hash }) => ({ name, hash })), /without name, hash or algorithm/],
  ['with digests cut short', listed((file) => ({ ...file, hash: file.hash.slice(2) })), /is not what was signed/],
  ['that lists a file twice', resigned({ files: [...listing, listing[0]] }), /lists .+ twice/, {}, 'takes it'],
  [
    'that lists its own signature',
    resigned({ files: [...listing, { name: '.signatures.json', hash: '', algorithm: 'SHA-256' }] }),
    /lists \.signatures\.json, which/,
  ],
  [
    'that lists an excluded file that is gone',
    without(signed, 'README.md'),
    /lists README\.md/,
    { excludeFiles: ['*.md'] },
  ],
  ['that lists nothing', resigned({ files: [] }), /is not listed/],
  ['without a list of files', resigned({ files: 'all' }), /lists no files/],
  [
    'with the algorithm none',
    withSignatures(
      signaturesOf(`${jws({ alg: 'none', kid: 'k' }, payload, 'RS256').split('.').slice(0, 2).join('.')}.`),
    ),
    /algorithm is not RS256/,
  ],
  ['with an HMAC made of the public key', withSignatures(signaturesOf(hmac())), /algorithm is not RS256/],
  [
    'with another algorithm of the same key',
    withSignatures(signaturesOf(jws({ alg: 'PS256' }, payload, 'PS256'))),
    /algorithm is not RS256/,
  ],
  [
    'that calls its algorithm something else',
    resigned({}, { alg: 'RS512', kid: 'k' }),
    /algorithm is not RS256/,
    {},
    'takes it',
  ],
  [
    'by another key',
    withSignatures(signaturesOf(jws(header, payload, 'RS256', keyPairFor('RS256', 'b')))),
    /not by the key k/,
  ],
  [
    'with a signature cut short',
    withSignatures(signaturesOf(`${head}.${body}.${mark.slice(0, -8)}`)),
    /not by the key k/,
  ],
  ['with an empty signature', withSignatures(signaturesOf(`${head}.${body}.`)), /not by the key k/],
  [
    'with another payload',
    withSignatures(signaturesOf(`${head}.${Buffer.from('{"files":[]}').toString('base64url')}.${mark}`)),
    /not by the key k/,
  ],
  [
    'with another header',
    withSignatures(signaturesOf(`${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${body}.${mark}`)),
    /not by the key k/,
  ],
  [
    'with critical extensions',
    resigned({}, { ...header, crit: ['b64'], b64: false }),
    /has extensions/,
    {},
    'takes it',
  ],
  ['with the wrong scope', resigned({ scope: 'x' }), /scope is "x", and "s" is expected/, { scope: 's' }],
  ['without a scope', signed, /scope is "", and "s" is expected/, { scope: 's' }],
  ['with a scope that nobody asked for', resigned({ scope: 'x' }), /scope is "x", and "" is expected/],
  ["without the key's scope", signed, /and "s" is expected/, { keys: scoped('s') }, 'cannot be asked'],
  [
    'by a key that nobody knows',
    resigned({}, { alg: 'RS256', kid: 'x' }),
    /no key x in/,
    { keyId: '' },
    'cannot be asked',
  ],
  [
    'by a key with a name of JavaScript',
    resigned({}, { alg: 'RS256', kid: '__proto__' }),
    /no key __proto__ in/,
    { keyId: '' },
    'cannot be asked',
  ],
  ['by a key without a name', resigned({}, { alg: 'RS256' }), /names no key/, { keyId: '' }, 'cannot be asked'],
  [
    'with a key id that is no text',
    resigned({}, { alg: 'RS256', kid: 1 }),
    /kid is not a string/,
    { keyId: '' },
    'cannot be asked',
  ],
  ['from the future', resigned({ iat: NOW_S + 61 }), /issued in the future/, {}, 'takes it'],
  ['that is not valid yet', resigned({ nbf: NOW_S + 61 }), /not valid yet/, {}, 'takes it'],
  ['that has expired', resigned({ exp: NOW_S - 60 }), /has expired/, {}, 'takes it'],
  ['with a time that is none', resigned({ iat: '2026-01-01' }), /iat is no whole number/],
  ['with half a second', resigned({ iat: 1.5 }), /iat is no whole number/],
  ['with an expiry that is none', resigned({ exp: 'never' }), /exp is no whole number/, {}, 'takes it'],
  [
    'with a statement that can be read twice',
    withSignatures(signaturesOf(jws(header, `{"files":[],${JSON.stringify(payload).slice(1)}`, 'RS256'))),
    /unique keys/,
    {},
    'takes it',
  ],
  [
    'with a header that can be read twice',
    withSignatures(signaturesOf(jws('{"alg":"none","alg":"RS256"}', payload, 'RS256'))),
    /header is no JSON object with unique keys/,
    {},
    'takes it',
  ],
  [
    'with a payload that is no object',
    withSignatures(signaturesOf(jws(header, '[]', 'RS256'))),
    /payload is no JSON object/,
  ],
  ['with two signatures', withSignatures(signaturesOf(token, token)), /more than one signature/],
  ['with no signature in its file', withSignatures(signaturesOf()), /no signature in it/],
  ['with an empty object for signatures', withSignatures('{}'), /no signature in it/],
  [
    'with signatures in capitals',
    withSignatures(JSON.stringify({ Signatures: [token] })),
    /no signature in it/,
    {},
    'takes it',
  ],
  ['with a signature of a plugin', withSignatures(JSON.stringify({ signatures: [token], plugin: 'p' })), /of a plugin/],
  ['with a signature that is no JWT', withSignatures(signaturesOf('x.y')), /no signed JWT/],
  ['with a JWE', withSignatures(signaturesOf('a.b.c.d.e')), /no signed JWT/],
  ['with signatures that are no JSON', withSignatures('{'), /no JSON object/],
  [
    'with its signature in a folder',
    { ...plain, 'a/.signatures.json': signed['.signatures.json'] ?? '' },
    /a\/\.signatures\.json: the signature must be at the top/,
    {},
    'takes it',
  ],
  [
    'with two files of signatures',
    { ...signed, 'a/.signatures.json': signed['.signatures.json'] ?? '' },
    /must be at the top/,
  ],
];

function hmac(): string {
  const signedPart = jws({ alg: 'HS256', kid: 'k' }, payload, 'RS256').split('.').slice(0, 2).join('.');
  const secret = publicPem(keyPairFor('RS256'));
  return `${signedPart}.${createHmac('sha256', secret).update(signedPart).digest('base64url')}`;
}

describe('a signed bundle', () => {
  for (const [name, files, over] of accepted) {
    test(`${name} is accepted, also by opa`, (context) => {
      const verification = verificationWith('RS256', over);
      assert.equal(verifiedOf(open(files, verification))?.keyId, 'k');
      const scopeOfKey = verification.scope || (verification.keys['k']?.scope ?? '');
      const verdict = verdictOfOpa(scratchFolder(context), asArchive(files), 'RS256', {
        ...verification,
        scope: scopeOfKey,
      });
      assert.ok(verdict.ok, verdict.ok ? '' : verdict.reason);
    });
  }

  for (const [name, files, message, over, opa] of refused) {
    test(`${name} is refused${opa === 'takes it' ? ', which opa takes' : ''}`, (context) => {
      const verification = verificationWith('RS256', over);
      assert.throws(() => open(files, verification), { name: 'BundleError', message });
      if (opa === 'cannot be asked') return;
      const verdict = verdictOfOpa(scratchFolder(context), asArchive(files), 'RS256', verification);
      assert.equal(verdict.ok, opa === 'takes it', verdict.ok ? '' : verdict.reason);
    });
  }
});

test('signatures that are damaged anywhere say nothing else than before, or are refused', () => {
  const random = createRandom(5);
  const intact = Buffer.from(signed['.signatures.json'] ?? '');
  const [{ digest } = {}, refusals] = [verifiedOf(open(signed, key)), new Set<string>()];
  for (let i = 0; i < 3000; i++) {
    const damaged = Buffer.from(intact);
    for (let times = 0; times <= i % 3; times++) damaged[random.below(damaged.length)] = random.below(256);
    try {
      assert.equal(verifiedOf(open({ ...signed, '.signatures.json': damaged }, key))?.digest, digest);
    } catch (error) {
      assert.ok(error instanceof BundleError, String(error));
      refusals.add(error.message);
    }
  }
  assert.ok(refusals.size > 5);
});

describe('without', () => {
  test('a signature, a bundle is accepted where none is required', () => {
    assert.equal(verifiedOf(open(plain, { ...key, required: false })), undefined);
    assert.equal(verifiedOf(open(plain, undefined)), undefined);
  });

  test('keys, what is signed is refused', () => {
    assert.throws(() => open(signed, undefined), /is signed, and there are no `keys` to verify it with/);
  });

  test('a requirement, what is signed is verified all the same', () => {
    const optional = { ...key, keyId: '', required: false };
    assert.equal(verifiedOf(open(resigned({}), optional))?.keyId, 'k');
    assert.throws(() => open({ ...resigned({}), 'README.md': '' }, optional), /README\.md is not what/);
    assert.throws(() => open(withSignatures('{}'), optional), /no signature in it/);
  });
});

describe('the digest of a verified bundle', () => {
  const digest = (files: Files, over?: Partial<Verification>): string | undefined =>
    verifiedOf(open(files, verificationWith('RS256', over)))?.digest;

  test('is that of its content, whoever signed it and when', () => {
    assert.equal(digest(signed), digest(resigned({ iat: 5, custom: 1 })));
    assert.equal(digest(signed), digest(resigned({ files: [...listing].reverse() })));
    assert.notEqual(digest(signed), digest(other));
  });

  test('is also that of files which are not verified', () => {
    const over = { excludeFiles: ['*.md'] };
    assert.notEqual(digest(signed, over), digest({ ...signed, 'README.md': 'changed' }, over));
  });
});
