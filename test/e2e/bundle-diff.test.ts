import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { BundleDiff } from '../../src/cli/bundle/ports.ts';
import { bundleOf } from '../support/archive.ts';
import { postern, type Ran } from '../support/command.ts';
import { writeTexts } from '../support/repository.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { keyPairFor, privatePem } from '../support/signing.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const at = (name: string): string => join(folder, name);
writeFileSync(at('config.yaml'), 'postern: { http_send: { allow_hosts: [a] } }');
writeFileSync(at('key.pem'), privatePem(keyPairFor('RS256')));

type Files = { readonly [name: string]: string };

/** Builds a bundle of these files, under this name. */
async function build(name: string, files: Files, ...args: readonly string[]): Promise<string> {
  mkdirSync(at(`${name}.d`));
  writeTexts(at(`${name}.d`), files);
  const output = at(`${name}.tar.gz`);
  const { code, stdout, stderr } = await postern(
    ['bundle', 'build', '-c', 'config.yaml', '-r', name, '-o', output, ...args, `${name}.d`],
    { cwd: folder },
  );
  assert.equal(code, 0, stdout + stderr);
  return output;
}

const diff = (...args: readonly string[]): Promise<Ran> => postern(['bundle', 'diff', ...args], { cwd: folder });

async function found(...args: readonly string[]): Promise<BundleDiff> {
  const { code, stdout, stderr } = await diff(...args, '--format', 'json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as BundleDiff;
}

const allow = 'package envoy.authz\n\nallow if input.user in data.people.admins\n';
const nothing = { added: [], removed: [] };

describe('postern bundle diff', () => {
  test('tells what is different: decisions, sources, built-ins, data', async () => {
    const before = await build('before', {
      'authz.rego': allow,
      'old.rego': 'package old\n\nx := 1\n',
      'people/data.json': '{"admins": ["ann"], "secret": "hidden-value", "gone": {"a": 1}}',
    });
    const later = `${allow}\nallow if http.send({"method": "GET", "url": "http://a/"}).status_code == 200\n\nreason := sprintf("%d", [input.n])\n`;
    const files = {
      'authz.rego': later,
      'new/more.rego': 'package more\n\nx := 1\n',
      'people/data.json': '{"admins": ["ann", "bob"], "secret": "other-value", "new/x": 1}',
    };
    const after = await build('after', files, '-e', 'envoy/authz/allow', '-e', 'envoy/authz/reason');
    const { differ, modules, data, ...rest } = await found(before, after);
    assert.equal(differ, true);
    assert.deepEqual(modules, { added: [], removed: [], changed: ['policy.wasm'] });
    assert.deepEqual(rest, {
      revision: { before: 'before', after: 'after' },
      roots: nothing,
      entrypoints: { added: ['envoy/authz/reason'], removed: [] },
      sources: { added: ['new/more.rego'], removed: ['old.rego'], changed: ['authz.rego'] },
      builtins: { added: ['http.send', 'sprintf'], removed: [] },
      network: { added: ['http.send'], removed: [] },
      metadata: false,
    });
    assert.deepEqual([data.added, data.removed, data.changed], [2, 1, 1]);
    assert.deepEqual(data.changes, [
      { kind: 'added', path: '/people/admins/1' },
      { kind: 'removed', path: '/people/gone' },
      { kind: 'added', path: '/people/new~1x' },
      { kind: 'changed', path: '/people/secret' },
    ]);

    const text = await diff(before, after);
    assert.doesNotMatch(text.stdout, /hidden-value|other-value/);
    for (const line of [
      'revision:    before → after',
      'entrypoints: + envoy/authz/reason',
      'module:      ~ policy.wasm',
      'source:      - old.rego',
      'network:     + http.send',
      'data:        2 added, 1 removed, 1 changed',
      '  ~ /people/secret',
    ]) {
      assert.ok(text.stdout.split('\n').includes(line), `${line}\n${text.stdout}`);
    }
    const withValues = await diff(before, after, '--values');
    assert.match(withValues.stdout, /\n {2}~ \/people\/secret: "hidden-value" → "other-value"\n/);
    assert.match(withValues.stdout, /\n {2}- \/people\/gone: \{"a":1\}\n/);
    const limited = await diff(before, after, '--limit', '1');
    assert.match(limited.stdout, /\n {2}\+ \/people\/admins\/1\n {2}… and 3 more\n/);

    const back = await found(after, before);
    assert.deepEqual([back.network, back.sources.added], [{ added: [], removed: ['http.send'] }, ['old.rego']]);
  });

  test('a rule that opa takes out of the Rego is a difference of the sources', async () => {
    const files = { 'authz.rego': allow, 'data.json': '{"people": {"admins": []}}' };
    const one = await build('one', files);
    const more = await build('more', files, '-e', 'envoy/authz/allow', '-e', 'envoy/authz');
    assert.match((await diff(one, more)).stdout, /\nmodule: +~ policy\.wasm, of the same sources\n/);
    const two = await build('two', { ...files, 'authz.rego': allow.replace('input.user', 'input.name') });
    assert.deepEqual((await found(one, two)).sources.changed, ['authz.rego']);
  });

  test('the exit code says it only when it is asked to', async () => {
    const files = { 'authz.rego': allow, 'data.json': '{"people": {"admins": [1.0]}}' };
    const one = await build('same', files);
    const same = await diff(one, one, '--exit-code');
    assert.deepEqual(same, { code: 0, stdout: 'no difference\n', stderr: '' });
    writeFileSync(at('same.d/data.json'), '{"people": {"admins": [2]}}');
    const args = ['bundle', 'build', '-r', 'same', '-o', 'other.tar.gz', 'same.d'];
    assert.equal((await postern(args, { cwd: folder })).code, 0);
    assert.equal((await diff(one, 'other.tar.gz')).code, 0);
    const asked = await diff(one, 'other.tar.gz', '--exit-code');
    assert.equal(asked.code, 1);
    assert.equal(asked.stdout, 'data:        0 added, 0 removed, 1 changed\n  ~ /people/admins/0\n');
  });

  test('signatures and metadata count, and need no keys', async () => {
    const manifest = (team: string): Files => ({
      '.manifest': `{"roots": ["envoy"], "metadata": {"team": "${team}"}}`,
      'authz.rego': 'package envoy.authz\n\nallow := true\n',
    });
    const plain = await build('plain', manifest('a'));
    const signing = ['bundle', 'sign', '--key', 'key.pem', '--key-id', 'ci', '-o', 'signed.tar.gz', plain];
    assert.equal((await postern(signing, { cwd: folder })).code, 0);
    const signed = await found(plain, 'signed.tar.gz');
    assert.deepEqual(
      [signed.differ, signed.signature?.before, signed.signature?.after?.keyId],
      [true, undefined, 'ci'],
    );
    assert.match(
      (await diff('signed.tar.gz', plain)).stdout,
      /^signature: +key ci, RS256, issued .* not verified → none\n$/,
    );
    const renamed = await found(plain, await build('renamed', manifest('b')));
    assert.equal(renamed.metadata, true);
  });

  test('what cannot be compared is told, with exit code 2', async () => {
    const good = await build('good', { 'authz.rego': 'package envoy.authz\n\nallow := true\n' });
    writeFileSync(
      at('delta.tar.gz'),
      bundleOf([{ name: 'patch.json', content: '{"data": [{"op": "upsert", "path": "a", "value": 1}]}' }]),
    );
    writeFileSync(at('module.tar.gz'), bundleOf([{ name: 'policy.wasm', content: 'nonsense' }]));
    for (const [other, message] of [
      ['nowhere', /^postern: nowhere: .*no such file/],
      ['config.yaml', /^postern: config\.yaml: the archive has no end/],
      ['delta.tar.gz', /^postern: delta\.tar\.gz: this is a delta/],
      ['module.tar.gz', /^postern: module\.tar\.gz: policy\.wasm: the WASM module /],
    ] as const) {
      for (const pair of [
        [good, other],
        [other, good],
      ] as const) {
        const { code, stderr } = await diff(...pair, '--exit-code');
        assert.equal(code, 2, other);
        assert.match(stderr, message);
      }
    }
    assert.match((await diff(good, good, '--limit', 'x')).stderr, /a number up to/);
  });

  test('names from a bundle cannot move the cursor, and there is an end to them', async () => {
    const files = { 'authz.rego': 'package envoy.authz\n\nallow := true\n' };
    const one = await build('quiet', files);
    const key = '\\u001b[2J\\u202e';
    const two = await build('loud', { ...files, 'data.json': `{"${key}": 1, "${'k'.repeat(5000)}": 2}` });
    const { stdout } = await diff(one, two, '--values');
    assert.match(stdout, /\n {2}\+ \/\\u\{001b\}\[2J\\u\{202e\}: 1\n/);
    assert.ok(stdout.length < 3000);
  });
});
