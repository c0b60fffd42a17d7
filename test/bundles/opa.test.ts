import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { readBundle } from '../../src/bundles/bundle.ts';
import { createFileSource } from '../../src/bundles/sources/file.ts';
import { unpack } from '../../src/bundles/unpack.ts';
import { tool } from '../support/process.ts';
import { scratchFolder } from '../support/servers.ts';
import { unpacked } from '../support/unpacked.ts';

const LIMIT = 10_000_000;
const never = new AbortController().signal;

function write(folder: string, files: { readonly [name: string]: string }): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}
const opa = (...args: readonly string[]): string =>
  execFileSync(tool('opa'), args, { stdio: 'pipe', encoding: 'utf8' });

async function readFolder(folder: string): Promise<ReturnType<typeof readBundle>> {
  const fetched = await unpacked(createFileSource(folder, LIMIT), LIMIT)(undefined, never);
  assert.equal(fetched.kind, 'new');
  return readBundle(fetched.files);
}

/** What OPA has under `data` after it has loaded the folder as a bundle; undefined when it refuses it. */
function asOpaReads(folder: string): unknown {
  try {
    return JSON.parse(opa('eval', '--format', 'raw', '--bundle', folder, 'json.marshal(data)'));
  } catch {
    return undefined;
  }
}

describe('a bundle that opa has built', () => {
  test('is read with roots, revision, entrypoints, modules and data', async (context) => {
    const folder = scratchFolder(context);
    write(folder, {
      'src/.manifest': '{"roots":["app","lists"]}',
      'src/policy.rego': 'package app.authz\n\nallow if input.n in data.lists.open\n\ndeny if not allow\n',
      'src/lists/data.yaml': 'open: [1, 12345678901234567890]\n',
    });
    const output = join(folder, 'bundle.tar.gz');
    opa(
      'build',
      '-t',
      'wasm',
      '-e',
      'app/authz/allow',
      '-e',
      'app/authz/deny',
      '-r',
      'r7',
      '-o',
      output,
      '-b',
      join(folder, 'src'),
    );
    const bundle = readBundle(await unpack(readFileSync(output), LIMIT));
    assert.deepEqual(
      [bundle.revision, bundle.roots, bundle.modules.map(({ path, entrypoints }) => [path, [...entrypoints].sort()])],
      ['r7', ['app', 'lists'], [['policy.wasm', ['app/authz/allow', 'app/authz/deny']]]],
    );
    assert.equal(bundle.modules[0]?.wasm.subarray(0, 4).join(), '0,97,115,109');
    assert.equal(JSON.stringify(bundle.data), '{"lists":{"open":[1,12345678901234567890]}}');
  });

  test('without WebAssembly is refused with the command that makes some', async (context) => {
    const folder = scratchFolder(context);
    write(folder, { 'p.rego': 'package p\n\nx := 1\n' });
    opa('build', '-o', join(folder, 'b.tar.gz'), join(folder, 'p.rego'));
    const files = await unpack(readFileSync(join(folder, 'b.tar.gz')), LIMIT);
    assert.throws(() => readBundle(files), /opa build -t wasm -e/);
  });

  test('with annotations, metadata and versions of Rego is read', async (context) => {
    const folder = scratchFolder(context);
    write(folder, {
      'src/.manifest': '{"roots":["app"],"metadata":{"team":{"name":"edge"}}}',
      'src/policy.rego': `# METADATA
# title: the gate
# entrypoint: true
package app.authz

# METADATA
# custom:
#   owner: edge
allow if input.n
`,
    });
    const output = join(folder, 'bundle.tar.gz');
    opa('build', '-t', 'wasm', '-e', 'app/authz/allow', '-o', output, '-b', join(folder, 'src'));
    const files = await unpack(readFileSync(output), LIMIT);
    const manifest = JSON.parse(String(files.get('.manifest'))) as { wasm: { annotations?: object[] }[] };
    assert.ok(manifest.wasm.some(({ annotations }) => annotations !== undefined));
    const bundle = readBundle(files);
    assert.deepEqual(JSON.parse(JSON.stringify(bundle.metadata)), { team: { name: 'edge' } });
    assert.deepEqual([...(bundle.modules[0]?.entrypoints ?? [])].sort(), ['app/authz', 'app/authz/allow']);
  });

  test('and signed is not read by whoever did not verify it', async (context) => {
    const folder = scratchFolder(context);
    write(folder, { 'src/data.json': '{"x":1}' });
    const signing = ['--signing-alg', 'HS256', '--signing-key', 'k'];
    opa('build', '-o', join(folder, 'b.tar.gz'), ...signing, '-b', join(folder, 'src'));
    const files = await unpack(readFileSync(join(folder, 'b.tar.gz')), LIMIT);
    assert.throws(() => readBundle(files), /is signed, and nothing has verified it/);
  });

  test('may have data only', async (context) => {
    const folder = scratchFolder(context);
    write(folder, { 'src/a/data.json': '{"x":1}' });
    opa('build', '-o', join(folder, 'b.tar.gz'), '-b', join(folder, 'src'));
    const bundle = readBundle(await unpack(readFileSync(join(folder, 'b.tar.gz')), LIMIT));
    assert.deepEqual([bundle.modules.length, JSON.stringify(bundle.data)], [0, '{"a":{"x":1}}']);
  });
});

