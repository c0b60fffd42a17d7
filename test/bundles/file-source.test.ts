import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { openBundle } from '../../src/bundles/open.ts';
import { createFileSource } from '../../src/bundles/sources/file.ts';
import { describeBundleSource, type Place } from '../contract/bundle-source.ts';
import { bundleOf, type Entry } from '../support/archive.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { signWithOpa, verificationWith } from '../support/signing.ts';
import { unpacked } from '../support/unpacked.ts';

const LIMIT = 10_000;
const never = new AbortController().signal;

const makePipe = (path: string): Buffer => execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', path]);

function write(folder: string, entries: readonly Entry[]): void {
  for (const { name, content = '' } of entries) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

const CANARY = 's3cr3t-in-content';

/** How long changes must stay, which the place can change while its sources are used. */
function settling(path: string) {
  let settleMs = 1;
  return {
    source: (maxBytes: number): ReturnType<Place['source']> =>
      unpacked((tag, signal) => createFileSource(path, maxBytes, settleMs)(tag, signal), maxBytes),
    hold: () => {
      settleMs = 3_600_000;
    },
    secrets: [CANARY],
  };
}

async function archive(scope: Scope): Promise<Place> {
  const file = join(scratchFolder(scope), 'bundle.tar.gz');
  return {
    ...settling(file),
    put: (entries) => writeFileSync(file, bundleOf(entries)),
    spoil: () => writeFileSync(file, `${CANARY} is no archive`),
    remove: () => rmSync(file),
  };
}

async function folder(scope: Scope): Promise<Place> {
  const path = join(scratchFolder(scope), 'policy');
  return {
    ...settling(path),
    put: (entries) => {
      rmSync(path, { recursive: true, force: true });
      write(path, entries);
    },
    spoil: () => {
      rmSync(path, { recursive: true, force: true });
      mkdirSync(path);
      makePipe(join(path, 'data.json'));
    },
    remove: () => rmSync(path, { recursive: true }),
  };
}

describeBundleSource('an archive on disk', archive);
describeBundleSource('a folder', folder);

async function namesIn(path: string): Promise<readonly string[]> {
  const fetched = await unpacked(createFileSource(path, LIMIT), LIMIT)(undefined, never);
  assert.equal(fetched.kind, 'new');
  return [...fetched.files.keys()];
}

describe('a folder of a bundle', () => {
  test('that Kubernetes mounted is read once, and again after the swap of its link', async (context) => {
    const path = scratchFolder(context);
    write(join(path, '..2026_01'), [
      { name: 'data.json', content: '{"v":1}' },
      { name: 'lists/data.json', content: '[1]' },
    ]);
    write(join(path, '..2026_02'), [
      { name: 'data.json', content: '{"v":2}' },
      { name: 'lists/data.json', content: '[2]' },
    ]);
    symlinkSync('..2026_01', join(path, '..data'));
    symlinkSync('..data/data.json', join(path, 'data.json'));
    symlinkSync('..data/lists', join(path, 'lists'));
    const source = unpacked(createFileSource(path, LIMIT, 1), LIMIT);
    const first = await source(undefined, never);
    assert.equal(first.kind, 'new');
    assert.deepEqual([...first.files].map(String), ['data.json,{"v":1}', 'lists/data.json,[1]']);
    symlinkSync('..2026_02', join(path, '..data_tmp'));
    renameSync(join(path, '..data_tmp'), join(path, '..data'));
    const second = await source(first.tag, never);
    assert.equal(second.kind, 'new');
    assert.deepEqual([...second.files].map(String), ['data.json,{"v":2}', 'lists/data.json,[2]']);
  });

  test('gives only what belongs to a bundle', async (context) => {
    const path = scratchFolder(context);
    const names = ['.manifest', 'a/data.yaml', 'a/notes.txt', 'a/policy.rego', 'data.json', 'metadata.json'];
    write(
      path,
      [...names, 'policy.wasm', 'x.manifest.pb'].map((name) => ({ name, content: '{}' })),
    );
    assert.deepEqual(await namesIn(path), [
      '.manifest',
      'a/data.yaml',
      'a/policy.rego',
      'data.json',
      'policy.wasm',
      'x.manifest.pb',
    ]);
  });

  test('that opa signed gives all that is in it, and is verified', async (context) => {
    const path = join(scratchFolder(context), 'bundle');
    mkdirSync(path);
    const files = { 'data.json': '{"v":1}', 'a/notes.txt': 'text', 'metadata.json': '{}' };
    write(
      path,
      Object.entries(signWithOpa(scratchFolder(context), files, 'ES256')).map(([name, content]) => ({ name, content })),
    );
    const opened = async () => {
      const fetched = await unpacked(createFileSource(path, LIMIT), LIMIT)(undefined, never);
      assert.equal(fetched.kind, 'new');
      return openBundle(fetched.files, verificationWith('ES256'), Date.now());
    };
    assert.equal((await opened()).kind, 'snapshot');
    write(path, [{ name: 'a/more.txt', content: 'text' }]);
    await assert.rejects(opened(), /a\/more\.txt is not listed/);
  });

  test('whose links lead in circles is refused', async (context) => {
    const path = scratchFolder(context);
    write(path, [{ name: 'a/data.json', content: '{}' }]);
    symlinkSync('..', join(path, 'a/up'));
    await assert.rejects(namesIn(path), /leads back/);
  });

  test('that is too deep, or has too many entries, is refused', async (context) => {
    const deep = scratchFolder(context);
    write(deep, [{ name: `${'d/'.repeat(40)}data.json`, content: '{}' }]);
    await assert.rejects(namesIn(deep), /too deep/);
    const wide = scratchFolder(context);
    for (let i = 0; i <= 10_000; i++) mkdirSync(join(wide, `d${i}`));
    await assert.rejects(namesIn(wide), /more than 10000 entries/);
  });

  test('counts its limit over all files', async (context) => {
    const path = scratchFolder(context);
    write(
      path,
      ['a', 'b', 'c'].map((name) => ({ name: `${name}/data.json`, content: `"${'x'.repeat(4000)}"` })),
    );
    await assert.rejects(namesIn(path), /larger than/);
  });
});

test('a pipe or a device in the place of an archive is refused and not waited for', async (context) => {
  const path = join(scratchFolder(context), 'bundle.tar.gz');
  makePipe(path);
  await assert.rejects(unpacked(createFileSource(path, LIMIT), LIMIT)(undefined, never), /not a regular file/);
  await assert.rejects(unpacked(createFileSource('/dev/zero', LIMIT), LIMIT)(undefined, never), /not a regular file/);
});
