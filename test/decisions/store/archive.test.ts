import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createFollowers } from '../../../src/decisions/query/followers.ts';
import type { PutObject } from '../../../src/decisions/store/archive/archive.ts';
import { openStore, type Store } from '../../../src/decisions/store/store.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { type ArchiveReport, archiveLag } from '../../../src/telemetry/store-metrics.ts';
import { archivedIds } from '../../support/archived.ts';
import { eventually } from '../../support/process.ts';
import type { Scope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';
import { walWriter } from '../../support/wal.ts';

const HOUR_MS = 3_600_000;
/** Long enough ago for files to be archived, all of one hour. */
const EARLIER = (Math.floor(Date.now() / HOUR_MS) - 2) * HOUR_MS + 60_000;

type Objects = Map<string, Uint8Array>;
type Opened = Store & { readonly told: readonly string[]; readonly total: () => ArchiveReport };

const into =
  (objects: Objects): PutObject =>
  async (key, bytes) =>
    void objects.set(key, bytes);

type Options = {
  readonly afterSeconds?: number;
  readonly retentionBytes?: number;
  readonly archived?: boolean;
  readonly readOnly?: boolean;
};

async function open(scope: Scope, folder: string, putObject: PutObject, options: Options = {}): Promise<Opened> {
  const told: string[] = [];
  const tell = (facts: object, message: string): void => void told.push(`${message} ${JSON.stringify(facts)}`);
  const { afterSeconds = 300, retentionBytes = 1e12, archived = true, readOnly = false } = options;
  const store = await openStore({
    settings: {
      ...{ path: folder, retentionHours: 168, retentionBytes, memoryBytes: 268_435_456, timeoutMs: 2000 },
      ...{ readOnly, logging: { level: 'error', format: 'json' } },
      ...(archived
        ? { archive: { bucket: 'b', prefix: 'fleet/one', afterSeconds, s3: { force_path_style: true } } }
        : {}),
    },
    clock: systemClock,
    log: { debug: () => {}, info: tell, warn: tell, error: tell },
    followers: createFollowers(systemClock.wallMs),
    putObject,
  });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= store.stop();
    return stopped;
  };
  scope.after(stop);
  const sum = { files: 0, bytes: 0, failures: 0, lost: 0 };
  const total = (): ArchiveReport => {
    const { archive } = store.report();
    assert.ok(archive);
    for (const name of ['files', 'bytes', 'failures', 'lost'] as const) sum[name] += archive[name];
    return { ...archive, ...sum };
  };
  return { ...store, stop, told, total };
}

/** A folder with some sealed segments. Gives the ids of their decisions, sorted. */
function filled(folder: string, { segments = 5, token = 'a1b2c3d4', nowMs = EARLIER } = {}): readonly string[] {
  const wal = walWriter(folder, { token, nowMs });
  const ids: string[] = [];
  for (let i = 0; i < segments; i++) {
    ids.push(...wal.write(40));
    wal.seal();
  }
  return ids.sort();
}

