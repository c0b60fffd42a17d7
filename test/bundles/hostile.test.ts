import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readBundle } from '../../src/bundles/bundle.ts';
import { BundleError } from '../../src/bundles/error.ts';
import { unpack } from '../../src/bundles/unpack.ts';
import { bundleOf, type Entry, tar } from '../support/archive.ts';

const LIMIT = 1_000_000;
const data: Entry = { name: 'data.json', content: '{"x":1}' };
const read = async (bytes: Buffer): Promise<ReturnType<typeof readBundle>> => readBundle(await unpack(bytes, LIMIT));
const manifest = (content: object, ...more: readonly Entry[]): Buffer =>
  bundleOf([{ name: '.manifest', content: JSON.stringify(content) }, ...more]);
const pax = (...records: readonly string[]): string =>
  records
    .map((record) => {
      const length = record.length + 2;
      return `${length + String(length + String(length).length).length} ${record}\n`;
    })
    .join('');
const wasm: Entry = { name: 'policy.wasm', content: 'wasm' };
const raw = (content: string | Buffer): Buffer => bundleOf([{ name: '.manifest', content }]);
const annotated = (annotations: unknown): Buffer =>
  manifest({ wasm: [{ entrypoint: 'a/b', module: '/policy.wasm', annotations }] }, wasm);
const range = (end: number): readonly number[] => Array.from({ length: end }, (_, i) => i);
const page = `<html>${' '.repeat(2000)}</html>`;

