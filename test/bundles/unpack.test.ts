import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readBundle } from '../../src/bundles/bundle.ts';
import { unpack } from '../../src/bundles/unpack.ts';
import { bundleOf, type Entry, tar } from '../support/archive.ts';
import { root } from '../support/process.ts';

const LIMIT = 1_000_000;
const good: readonly Entry[] = [
  { name: '/.manifest', content: '{"revision":"r","roots":["a"]}' },
  { name: '/data.json', content: '{"a":{"n":12345678901234567890}}' },
  { name: '/policy.wasm', content: 'wasm' },
];
const read = async (bytes: Buffer): Promise<ReturnType<typeof readBundle>> => readBundle(await unpack(bytes, LIMIT));

describe('a bundle', () => {
  test('is read with its revision, roots, modules and exact data', async () => {
    const bundle = await read(bundleOf(good));
    assert.deepEqual(
      [bundle.revision, bundle.roots, bundle.modules.map(({ path }) => path)],
      ['r', ['a'], ['policy.wasm']],
    );
    assert.equal(JSON.stringify(bundle.data), '{"a":{"n":12345678901234567890}}');
  });

  test('may be a plain tar, and may have folders and long names', async () => {
    const long = `${'f'.repeat(60)}/${'g'.repeat(60)}/data.json`;
    const record = (size: number): string => `${size} path=a/${long}\n`;
    const pax = record(record(100).length);
    const entries: readonly Entry[] = [
      { name: 'a/', type: '5' },
      { name: 'x', type: 'x', content: pax },
      { name: 'short', content: '{"k":1}' },
      { name: 'a/b/data.yaml', content: 'c: [1, 2]' },
    ];
    const { data } = await read(tar(entries));
    assert.deepEqual(JSON.parse(JSON.stringify(data)), {
      a: { b: { c: [1, 2] }, ['f'.repeat(60)]: { ['g'.repeat(60)]: { k: 1 } } },
    });
  });

  test('keeps keys that JavaScript has plans for as keys', async () => {
    const { data } = await read(bundleOf([{ name: 'data.json', content: '{"__proto__":{"x":1},"constructor":2}' }]));
    assert.deepEqual(Object.keys(data), ['__proto__', 'constructor']);
    assert.equal(({} as { x?: number }).x, undefined);
  });

  const refused: readonly (readonly [string, Buffer])[] = [
    ['nothing', Buffer.alloc(0)],
    ['an HTML page', Buffer.from(`<html>${' '.repeat(2000)}</html>`)],
    ['a gzipped HTML page', gzipSync(`<html>${' '.repeat(2000)}</html>`)],
    ['a symbolic link', bundleOf([...good, { name: 'l', type: '2' }])],
    ['a hard link', bundleOf([...good, { name: 'l', type: '1' }])],
    ['a device', bundleOf([...good, { name: 'l', type: '3' }])],
    ['a pipe', bundleOf([...good, { name: 'l', type: '6' }])],
    ['a sparse file', bundleOf([...good, { name: 'l', type: 'S' }])],
    ['a way out', bundleOf([...good, { name: '../x', content: 'x' }])],
    ['a way out in the middle', bundleOf([...good, { name: 'a/../../x', content: 'x' }])],
    ['a backslash', bundleOf([...good, { name: 'a\\b', content: 'x' }])],
    ['an empty name', bundleOf([...good, { name: '', content: 'x' }])],
    ['a name twice', bundleOf([...good, { name: 'data.json', content: '{}' }])],
    ['a name twice in two spellings', bundleOf([...good, { name: './data.json', content: '{}' }])],
    ['a negative size', bundleOf([...good, { name: 'x', size: '-0000000001\0' }])],
    ['a size in base 256', bundleOf([...good, { name: 'x', size: '\x80\0\0\0\0\0\0\0\0\0\0\x01' }])],
    ['a size beyond the archive', bundleOf([{ name: 'x', size: '77777777777\0' }])],
    ['more than may come out', bundleOf([{ name: 'data.json', content: Buffer.alloc(LIMIT + 1, 0x20) }])],
    ['a bomb', gzipSync(Buffer.alloc(400_000_000))],
    ['too many entries', bundleOf(Array.from({ length: 10_001 }, (_, i) => ({ name: `f${i}` })))],
    ['a delta', bundleOf([...good, { name: 'patch.json', content: '{"data":[]}' }])],
    ['a signature that cannot be verified', bundleOf([...good, { name: '.signatures.json', content: '{}' }])],
    ['data outside of its roots', bundleOf([...good, { name: 'b/data.json', content: '{"x":1}' }])],
    ['data at a path that leads nowhere', bundleOf([...good, { name: 'a/n/data.json', content: '{"x":1}' }])],
    ['data that is no object', bundleOf([{ name: 'data.json', content: '[]' }])],
    ['data that is no JSON', bundleOf([{ name: 'data.json', content: '{' }])],
    [
      'data nested too deep',
      bundleOf([{ name: 'data.json', content: `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}` }]),
    ],
    ['a bomb of YAML aliases', bundleOf([{ name: 'data.yaml', content: yamlBomb() }])],
    [
      'a module that the manifest only names',
      bundleOf([{ name: '.manifest', content: '{"wasm":[{"module":"/p.wasm"}]}' }]),
    ],
    ['Rego without WebAssembly', bundleOf([{ name: 'p.rego', content: 'package p' }])],
    ['an odd manifest', bundleOf([{ name: '.manifest', content: '[]' }])],
    ['an odd revision', bundleOf([{ name: '.manifest', content: '{"revision":1}' }])],
    ['odd roots', bundleOf([{ name: '.manifest', content: '{"roots":"a"}' }])],
  ];
  for (const [name, bytes] of refused) {
    test(`${name} is refused`, async () => {
      await assert.rejects(read(bytes), (error: Error) => ['ArchiveError', 'BundleError'].includes(error.name));
    });
  }

  test('that is cut off anywhere is refused', async () => {
    const bytes = readFileSync(join(root, 'bundles/default.tar.gz'));
    for (let percent = 0; percent < 100; percent++) {
      const cut = bytes.subarray(0, Math.floor((bytes.length * percent) / 100));
      await assert.rejects(read(cut), `${percent} %`);
    }
    assert.equal((await read(bytes)).modules.length, 1);
  });

  test('with a flipped byte is refused or the same', async () => {
    const bytes = readFileSync(join(root, 'bundles/default.tar.gz'));
    for (const at of [10, 100, 1000, 20_000, bytes.length - 6]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      await assert.rejects(read(damaged), `byte ${at}`);
    }
  });
});

function yamlBomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 9; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  return lines.join('\n');
}
