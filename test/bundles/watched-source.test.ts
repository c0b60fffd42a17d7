import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Policy } from '../../src/bundles/activate.ts';
import { createBundles } from '../../src/bundles/bundles.ts';
import { createFileSource } from '../../src/bundles/sources/file.ts';
import { watchPath } from '../../src/bundles/sources/watch.ts';
import type { BundleConfig } from '../../src/config/schema.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { bundleOf } from '../support/archive.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { bundleConfig, noS3, nowhere } from '../support/sources.ts';

const never = new AbortController().signal;
const archive = (revision: string): Buffer => bundleOf([{ name: '.manifest', content: JSON.stringify({ revision }) }]);
const hourly = { polling: { min_delay_seconds: 3600, max_delay_seconds: 3600 } };

/** A bundle at a path, looked at once an hour unless the system tells of a change. */
async function setUp(scope: Scope, path: string, over: Partial<BundleConfig> = {}) {
  const events = new EventEmitter();
  const commits: Policy[] = [];
  const bundles = createBundles({
    config: { main: bundleConfig({ ...hourly, resource: `file://${path}`, ...over }) },
    services: {},
    keys: {},
    allowRollback: [],
    maxAgeMs: undefined,
    store: nowhere,
    s3: noS3,
    onStale: () => {},
    env: {},
    files: [],
    clock: systemClock,
    random: () => 0,
    log: { info: () => {}, warn: () => {}, error: () => {} },
    prepare: async (policy) => ({ commit: () => void commits.push(policy), abandon: () => {} }),
    onActivated: () => events.emit('activated'),
    onFailed: () => events.emit('failed'),
    onLooked: () => {},
  });
  scope.after(bundles.stop);
  await bundles.start();
  const next = async (event: 'activated' | 'failed', change: () => void): Promise<string | undefined> => {
    const came = once(events, event, { signal: AbortSignal.timeout(20_000) });
    change();
    await came;
    return commits.at(-1)?.revisions['main'];
  };
  return { bundles, next, active: () => commits.at(-1)?.revisions['main'], commits };
}

const revision = (name: string): string => JSON.stringify({ revision: name });

describe('a bundle on disk that is looked at once an hour', () => {
  test('is taken as soon as its archive is written, replaced, or comes back', async (context) => {
    const path = join(scratchFolder(context), 'bundle.tar.gz');
    writeFileSync(path, archive('r1'));
    const { next, active } = await setUp(context, path);
    assert.equal(active(), 'r1');
    assert.equal(await next('activated', () => writeFileSync(path, archive('r2'))), 'r2');
    writeFileSync(`${path}.new`, archive('r3'));
    assert.equal(await next('activated', () => renameSync(`${path}.new`, path)), 'r3');
    assert.equal(await next('failed', () => rmSync(path)), 'r3');
    assert.equal(await next('activated', () => writeFileSync(path, archive('r4'))), 'r4');
  });

  test('is taken as soon as its folder has changed, at any depth, or was replaced by another', async (context) => {
    const above = scratchFolder(context);
    const path = join(above, 'policy');
    const make = (folder: string, name: string): void => {
      mkdirSync(join(folder, 'a/b'), { recursive: true });
      writeFileSync(join(folder, '.manifest'), revision(name));
      writeFileSync(join(folder, 'a/b/data.json'), '{"v":1}');
    };
    make(path, 'r1');
    const { next, commits } = await setUp(context, path);
    assert.equal(await next('activated', () => writeFileSync(join(path, '.manifest'), revision('r2'))), 'r2');
    await next('activated', () => writeFileSync(join(path, 'a/b/data.json'), '{"v":2}'));
    assert.match(Buffer.from(commits.at(-1)?.data ?? []).toString(), /"v":2/);
    make(join(above, 'next'), 'r3');
    const replace = (): void => {
      renameSync(path, join(above, 'old'));
      renameSync(join(above, 'next'), path);
    };
    assert.equal(await next('activated', replace), 'r3');
    assert.equal(await next('activated', () => writeFileSync(join(path, '.manifest'), revision('r4'))), 'r4');
  });

  test('is taken when Kubernetes swaps the volume that it is in', async (context) => {
    const folder = scratchFolder(context);
    for (const [version, name] of [
      ['..2026_01', 'r1'],
      ['..2026_02', 'r2'],
    ] as const) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, 'bundle.tar.gz'), archive(name));
    }
    symlinkSync('..2026_01', join(folder, '..data'));
    symlinkSync('..data/bundle.tar.gz', join(folder, 'bundle.tar.gz'));
    const { next } = await setUp(context, join(folder, 'bundle.tar.gz'));
    symlinkSync('..2026_02', join(folder, '..data_tmp'));
    assert.equal(await next('activated', () => renameSync(join(folder, '..data_tmp'), join(folder, '..data'))), 'r2');
  });

  test('is read once and not watched when its trigger is manual, as OPA does it, and read again on demand', async (context) => {
    const path = join(scratchFolder(context), 'bundle.tar.gz');
    writeFileSync(path, archive('r1'));
    const { bundles, active } = await setUp(context, path, { trigger: 'manual' });
    assert.equal(active(), 'r1');
    writeFileSync(path, archive('r2'));
    // A watch would have been told by now, and have waited until the file has settled.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(active(), 'r1');
    await bundles.poke('main');
    assert.equal(active(), 'r2');
  });
});

test('a folder that is being written is not taken before it has come to rest', async (context) => {
  const folder = scratchFolder(context);
  const write = (name: string, version: number): void =>
    writeFileSync(join(folder, name), JSON.stringify({ [name.charAt(0)]: version }));
  mkdirSync(join(folder, 'x'));
  write('data.json', 1);
  write('x/data.json', 1);
  const source = createFileSource(folder, 10_000, 2000);
  const first = await source(undefined, never);
  assert.ok(first.kind === 'new');
  write('data.json', 2);
  const look = source(first.tag, never);
  await new Promise((resolve) => setTimeout(resolve, 300));
  write('x/data.json', 2);
  const second = await look;
  assert.ok(second.kind === 'new' && 'files' in second.content);
  assert.deepEqual([...second.content.files.values()].map(String), ['{"d":2}', '{"x":2}']);
});

test('a file that changes and changes back is not taken', async (context) => {
  const path = join(scratchFolder(context), 'bundle.tar.gz');
  writeFileSync(path, archive('r1'));
  const source = createFileSource(path, 10_000, 2000);
  const first = await source(undefined, never);
  assert.ok(first.kind === 'new');
  writeFileSync(path, archive('r2'));
  const look = source(first.tag, never);
  await new Promise((resolve) => setTimeout(resolve, 300));
  writeFileSync(path, archive('r1'));
  assert.equal((await look).kind, 'unchanged');
});

test('a watch of what is not there, or cannot be watched, says nothing and does no harm', () => {
  const unwatch = [watchPath('/nowhere/at/all', () => {}), watchPath('/dev/null', () => {}), watchPath('', () => {})];
  for (const end of unwatch) end();
});