const numbers = `a: 017
b: 0o17
c: 0x1f
d: 0b11
e: 1_000
f: 018
g: -017
h: +5
i: 1e3
j: .5
k: 5.
l: 0.1000
m: 1:20
n: -0b1_1
`;
const others = `yes: yes
on: on
y: y
null: "the word"
tilde: ~
empty:
date: 2001-01-01
1: one
true: t
text: |
  a
  b
base: &base {a: 1, b: [x]}
merged:
  <<: *base
  b: 2
aliased: *base
quoted: "017"
`.replace('null: "the word"\n', '');

describe('data', () => {
  const same: readonly (readonly [string, { readonly [name: string]: string }])[] = [
    ['YAML behind a byte order mark', { 'data.yaml': '\ufeffa: 1' }],
    ['YAML that is empty, below a folder', { 'a/data.yaml': '', 'b/data.yml': '# nothing' }],
    ['JSON for YAML', { 'data.yaml': '{"a":1.0,"a":2.50}' }],
    ['keys twice in JSON', { 'data.json': '{"a":{"b":1},"a":{"c":2}}' }],
    [
      'files that meet far down',
      { 'data.json': '{"a":{"b":{"c":1}}}', 'a/data.yml': 'b: {d: 2}', 'a/b/e/data.json': '3' },
    ],
    ['deep folders', { [`${'f/'.repeat(20)}data.json`]: '{"x":1}' }],
    ['deep nesting', { 'data.json': `{"a":${'['.repeat(400)}${']'.repeat(400)}}` }],
    ['an unknown field in the manifest', { '.manifest': '{"future":{},"revision":"r"}', 'data.json': '{"a":1}' }],
    [
      'versions of Rego',
      { '.manifest': '{"rego_version":0,"file_rego_versions":{"*.rego":1}}', 'data.json': '{"a":1}' },
    ],
    ['numbers in YAML', { 'data.yaml': numbers }],
    ['words, keys, merges and aliases in YAML', { 'data.yml': others }],
    ['several folders', { 'data.json': '{"a":{"b":1}}', 'a/c/data.yaml': 'd: 2', 'e/data.json': '[1]' }],
    ['an own root', { '.manifest': '{"roots":["/a/b/"]}', 'a/b/data.json': '{"x":1}' }],
    ['a deep root in a shallow file', { '.manifest': '{"roots":["a/b"]}', 'data.json': '{"a":{"b":1}}' }],
  ];
  for (const [name, files] of same) {
    test(`with ${name} is what OPA reads`, async (context) => {
      const folder = scratchFolder(context);
      write(folder, files);
      const { data } = await readFolder(folder);
      assert.deepEqual(JSON.parse(JSON.stringify(data)), asOpaReads(folder));
    });
  }

  const refused: readonly (readonly [string, { readonly [name: string]: string }])[] = [
    ['that are empty', { 'data.json': '' }],
    ['that are empty YAML at the top', { 'data.yaml': '' }],
    ['with a byte order mark in JSON', { 'data.json': '\ufeff{"a":1}' }],
    ['with text after JSON', { 'data.json': '{"a":1} x' }],
    ['in two files of one folder that meet', { 'data.json': '{"a":1}', 'data.yaml': 'a: 1' }],
    ['under a Rego version of the future', { '.manifest': '{"rego_version":9}' }],
    ['with metadata that is a list', { '.manifest': '{"metadata":[]}' }],
    ['with a manifest that is empty', { '.manifest': '' }],
    ['outside of the roots', { '.manifest': '{"roots":["a"]}', 'b/data.json': '{"x":1}' }],
    ['beside a deeper root', { '.manifest': '{"roots":["a/b"]}', 'data.json': '{"a":{"b":1,"c":2}}' }],
    ['below no root at all', { '.manifest': '{"roots":[]}', 'data.json': '{"a":1}' }],
    ['that are not there, below no root', { '.manifest': '{"roots":[]}' }],
    ['under roots that overlap', { '.manifest': '{"roots":["a","a/b"]}', 'a/data.json': '{"x":1}' }],
    ['that conflict', { 'data.json': '{"a":1}', 'a/data.json': '{"x":1}' }],
    ['that are no object at the top', { 'data.json': '[1]' }],
    ['with a number that is not finite', { 'data.yaml': 'x: .inf' }],
    ['with a key that is a list', { 'data.yaml': '? [1]\n: 1' }],
    ['with JSON cut short', { 'data.json': '{"a":' }],
    ['with a module that is only named', { '.manifest': '{"wasm":[{"entrypoint":"a/b","module":"/policy.wasm"}]}' }],
    [
      'with a module under another name',
      { '.manifest': '{"wasm":[{"entrypoint":"a/b","module":"/other.wasm"}]}', 'other.wasm': 'x' },
    ],
  ];
  for (const [name, files] of refused) {
    test(`${name} is refused, as OPA refuses it`, async (context) => {
      const folder = scratchFolder(context);
      write(folder, files);
      assert.equal(asOpaReads(folder), undefined);
      await assert.rejects(readFolder(folder), { name: 'BundleError' });
    });
  }

  test('in YAML with a key twice, or of more than a MiB, is refused where OPA would take it', async (context) => {
    const folder = scratchFolder(context);
    write(folder, { 'data.yaml': 'a: 1\na: 2\n' });
    await assert.rejects(readFolder(folder), /a key is there twice/);
    write(folder, { 'data.yaml': `a: ${'x'.repeat(1_048_576)}` });
    await assert.rejects(readFolder(folder), /bytes of YAML; `opa build` makes JSON of it/);
  });
});