const stored = (folder: string): readonly string[] =>
  readdirSync(join(folder, 'parquet'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.parquet'),
  );
const listed = (folder: string): { readonly chosen: readonly string[]; readonly archived: readonly string[] } =>
  JSON.parse(readFileSync(join(folder, 'archive.json'), 'utf8'));

test('files that are old enough are merged and archived, by date and hour', async (context) => {
  const folder = scratchFolder(context);
  const ids = filled(folder);
  const objects: Objects = new Map();
  const store = await open(context, folder, into(objects));
  await eventually(async () => (store.total().waitingSinceMs === null ? true : undefined));
  const at = new Date(EARLIER).toISOString();
  const [key = '', ...others] = objects.keys();
  assert.deepEqual(others, []);
  assert.match(
    key,
    new RegExp(
      `^fleet/one/date=${at.slice(0, 10)}/hour=${at.slice(11, 13)}/[0-9]{13}-a1b2c3d4-000001-[0-9a-f]{12}.parquet$`,
    ),
  );
  assert.deepEqual(await archivedIds(context, objects), ids);
  const { files, bytes, failures, lost, problem } = store.total();
  assert.deepEqual(
    { files, bytes, failures, lost, problem },
    { files: 1, bytes: objects.get(key)?.length, failures: 0, lost: 0, problem: null },
  );
});

test('those that are not are archived when the store stops, and lag until then', async (context) => {
  const folder = scratchFolder(context);
  const ids = filled(folder, { nowMs: Date.now() - 20_000 });
  const objects: Objects = new Map();
  const store = await open(context, folder, into(objects));
  const lagSeconds = archiveLag(store.total(), Date.now());
  assert.ok(lagSeconds >= 20 && lagSeconds < 60, String(lagSeconds));
  assert.equal(objects.size, 0);
  await store.stop();
  assert.deepEqual(await archivedIds(context, objects), ids);
  assert.equal(listed(folder).chosen.length, 0);
});

test('a store without an archive has no list, and says nothing of one', async (context) => {
  const folder = scratchFolder(context);
  filled(folder);
  const store = await open(context, folder, into(new Map()), { archived: false });
  assert.equal(store.report().archive, undefined);
  await store.stop();
  assert.ok(!existsSync(join(folder, 'archive.json')));
});

test('a store that is opened for reading archives nothing', async (context) => {
  const folder = scratchFolder(context);
  filled(folder);
  const objects: Objects = new Map();
  const store = await open(context, folder, into(objects), { readOnly: true });
  assert.equal(store.report().archive, undefined);
  await store.stop();
  assert.equal(objects.size, 0);
  assert.ok(!existsSync(join(folder, 'archive.json')));
});

test('the lag grows while nobody reports', () => {
  const report = { files: 0, bytes: 0, failures: 0, lost: 0, problem: null, atMs: 100_000 };
  const lag = (waitingSinceMs: number | null, nowMs: number): number =>
    archiveLag({ ...report, waitingSinceMs }, nowMs);
  assert.equal(lag(null, 100_500), 0);
  assert.equal(lag(null, 160_000), 60);
  assert.equal(lag(90_000, 160_000), 70);
  assert.equal(lag(170_000, 160_000), 0);
});

describe('a store that ended', () => {
  type Images = { readonly before: string; readonly after: string };

  /** Its folder as a crash before and after the upload of its first file would have left it. */
  async function images(scope: Scope, folder: string, objects: Objects): Promise<Images> {
    const [before, after] = [scratchFolder(scope), scratchFolder(scope)];
    const store = await open(scope, folder, async (key, bytes) => {
      if (objects.size > 0) throw new Error('once is enough');
      cpSync(folder, before, { recursive: true });
      objects.set(key, bytes);
      cpSync(folder, after, { recursive: true });
    });
    await eventually(async () => (objects.size > 0 ? true : undefined));
    await store.stop();
    return { before, after };
  }

  /** More decisions of the same hour, which are not merged with what is chosen. */
  async function goesOn(scope: Scope, folder: string, objects: Objects, ids: readonly string[]): Promise<void> {
    const more = filled(folder, { token: '0000000e' });
    const store = await open(scope, folder, into(objects));
    await eventually(async () => (store.total().waitingSinceMs === null ? true : undefined));
    await store.stop();
    assert.deepEqual(await archivedIds(scope, objects), [...ids, ...more].sort());
  }

  test('between choice and upload uploads what it chose', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const { before } = await images(context, folder, new Map());
    assert.equal(listed(before).chosen.length, 1);
    await goesOn(context, before, new Map(), ids);
  });

  test('between upload and mark uploads it again, in the place of what is there', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const objects: Objects = new Map();
    const { after } = await images(context, folder, objects);
    assert.equal(listed(after).chosen.length, 1);
    await goesOn(context, after, objects, ids);
  });

  test('between merge and choice takes the merged file, whatever is left of the others', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const unmerged = scratchFolder(context);
    cpSync(folder, unmerged, { recursive: true });
    await (await open(context, unmerged, into(new Map()), { archived: false, afterSeconds: 3600 })).stop();
    const { before } = await images(context, folder, new Map());
    rmSync(join(before, 'archive.json'));
    cpSync(join(unmerged, 'parquet'), join(before, 'parquet'), { recursive: true });
    await goesOn(context, before, new Map(), ids);
  });

  test('without an archive leaves alone what was chosen', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const { before } = await images(context, folder, new Map());
    const [chosen = ''] = listed(before).chosen;
    const more = filled(before, { token: '0000000e' });
    await (await open(context, before, into(new Map()), { archived: false })).stop();
    assert.ok(stored(before).some((file) => file.endsWith(`/${chosen}.parquet`)));
    const objects: Objects = new Map();
    await (await open(context, before, into(objects))).stop();
    assert.deepEqual(await archivedIds(context, objects), [...ids, ...more].sort());
  });

  test('and lost its list archives all files again under the same names', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const objects: Objects = new Map();
    await (await open(context, folder, into(objects))).stop();
    writeFileSync(join(folder, 'archive.json'), '{"chosen": [');
    const again = await open(context, folder, into(objects));
    assert.match(again.told.join(), /what is in the archive cannot be read/);
    await again.stop();
    assert.deepEqual(await archivedIds(context, objects), ids);
    assert.equal(listed(folder).archived.length, 1);
  });
});

