import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type BundleStore, createBundleStore, type StoredBundle } from '../../src/bundles/store.ts';
import { scratchFolder } from '../support/servers.ts';

const one = { archive: Buffer.from('one'), tag: '"1"' };
const two = { archive: Buffer.from('two'), tag: '"2"' };

async function kept(store: BundleStore, name: string): Promise<StoredBundle | undefined> {
  const bundle = await store.load(name);
  return bundle === undefined ? undefined : { archive: bundle.archive, tag: bundle.tag };
}

describe('the store of bundles', () => {
  test('gives back what was saved last, also to another process, and keeps nothing else', async (context) => {
    const folder = join(scratchFolder(context), 'deep/down');
    const store = createBundleStore(folder);
    assert.equal(await store.load('a'), undefined);
    await store.save('a', one);
    await store.save('b', one);
    await store.save('a', two);
    const again = createBundleStore(folder);
    assert.deepEqual(await kept(again, 'a'), two);
    assert.deepEqual(await kept(again, 'b'), one);
    assert.equal(await again.load('c'), undefined);
    await store.save('b', two);
    assert.equal(readdirSync(folder).length, 3);
  });

  test('refuses what was changed, and takes a name for nothing but a name', async (context) => {
    const folder = scratchFolder(context);
    const store = createBundleStore(folder);
    for (const name of ['../../etc/passwd', '', '__proto__', 'a/b', '\0']) {
      await store.save(name, one);
      assert.deepEqual(await kept(store, name), one);
    }
    const [archive = ''] = readdirSync(folder).filter((file) => file.endsWith('.tar.gz'));
    writeFileSync(join(folder, archive), 'onf');
    await assert.rejects(store.load(''), /not what was stored/);
  });

  test('knows when a bundle was confirmed last', async (context) => {
    const store = createBundleStore(scratchFolder(context));
    await assert.rejects(store.confirm('a'), { code: 'ENOENT' });
    await store.save('a', one);
    const saved = (await store.load('a'))?.confirmedMs ?? 0;
    assert.ok(Math.abs(saved - Date.now()) < 60_000);
    await store.confirm('a');
    assert.ok(((await store.load('a'))?.confirmedMs ?? 0) >= saved);
  });

  test('has nothing where its files are not its own', async (context) => {
    const folder = scratchFolder(context);
    const store = createBundleStore(folder);
    await store.save('a', one);
    const [index = ''] = readdirSync(folder).filter((file) => file.endsWith('.json'));
    const good = readFileSync(join(folder, index), 'utf8');
    for (const bad of [
      '',
      '{',
      'null',
      '[]',
      '{"name":"a"}',
      good.replace('"a"', '"b"'),
      good.replace(/[0-9a-f]{64}/, '../x'),
    ]) {
      writeFileSync(join(folder, index), bad);
      assert.equal(await store.load('a'), undefined, bad);
    }
    writeFileSync(join(folder, index), 'x'.repeat(20_000));
    await assert.rejects(store.load('a'), /larger|more than/);
  });

  test('leaves what it had when it cannot write', async (context) => {
    const folder = scratchFolder(context);
    const store = createBundleStore(join(folder, 's'));
    await store.save('a', one);
    for (const file of readdirSync(join(folder, 's'))) assert.ok(existsSync(join(folder, 's', file)));
    const blocked = createBundleStore(join(folder, 'file'));
    writeFileSync(join(folder, 'file'), '');
    await assert.rejects(blocked.save('a', one));
    mkdirSync(join(folder, 'other'));
    assert.deepEqual(await kept(store, 'a'), one);
  });
});