const refused: readonly (readonly [string, Buffer, RegExp])[] = [
  ['text after the end', Buffer.concat([tar([data]), Buffer.from('text')]), /after it/],
  ['a second archive after the end', Buffer.concat([tar([data]), tar([data])]), /after it/],
  ['text after the gzip stream', Buffer.concat([bundleOf([data]), Buffer.from('text')]), /unzipped/],
  ['an end of one block', tar([data]).subarray(0, -512), /end/],
  ['no end', tar([data]).subarray(0, -1024), /end/],
  ['a wrong CRC', flipped(bundleOf([data]), -6), /unzipped/],
  ['a wrong length in the gzip trailer', flipped(bundleOf([data]), -2), /unzipped/],
  ['a wrong checksum of a header', flipped(tar([data]), 110), /damaged/],
  ['a folder that leads out', bundleOf([{ name: '../x/', type: '5' }, data]), /leads out/],
  ['a folder in Windows spelling', bundleOf([{ name: 'a\\x', type: '5' }, data]), /leads out/],
  ['NUL in a name', bundleOf([{ ...data, name: 'data.json\0.txt' }]), /NUL/],
  ['NUL in a long name', bundleOf([{ name: 'l', type: 'L', content: 'data.json\0x' }, data]), /NUL/],
  ['NUL in a pax name', bundleOf([{ name: 'p', type: 'x', content: pax('path=a\0b') }, data]), /NUL/],
  ['a name that is not UTF-8', bundleOf([{ ...data, name: '\xff\xfe' }]), /UTF-8/],
  ['a name that is too long', bundleOf([{ name: 'l', type: 'L', content: 'n'.repeat(1025) }, data]), /too long/],
  ['a name that fills a header', bundleOf([{ name: 'l', type: 'L', content: 'n'.repeat(70_000) }, data]), /too large/],
  ['a long name for nothing', bundleOf([data, { name: 'l', type: 'L', content: 'x' }]), /no entry/],
  ['a size in a pax header', bundleOf([{ name: 'p', type: 'x', content: pax('size=1') }, data]), /sparse/],
  ['one name for all entries', bundleOf([{ name: 'g', type: 'g', content: pax('path=y') }, data]), /several/],
  ['a pax record without an end', bundleOf([{ name: 'p', type: 'x', content: '9 path=abc' }, data]), /malformed/],
  ['a pax record with a lying length', bundleOf([{ name: 'p', type: 'x', content: '99 path=x\n' }, data]), /malformed/],
  ['a pax length that is none', bundleOf([{ name: 'p', type: 'x', content: '0xb path=x\n' }, data]), /malformed/],
  ['a long link name', bundleOf([{ name: 'l', type: 'K', content: 'x' }, data]), /neither/],
  ['an absolute name twice', bundleOf([data, { ...data, name: '/data.json' }]), /twice/],
  ['an HTML page', Buffer.from(page), /HTML/],
  ['a gzipped HTML page', gzipSync(page), /HTML/],
  ['a JSON answer', Buffer.from(`{"error":"${'x'.repeat(600)}"}`), /no tar archive/],
  ['a module of more than 20 MiB', bundleOf([{ ...wasm, content: Buffer.alloc(20_971_521) }]), /more than/],
  ['a manifest in protobuf', bundleOf([{ name: '.manifest.pb', content: 'x' }, data]), /must be JSON/],
  ['a manifest in a folder', bundleOf([{ name: 'a/.manifest', content: '{"roots":["a"]}' }, data]), /at the top/],
  [
    'a signature in a folder',
    bundleOf([{ name: 'a/.signatures.json', content: '{}' }, data]),
    /nothing has verified it/,
  ],
  ['a key in a manifest twice', raw('{"roots":["a"],"roots":[]}'), /a key twice/],
  ['roots in capitals', manifest({ Roots: ['a'] }), /Roots is written in lower case/],
  ['entrypoints in capitals', manifest({ WASM: [] }), /WASM is written in lower case/],
  ['metadata that is a list', manifest({ metadata: [] }), /metadata is not an object/],
  ['metadata that is null', manifest({ metadata: null }), /metadata is not an object/],
  ['a Rego version of the future', manifest({ rego_version: 3 }), /rego_version is not known/],
  ['a Rego version that is text', manifest({ rego_version: '1' }), /rego_version is not known/],
  ['a Rego version with a point', raw('{"rego_version":1.0}'), /rego_version is not known/],
  ['Rego versions of files that are none', manifest({ file_rego_versions: { 'a.rego': 7 } }), /file_rego_versions/],
  ['Rego versions in a list', manifest({ file_rego_versions: [1] }), /file_rego_versions/],
  ['roots that are null', manifest({ roots: null }), /roots is not a list/],
  ['a byte order mark in the manifest', raw('\ufeff{}'), /\.manifest is not JSON/],
  ['a manifest in another encoding', raw(Buffer.from('{"revision":"\xe9"}', 'latin1')), /\.manifest is not UTF-8/],
  ['text after the manifest', raw('{} {}'), /\.manifest is not JSON/],
  ['annotations that are none', annotated('all'), /annotations of a\/b/],
  ['annotations of no objects', annotated([1]), /annotations of a\/b/],
  [
    'a module that the manifest gives nothing to, beside another',
    manifest({ wasm: [{ entrypoint: 'a/b', module: '/policy.wasm' }] }, wasm, { ...wasm, name: 'x/policy.wasm' }),
    /x\/policy\.wasm is one of several modules/,
  ],
  [
    'more modules than anybody needs',
    manifest(
      { wasm: range(51).map((i) => ({ entrypoint: `a${i}`, module: `/m${i}/policy.wasm` })) },
      ...range(51).map((i) => ({ ...wasm, name: `m${i}/policy.wasm` })),
    ),
    /more than 50 policy modules/,
  ],
  [
    'a key that only looks like the path of a root',
    manifest({ roots: ['a/b'] }, { name: 'data.json', content: '{"a/b":1}' }),
    /data at a\/b is outside/,
  ],
  [
    'a folder that only begins like a root',
    manifest({ roots: ['a'] }, { name: 'ab/data.json', content: '{"x":1}' }),
    /data at ab is outside/,
  ],
  ['data in another encoding', bundleOf([{ ...data, content: Buffer.from('{"x":"\xe9"}', 'latin1') }]), /not UTF-8/],
  ['a byte order mark in JSON', bundleOf([{ ...data, content: '\ufeff{"x":1}' }]), /data\.json is not JSON/],
  ['a delta in a folder', bundleOf([{ name: 'a/patch.json', content: '{}' }]), /delta/],
  ['roots within roots', manifest({ roots: ['a/b', 'a'] }), /overlap/],
  ['a root beside the one that owns all', manifest({ roots: ['', 'a'] }), /overlap/],
  ['a list of modules that is none', manifest({ wasm: { entrypoint: 'a/b', module: '/policy.wasm' } }), /not a list/],
  ['a module without an entrypoint', manifest({ wasm: [{ module: '/policy.wasm' }] }, wasm), /needs an entrypoint/],
  [
    'an entrypoint outside of the roots',
    manifest({ roots: ['a'], wasm: [{ entrypoint: 'b/c', module: '/policy.wasm' }] }, wasm),
    /b\/c is outside/,
  ],
  [
    'an entrypoint twice',
    manifest({ wasm: ['a/b', '/a/b/'].map((entrypoint) => ({ entrypoint, module: '/policy.wasm' })) }, wasm),
    /twice/,
  ],
  [
    'data that meet',
    bundleOf([
      { name: 'data.json', content: '{"a":{"b":1}}' },
      { name: 'a/data.yaml', content: 'b: 1' },
    ]),
    /there already/,
  ],
];