describe('an archive that fails', () => {
  test('is tried again, is told of once, and keeps nobody from asking', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const objects: Objects = new Map();
    let failures = 0;
    const store = await open(context, folder, async (key, bytes) => {
      if (++failures <= 2) throw new Error('s3://b/fleet: access denied');
      objects.set(key, bytes);
    });
    const { problem, waitingSinceMs } = await eventually(async () => {
      const report = store.total();
      return report.failures > 0 ? report : undefined;
    });
    assert.match(problem ?? '', /access denied/);
    assert.equal(waitingSinceMs, EARLIER);
    await eventually(async () => (store.total().waitingSinceMs === null ? true : undefined));
    assert.deepEqual(await archivedIds(context, objects), ids);
    assert.equal(store.total().failures, 2);
    assert.equal(store.total().problem, null);
    assert.deepEqual(
      store.told.map((line) => line.split(' {')[0]),
      ['decisions cannot be archived; it is tried again', 'decisions are archived again'],
    );
  });

  test('for one file lets others pass', async (context) => {
    const folder = scratchFolder(context);
    const ids = [
      ...filled(folder, { segments: 1, token: '00000001', nowMs: EARLIER - HOUR_MS }),
      ...filled(folder, { segments: 1, token: '00000002' }),
    ];
    const objects: Objects = new Map();
    let failed = false;
    const order: string[] = [];
    const store = await open(context, folder, async (key, bytes) => {
      order.push(key.includes('-00000001-') ? 'first' : 'second');
      if (!failed) {
        failed = true;
        throw new Error('too large');
      }
      objects.set(key, bytes);
    });
    await eventually(async () => (store.total().waitingSinceMs === null ? true : undefined));
    assert.deepEqual(order, ['first', 'second', 'first']);
    assert.deepEqual(await archivedIds(context, objects), ids.sort());
  });

  test('by not answering does not keep the store from its end, and is done at the next start', async (context) => {
    const folder = scratchFolder(context);
    const ids = filled(folder);
    const hanging = await open(
      context,
      folder,
      (_key, _bytes, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    );
    const startedMs = Date.now();
    await hanging.stop();
    assert.ok(Date.now() - startedMs < 8000);
    const objects: Objects = new Map();
    await (await open(context, folder, into(objects))).stop();
    assert.deepEqual(await archivedIds(context, objects), ids);
  });

  test('for too long loses what has to be removed, which is counted and told', async (context) => {
    const folder = scratchFolder(context);
    filled(folder, { segments: 1 });
    const down: PutObject = async () => {
      throw new Error('down');
    };
    await (await open(context, folder, down)).stop();
    const store = await open(context, folder, down, { retentionBytes: 1 });
    assert.equal(store.total().lost, 1);
    assert.match(store.told.join(), /removed before they were archived \{"files":1,"decisions":40\}/);
    assert.equal(store.total().waitingSinceMs, null);
    await store.stop();
    assert.deepEqual(listed(folder), { chosen: [], archived: [] });
  });
});
