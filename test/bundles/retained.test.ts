import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { createRetained, type RetainedBundles } from '../../src/bundles/retained.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const scope = createScope();
after(() => scope.close());

let folder: string;
let nowMs: number;
let warnings: string[];
let retained: RetainedBundles;
const open = (maxBytes = 1_000_000): RetainedBundles =>
  createRetained({
    folder,
    maxBytes,
    clock: { wallMs: () => nowMs, monotonicMs: () => nowMs },
    log: { warn: (_fields, message) => void warnings.push(message) },
  });

beforeEach(() => {
  folder = join(scratchFolder(scope), 'bundles');
  nowMs = Date.parse('2026-01-02T00:00:00Z');
  warnings = [];
  retained = open();
});

const digestOf = (content: string): string => hash('sha256', content);
const archiveOf = (content: string): Buffer => Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.from(content)]);

/** Keeps a version whose archive is `content`; a delta when it has a base. Returns its digest. */
async function keep(content: string, bundle = 'main', base?: string): Promise<string> {
  const bytes = archiveOf(content);
  const archive = hash('sha256', bytes);
  const digest = base === undefined ? archive : digestOf(`${base} ${archive}`);
  await retained.keep({ digest, archive, base, bundle, revision: content }, bytes);
  return digest;
}
async function serve(content: string, bundle = 'main', base?: string): Promise<string> {
  const digest = await keep(content, bundle, base);
  await retained.activated([digest]);
  return digest;
}
/** The contents of the archives that are there. */
const kept = (): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.includes('.tar'))
    .map((name) => readFileSync(join(folder, name)).subarray(2).toString())
    .sort();

describe('bundles kept with decisions', () => {
  test('are there under the digest of their bytes', async () => {
    const digest = await serve('one');
    assert.deepEqual(readdirSync(folder).sort(), [`${digest}.json`, `${digest}.tar.gz`]);
    assert.equal(hash('sha256', readFileSync(join(folder, `${digest}.tar.gz`))), digest);
    const { archive, ...version } = JSON.parse(readFileSync(join(folder, `${digest}.json`), 'utf8')) as object & {
      readonly archive: string;
    };
    assert.equal(archive, digest);
    const time = '2026-01-02T00:00:00.000Z';
    assert.deepEqual(version, { bundle: 'main', revision: 'one', kept_at: time, activated_at: time });
  });

  test('stay as long as there are decisions that they may have made', async () => {
    await serve('one');
    nowMs += HOUR;
    await serve('two');
    const replacedMs = nowMs;
    nowMs += HOUR;
    await retained.sweep(replacedMs - 1);
    assert.deepEqual(kept(), ['one', 'two']);
    await retained.sweep(replacedMs + MINUTE);
    assert.deepEqual(kept(), ['one', 'two']);
    await retained.sweep(replacedMs + MINUTE + 1);
    assert.deepEqual(kept(), ['two']);
    await retained.sweep(nowMs + 1000 * HOUR);
    assert.deepEqual(kept(), ['two']);
  });

  test('are told apart by the names of bundles', async () => {
    await serve('policy');
    nowMs += HOUR;
    for (const version of ['d1', 'd2', 'd3']) await serve(version, 'data');
    nowMs += HOUR;
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['d3', 'policy']);
  });

  test('stay when an older one serves again', async () => {
    await serve('one');
    nowMs += HOUR;
    await serve('two');
    nowMs += HOUR;
    await serve('one');
    nowMs += HOUR;
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['one']);
  });

  test('stay while they serve, also when the clock was set back', async () => {
    await serve('one');
    nowMs -= 24 * HOUR;
    await serve('two');
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['one', 'two']);
    await retained.sweep(nowMs + 48 * HOUR);
    assert.deepEqual(kept(), ['two']);
  });

  test('stay when deltas change them, also such as have never served themselves', async () => {
    const base = await keep('base');
    const first = await keep('delta 1', 'main', base);
    await serve('delta 2', 'main', first);
    nowMs += 2 * HOUR;
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['base', 'delta 1', 'delta 2']);
    await serve('new');
    nowMs += HOUR;
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['new']);
  });

  test('are known again after a restart', async () => {
    await serve('one');
    nowMs += HOUR;
    retained = open();
    await serve('two');
    nowMs += HOUR;
    retained = open();
    await retained.sweep(nowMs - 90 * MINUTE);
    assert.deepEqual(kept(), ['one', 'two']);
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['two']);
  });

  test('that never served go after an hour', async () => {
    await serve('one');
    await keep('bad');
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['bad', 'one']);
    nowMs += HOUR;
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['one']);
  });

  test('go before their time when they take too much, the oldest first, and what serves does not', async () => {
    retained = open(25);
    for (const version of ['version 1', 'version 2', 'version 3', 'version 4']) {
      await serve(version);
      nowMs += MINUTE;
    }
    await retained.sweep(0);
    assert.deepEqual(kept(), ['version 3', 'version 4']);
    assert.deepEqual(warnings, ['bundles of recorded decisions are removed, as they take too much']);
    retained = open(1);
    await retained.sweep(0);
    assert.deepEqual(kept(), ['version 4']);
  });

  test('what a crash has left unfinished goes, and what somebody else put there is not read', async () => {
    await serve('one');
    const names = [`${digestOf('x')}.tar.gz`, `${digestOf('y')}.tar.gz.3f.part`, `${digestOf('z')}.json`];
    for (const name of names) {
      writeFileSync(join(folder, name), 'nonsense');
      utimesSync(join(folder, name), nowMs / 1000, nowMs / 1000);
    }
    retained = open();
    await retained.sweep(nowMs);
    assert.equal(kept().length, 3);
    nowMs += HOUR + 1;
    await retained.sweep(nowMs);
    assert.deepEqual(kept(), ['one']);
    assert.deepEqual(warnings, []);
  });

  test('a disk that cannot be written to is told of, and nothing else happens', async () => {
    await serve('one');
    rmSync(folder, { recursive: true });
    writeFileSync(folder, '');
    await serve('two');
    await retained.sweep(nowMs);
    assert.ok(warnings.length >= 2, warnings.join());
    assert.match(warnings[0] ?? '', /cannot be evaluated again/);
  });
});