function flipped(bytes: Buffer, at: number): Buffer {
  const damaged = Buffer.from(bytes);
  const index = at < 0 ? bytes.length + at : at;
  damaged[index] = (damaged[index] ?? 0) ^ 1;
  return damaged;
}

describe('a bundle with', () => {
  for (const [name, bytes, message] of refused) {
    test(`${name} is refused`, () => assert.rejects(unpack(bytes, 50_000_000).then(readBundle), message));
  }

  test('a cut at each percent of a plain archive is refused', async () => {
    const bytes = tar([data, { name: 'a/data.json', content: JSON.stringify('x'.repeat(5000)) }]);
    for (let percent = 0; percent < 100; percent++) {
      await assert.rejects(read(bytes.subarray(0, Math.floor((bytes.length * percent) / 100))), `${percent} %`);
    }
    assert.deepEqual(Object.keys((await read(bytes)).data), ['x', 'a']);
  });

  test('padding after its end, or a folder for its root, is read', async () => {
    const entries: readonly Entry[] = [{ name: './', type: '5' }, { name: 'a/', type: '5' }, data];
    const bundle = await read(gzipSync(Buffer.concat([tar(entries), Buffer.alloc(9000)])));
    assert.equal(JSON.stringify(bundle.data), '{"x":1}');
  });

  test('times where ustar has a prefix, as GNU tar writes them, keeps its names', async () => {
    const bytes = tar([data]);
    bytes.write('ustar  \0', 257, 'latin1');
    bytes.write('14720000000\0', 345, 'latin1');
    bytes.fill(0x20, 148, 156);
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    assert.equal(JSON.stringify((await read(bytes)).data), '{"x":1}');
  });

  test('a module keeps no other part of its archive in memory', async () => {
    const [module] = (await read(bundleOf([wasm, data]))).modules;
    assert.equal(module?.wasm.buffer.byteLength, 4);
  });
});

describe('a bomb', () => {
  test('of zeros is cut off at the limit on what comes out', async () => {
    const small = gzipSync(Buffer.alloc(100_000_000));
    // Gzip streams one after the other are one stream: 10 MB that stand for 10 GB.
    const bomb = Buffer.concat(Array.from({ length: 100 }, () => small));
    assert.ok(bomb.length < 11_000_000);
    const before = process.memoryUsage().rss;
    await assert.rejects(unpack(bomb, LIMIT), /unpacks to more than/);
    assert.ok(process.memoryUsage().rss - before < 100_000_000);
  });

  test('of a million empty entries is refused at the limit of entries', async () => {
    const one = gunzipSync(bundleOf([{ name: 'x' }])).subarray(0, 512);
    const many = Buffer.alloc(1_000_000 * 512);
    for (let at = 0; at < many.length; at += 512) one.copy(many, at);
    const bytes = gzipSync(many, { level: 1 });
    await assert.rejects(unpack(bytes, LIMIT), /unpacks to more than/);
    await assert.rejects(unpack(bytes, 1_000_000_000), /more than 10000 entries|twice/);
  });
});

test('no message quotes what the data hold', async () => {
  const spoilt: readonly Entry[] = [
    { name: 'data.json', content: '{"k":s3cr3t}' },
    { name: 'data.json', content: '{"k":"s3cr3t' },
    { name: 'data.yaml', content: 'k: s3cr3t: [' },
    { name: 'data.yaml', content: 'k: *s3cr3t' },
    { name: 'data.yaml', content: 'k: !s3cr3t x' },
    { name: 'data.yaml', content: '? [s3cr3t]\n: 1' },
    { name: 'data.yaml', content: 's3cr3t: 1\ns3cr3t: 2' },
  ];
  for (const entry of spoilt) {
    await assert.rejects(read(bundleOf([entry])), (error: unknown) => {
      assert.ok(error instanceof BundleError);
      assert.ok(!String(error.stack).includes('s3cr3t'), error.message);
      return true;
    });
  }
});
