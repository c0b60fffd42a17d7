import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { pack } from '../../src/bundles/pack.ts';
import { type BundleFiles, unpack } from '../../src/bundles/unpack.ts';
import { createRandom } from '../support/random.ts';
import { scratchFolder } from '../support/servers.ts';

const filesOf = (entries: readonly (readonly [string, string])[]): BundleFiles =>
  new Map(entries.map(([name, text]) => [name, Buffer.from(text)]));

describe('packing a bundle', () => {
  test('what is packed is unpacked again, in order, whatever names and sizes there are', async () => {
    const random = createRandom(1);
    for (let round = 0; round < 200; round++) {
      const names = Array.from({ length: random.below(12) }, (_, i) => {
        const folders = Array.from({ length: random.below(6) }, () =>
          random.pick(['a', 'ü', 'x'.repeat(40), 'b c', '日本']),
        );
        return [...folders, `${i}.rego`].join('/');
      });
      const files = filesOf(names.map((name) => [name, 'y'.repeat(random.pick([0, 1, 511, 512, 513, 5000]))]));
      const unpacked = await unpack(pack(files), 1_000_000);
      assert.deepEqual([...unpacked.keys()], [...files.keys()].sort());
      for (const [name, content] of files) assert.ok(content.equals(unpacked.get(name) ?? Buffer.alloc(0)), name);
    }
  });

  test('names of every length around the limits of a header are kept, and tar reads them', (context) => {
    const folder = scratchFolder(context);
    const nameOf = (length: number): string =>
      `${length}-`
        .padEnd(length, 'x')
        .replace(/(.{60})./g, '$1/')
        .replace(/\/$/, 'z');
    const files = filesOf([97, 98, 99, 100, 101, 155, 255, 900].map((length) => [nameOf(length), `${length}`]));
    writeFileSync(join(folder, 'b.tar.gz'), pack(files));
    mkdirSync(join(folder, 'out'));
    execFileSync('tar', ['-xzf', '../b.tar.gz'], { cwd: join(folder, 'out'), stdio: 'pipe' });
    for (const [name, content] of files) assert.deepEqual(readFileSync(join(folder, 'out', name)), content);
  });

  test('the same files make the same bytes, in whatever order they come, and nothing tells when or where', () => {
    const entries = [
      ['b.rego', 'package b'],
      ['a/data.json', '{}'],
      ['.manifest', '{}'],
    ] as const;
    const archive = pack(filesOf(entries));
    assert.deepEqual(pack(filesOf([...entries].reverse())), archive);
    assert.deepEqual([...archive.subarray(4, 8)], [0, 0, 0, 0]);
    const tar = gunzipSync(archive);
    // Mode, owner, group; time.
    assert.equal(tar.toString('latin1', 100, 124), '0000600\u00000000000\u00000000000\u0000');
    assert.equal(tar.toString('latin1', 136, 148), '00000000000\u0000');
  });
});
