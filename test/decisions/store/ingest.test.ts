import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { describeProcess } from '../../../src/decisions/wal/marker.ts';
import { eventually } from '../../support/process.ts';
import { scratchFolder, type Tree } from '../../support/servers.ts';
import { listAll, startStore, type TestStore } from '../../support/store.ts';
import { walWriter } from '../../support/wal.ts';

const parquetIn = (folder: string): readonly string[] =>
  readdirSync(join(folder, 'parquet'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.parquet'),
  );
const walIn = (folder: string): readonly string[] =>
  readdirSync(join(folder, 'wal')).filter((file) => file.includes('.ndjson'));
const idsOf = async (store: TestStore): Promise<readonly string[]> =>
  (await listAll(store)).map((event) => String(event['decision_id'])).sort();
const settled = (folder: string): Promise<true> =>
  eventually(async () => (walIn(folder).every((file) => file.endsWith('.open')) ? true : undefined));
const counted = async (store: TestStore, name: string): Promise<number> =>
  Number(new RegExp(`^${name} ([0-9]+)$`, 'm').exec(await store.metrics.expose())?.[1] ?? Number.NaN);

test('sealed segments become Parquet files, by date and hour, and go', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const ids = wal.write(500);
  const name = wal.seal();
  const store = await startStore(context, folder);
  await settled(folder);
  assert.deepEqual(walIn(folder), []);
  const created = new Date(Number(name.slice(0, 13))).toISOString();
  assert.deepEqual(parquetIn(folder), [`date=${created.slice(0, 10)}/hour=${created.slice(11, 13)}/${name}.parquet`]);
  assert.deepEqual(await idsOf(store), [...ids].sort());
});

test('decisions of an open segment are there, and still once when it was sealed', async (context) => {
  const folder = scratchFolder(context);
  const store = await startStore(context, folder);
  const wal = walWriter(folder);
  const ids: string[] = [];
  for (let round = 0; round < 3; round++) {
    ids.push(...wal.write(100));
    await eventually(async () => ((await listAll(store)).length === ids.length ? true : undefined));
    if (round === 1) wal.seal();
    assert.deepEqual(await idsOf(store), [...ids].sort());
  }
  await settled(folder);
  assert.deepEqual(await idsOf(store), [...ids].sort());
});

test('questions that are asked while segments are taken in see each decision once', async (context) => {
  const folder = scratchFolder(context);
  const store = await startStore(context, folder);
  const wal = walWriter(folder);
  let written = 0;
  for (let round = 0; round < 10; round++) {
    wal.write(200);
    wal.seal();
    written += 200;
    const least = Math.max(0, written - 200);
    const top = await store.queries.top({ filters: {}, by: 'outcome', limit: 10 });
    assert.ok(top.ok && top.value.total <= written, JSON.stringify(top));
    const table = await store.queries.sql('SELECT count(*), count(DISTINCT decision_id) FROM decisions');
    assert.ok(table.ok, JSON.stringify(table));
    const [all, different] = table.value.rows[0] ?? [];
    assert.equal(all, different);
    assert.ok(Number(all) <= written && least >= 0);
  }
  await eventually(async () => ((await idsOf(store)).length === written ? true : undefined));
});

test('a line that is not complete yet is waited for', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  wal.write(1);
  const store = await startStore(context, folder);
  const line =
    '{"decision_id":"late","timestamp":"2026-01-02T03:04:05.123456789Z","custom":{"outcome":"deny"},"seq":2}\n';
  wal.writeText(line.slice(0, 40));
  await eventually(async () => ((await listAll(store)).length === 1 ? true : undefined));
  wal.writeText(line.slice(40));
  await eventually(async () => ((await listAll(store, { outcome: 'deny' })).length === 1 ? true : undefined));
});

test('what a process cuts off, and writes into its next segment, is there once', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const ids = [...wal.write(10)];
  const open = join(folder, 'wal', `${wal.segment()}.ndjson.open`);
  const synced = readFileSync(open);
  wal.write(10);
  const lost = readFileSync(open).subarray(synced.length).toString();
  const store = await startStore(context, folder);
  await eventually(async () => ((await listAll(store)).length === 20 ? true : undefined));
  truncateSync(open, synced.length);
  wal.seal();
  wal.writeText(lost);
  ids.push(
    ...lost
      .trimEnd()
      .split('\n')
      .map((line) => String((JSON.parse(line) as Tree)['decision_id'])),
  );
  await settled(folder);
  await eventually(async () => ((await listAll(store)).length === 20 ? true : undefined));
  assert.deepEqual(await idsOf(store), ids.sort());
});

test('torn and foreign lines are counted and kept apart; the others are taken in', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const ids = [...wal.write(10)];
  wal.writeText('{"decision_id": "half\n[1, 2]\nnull\n\u0000\u0000\u0000\n\n');
  ids.push(...wal.write(10));
  wal.writeText('{"decision_id":"cut","timest');
  const name = wal.seal();
  const store = await startStore(context, folder);
  assert.deepEqual(await idsOf(store), ids.sort());
  await settled(folder);
  await eventually(async () =>
    (await counted(store, 'postern_store_unreadable_lines_total')) === 6 ? true : undefined,
  );
  assert.match(readFileSync(join(folder, 'quarantine', `${name}.lines`), 'utf8'), /"half\n\[1, 2\]\nnull\n/);
  assert.match(readFileSync(join(folder, 'quarantine', `${name}.lines.reason`), 'utf8'), /5 lines/);
});

test('events of any content come back as they were, and can be asked for', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const events = [
    '{"decision_id":"a","timestamp":"2026-11-01T00:00:00.1Z","input":{"n":123456789012345678901234567890.10,"s":"}]\\"\\\\"},"result":[1.0,{"a":null}],"custom":{}}',
    '{"decision_id":"b","input":{"lone":"\\ud800","pair":"\\ud83d\\ude00","nul":"\\u0000","slash":"\\\\ud800"},"custom":{"subject":"\\udfff\\u0000x"}}',
    '{"decision_id":"c","input":"text","result":false}',
    '{ "decision_id" : "d" , "input" : { } , "result" : null , "other" : [ { "seq" : 1 } ] }',
    '{"decision_id":5,"timestamp":7,"custom":{"outcome":["x"],"http_status":"403","phases":{"total_us":-1e300}}}',
    '{}',
    `{"decision_id":"deep","input":${'['.repeat(5000)}${']'.repeat(5000)}}`,
    `{"decision_id":"long","custom":{"subject":"${'s'.repeat(100_000)}","path":"/${'p'.repeat(100_000)}"}}`,
    '{"decision_id":"twice","input":1,"input":2}',
    '{"__proto__":{"decision_id":"x"},"decision_id":"proto","constructor":1}',
  ];
  wal.writeText(`${events.join('\n')}\n`);
  wal.seal();
  const store = await startStore(context, folder, { retention: { hours: 87_600 } });
  await settled(folder);
  const shown = async (id: string): Promise<string> => {
    const answer = await store.queries.show(id);
    assert.ok(answer.ok && answer.value !== undefined, id);
    return answer.value;
  };
  assert.match(await shown('a'), /"n":123456789012345678901234567890\.10,"s":"\}\]\\"\\\\"\},?/);
  assert.equal(
    JSON.stringify(JSON.parse(await shown('b'))['input']),
    JSON.stringify({ lone: '\ufffd', pair: '😀', nul: '\0', slash: '\\ud800' }),
  );
  assert.deepEqual(JSON.parse(await shown('d')), { decision_id: 'd', input: {}, result: null, other: [{ seq: 1 }] });
  assert.equal(JSON.parse(await shown('deep'))['decision_id'], 'deep');
  assert.equal(JSON.parse(await shown('long'))['custom']['subject'].length, 100_000);
  assert.deepEqual(JSON.parse(await shown('twice')), { decision_id: 'twice', input: 2 });
  assert.ok((await shown('proto')).includes('"__proto__"'));
  const page = await store.queries.list({ filters: {}, limit: 100 });
  assert.ok(page.ok && page.value.events.length === events.length);
  const table = await store.queries.sql(
    "SELECT count(*), count(input->>'$.lone'), max(length(subject)) FROM decisions",
  );
  assert.ok(table.ok, JSON.stringify(table));
  assert.deepEqual(table.value.rows, [[events.length, 1, 2048]]);
});

test('gaps are told from open segments, from files, and after a merge', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  for (let i = 0; i < 30; i++) {
    wal.write(i === 0 ? 0 : 2);
    wal.skip(3);
    if (i < 29) wal.seal();
  }
  const store = await startStore(context, folder);
  const gaps = await eventually(async () => {
    const answer = await store.queries.gaps({});
    return answer.ok && parquetIn(folder).length < 20 ? answer.value : undefined;
  });
  assert.equal(gaps.count, 90);
  assert.equal(gaps.gaps.length, 30);
  const table = await store.queries.sql('SELECT max(seq) - count(*) FROM decisions WHERE seq IS NOT NULL');
  assert.deepEqual(table.ok && table.value.rows, [[87]]);
});

describe('segments of processes', () => {
  const openSegment = (folder: string, token: string): string =>
    walIn(folder).find((file) => file.includes(token)) ?? 'none';

  test('that have gone are sealed, without their torn end; those of live ones are left alone', async (context) => {
    const folder = scratchFolder(context);
    const gone = walWriter(folder, { token: '00000001' });
    const alive = walWriter(folder, { token: '00000002' });
    const reused = walWriter(folder, { token: '00000003' });
    const rebooted = walWriter(folder, { token: '00000004' });
    const ids = [gone, alive, reused, rebooted].flatMap((wal) => wal.write(5));
    gone.writeText('{"torn');
    const own = JSON.parse(await describeProcess(Date.now())) as Tree;
    const holder = (token: string, said: Tree): void =>
      writeFileSync(join(folder, 'wal', `${token}.alive`), JSON.stringify({ ...own, ...said }));
    holder('00000001', { pid: 2 ** 22 + 1 });
    holder('00000002', {});
    holder('00000003', { start_ticks: 1 });
    holder('00000004', { boot_id: 'another' });
    const store = await startStore(context, folder);
    await eventually(async () => (walIn(folder).length === 1 ? true : undefined));
    assert.match(openSegment(folder, '00000002'), /\.open$/);
    ids.push(...alive.write(5));
    const markers = (): readonly string[] => readdirSync(join(folder, 'wal')).filter((file) => file.endsWith('.alive'));
    await eventually(async () => (markers().length === 1 ? true : undefined));
    assert.deepEqual(markers(), ['00000002.alive']);
    await eventually(async () => ((await listAll(store)).length === 25 ? true : undefined));
    assert.deepEqual(await idsOf(store), ids.sort());
  });

  test('that say nothing of themselves are given up when they were silent for a while', async (context) => {
    const folder = scratchFolder(context);
    walWriter(folder, { token: '0000000a', marked: false }).write(5);
    const store = await startStore(context, folder);
    assert.equal((await listAll(store)).length, 5);
    assert.match(openSegment(folder, '0000000a'), /\.open$/);
    await eventually(async () => (walIn(folder).length === 0 ? true : undefined), 60_000);
    assert.equal((await listAll(store)).length, 5);
  });
});

test('segments stay until those who registered a cursor have passed them', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  mkdirSync(join(folder, 'cursors'));
  const cursor = (segments: { readonly [name: string]: number }): void => {
    writeFileSync(join(folder, 'cursors/new.tmp'), JSON.stringify({ segments }));
    renameSync(join(folder, 'cursors/new.tmp'), join(folder, 'cursors/upload.json'));
  };
  writeFileSync(join(folder, 'cursors/upload.json'), '{');
  const names = [0, 1, 2].map(() => {
    wal.write(4);
    return wal.seal();
  });
  let store = await startStore(context, folder);
  await eventually(async () => (parquetIn(folder).length === 3 ? true : undefined));
  assert.equal(walIn(folder).length, 3);
  // What stays is not taken in once more by another start.
  await store.stop();
  store = await startStore(context, folder);
  assert.equal((await listAll(store)).length, 12);
  const [first = '', second = '', third = ''] = names;
  const sizeOf = (name: string): number => statSync(join(folder, 'wal', `${name}.ndjson`)).size;
  cursor({ [second]: sizeOf(second), [third]: sizeOf(third) - 1 });
  await eventually(async () => (walIn(folder).length === 2 ? true : undefined));
  assert.deepEqual(walIn(folder), [`${first}.ndjson`, `${third}.ndjson`]);
  cursor({ [first]: sizeOf(first), [third]: sizeOf(third) - 1 });
  await eventually(async () => (walIn(folder).length === 1 ? true : undefined));
  // A reader that is not there any more holds nothing back.
  rmSync(join(folder, 'cursors/upload.json'));
  await eventually(async () => (walIn(folder).length === 0 ? true : undefined));
  assert.equal((await listAll(store)).length, 12);
});

test('many small files are merged, and nothing is lost or twice, also across a restart', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const ids: string[] = [];
  for (let i = 0; i < 60; i++) {
    ids.push(...wal.write(10));
    wal.seal();
  }
  let store = await startStore(context, folder);
  await eventually(
    async () => (parquetIn(folder).length < 24 && walIn(folder).length === 0 ? true : undefined),
    60_000,
  );
  assert.deepEqual(await idsOf(store), [...ids].sort());
  await store.stop();
  store = await startStore(context, folder);
  assert.deepEqual(await idsOf(store), ids.sort());
});

test('files that a merge replaced, and a crash left, are not read twice', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const ids: string[] = [];
  for (let i = 0; i < 23; i++) {
    ids.push(...wal.write(3));
    wal.seal();
  }
  let store = await startStore(context, folder);
  await settled(folder);
  await store.stop();
  const old = parquetIn(folder).map((file) => [file, readFileSync(join(folder, 'parquet', file))] as const);
  assert.equal(old.length, 23);
  ids.push(...wal.write(3));
  wal.seal();
  store = await startStore(context, folder);
  await eventually(async () => (parquetIn(folder).length === 1 ? true : undefined));
  await store.stop();
  for (const [file, bytes] of old) writeFileSync(join(folder, 'parquet', file), bytes);
  store = await startStore(context, folder);
  assert.deepEqual(await idsOf(store), ids.sort());
  assert.equal(parquetIn(folder).length, 1);
});

describe('what is kept is bounded', () => {
  test('by age', async (context) => {
    const folder = scratchFolder(context);
    const old = walWriter(folder, { token: '00000001', nowMs: Date.now() - 10 * 3_600_000 });
    old.write(5);
    old.seal();
    const young = walWriter(folder, { token: '00000002' });
    const ids = young.write(5);
    young.seal();
    const store = await startStore(context, folder, { retention: { hours: 5 } });
    await eventually(async () => (parquetIn(folder).length === 1 ? true : undefined));
    assert.deepEqual(await idsOf(store), [...ids].sort());
    await eventually(async () => (readdirSync(join(folder, 'parquet')).length === 1 ? true : undefined));
  });

  test('by size, the oldest first', async (context) => {
    const folder = scratchFolder(context);
    let last: readonly string[] = [];
    for (let hour = 8; hour >= 0; hour--) {
      const wal = walWriter(folder, { token: `0000000${hour}`, nowMs: Date.now() - hour * 3_600_000 });
      const noise = (): string => Array.from({ length: 400 }, () => crypto.randomUUID()).join('');
      last = wal.write(20, () => ({ request: { path: `/${noise()}` } }));
      wal.seal();
    }
    const store = await startStore(context, folder, { retention: { max_bytes: 1_048_576 } });
    await eventually(async () => {
      const { bytes, files } = store.status() as { bytes?: number; files?: number };
      return files !== undefined && files < 9 && bytes !== undefined && bytes <= 1_048_576 ? true : undefined;
    });
    const left = await idsOf(store);
    assert.ok(left.length >= 20 && left.length < 180);
    for (const id of last) assert.ok(left.includes(id));
  });
});

describe('what cannot be read', () => {
  test('a segment that is no file is put aside with its reason', async (context) => {
    const folder = scratchFolder(context);
    const wal = walWriter(folder);
    const ids = wal.write(5);
    const name = wal.seal();
    mkdirSync(join(folder, 'wal', name.replace('000001', '000002').concat('.ndjson')));
    symlinkSync('loop.ndjson', join(folder, 'wal', 'loop.ndjson'));
    const store = await startStore(context, folder);
    await eventually(async () => ((await counted(store, 'postern_store_quarantined_total')) === 1 ? true : undefined));
    const put = readdirSync(join(folder, 'quarantine'));
    assert.ok(
      put.some((file) => file.endsWith('.reason')),
      put.join(),
    );
    assert.deepEqual(await idsOf(store), [...ids].sort());
  });

  const spoil: readonly (readonly [name: string, (bytes: Buffer) => Buffer])[] = [
    ['is empty', () => Buffer.alloc(0)],
    ['is text', () => Buffer.from('this is not Parquet')],
    ['is cut', (bytes) => bytes.subarray(0, bytes.length / 2)],
    ['has a spoiled footer', (bytes) => Buffer.from(bytes).fill(0xff, bytes.length - 200, bytes.length - 8)],
    ['has a spoiled length', (bytes) => Buffer.from(bytes).fill(0xff, bytes.length - 8, bytes.length - 4)],
    ['is another Parquet file', () => readFileSync(join(import.meta.dirname, '../../fixtures/other.parquet'))],
  ];
  for (const [name, change] of spoil) {
    test(`a Parquet file that ${name} is put aside at the start; the others are there`, async (context) => {
      const folder = scratchFolder(context);
      const wal = walWriter(folder);
      const gone = wal.write(5);
      const first = wal.seal();
      const ids = wal.write(5);
      wal.seal();
      let store = await startStore(context, folder);
      await settled(folder);
      assert.equal((await listAll(store)).length, 10);
      await store.stop();
      const file = parquetIn(folder).find((each) => each.includes(first)) ?? '';
      writeFileSync(join(folder, 'parquet', file), change(readFileSync(join(folder, 'parquet', file))));
      store = await startStore(context, folder);
      assert.deepEqual(await idsOf(store), [...ids].sort());
      assert.ok(gone.length > 0 && !existsSync(join(folder, 'parquet', file)));
      assert.equal(readdirSync(join(folder, 'quarantine')).length, 2);
    });
  }

  test('a Parquet file with spoiled pages is put aside when a question meets it', async (context) => {
    const folder = scratchFolder(context);
    const wal = walWriter(folder);
    wal.write(500);
    const first = wal.seal();
    const ids = wal.write(5);
    wal.seal();
    const store = await startStore(context, folder);
    await settled(folder);
    const file = join(folder, 'parquet', parquetIn(folder).find((each) => each.includes(first)) ?? '');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0xa5, 100, Math.floor(bytes.length * 0.7)));
    assert.deepEqual(await idsOf(store), [...ids].sort());
    const table = await eventually(async () => {
      const answer = await store.queries.sql('SELECT count(*), max(length(input)) > 0 FROM decisions');
      return answer.ok ? answer.value : undefined;
    });
    assert.deepEqual(table.rows, [[5, true]]);
    assert.ok(readdirSync(join(folder, 'quarantine')).some((entry) => entry.startsWith(first)));
  });
});

test('a second store over the same folder does not open; the first goes on', async (context) => {
  const folder = scratchFolder(context);
  const store = await startStore(context, folder);
  await assert.rejects(startStore(context, folder), /another process keeps decisions there/);
  assert.equal((await listAll(store)).length, 0);
});

test('for reading only, everything is there and nothing is touched', async (context) => {
  const folder = scratchFolder(context);
  const wal = walWriter(folder);
  const ids = [...wal.write(20)];
  wal.seal();
  let store = await startStore(context, folder);
  await settled(folder);
  await store.stop();
  ids.push(...wal.write(20));
  wal.seal();
  ids.push(...wal.write(20));
  wal.writeText('{"torn');
  const before = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  store = await startStore(context, folder, {}, true);
  assert.deepEqual(await idsOf(store), ids.sort());
  const table = await store.queries.sql('SELECT count(*) FROM decisions');
  assert.deepEqual(table.ok && table.value.rows, [[60]]);
  await store.stop();
  assert.deepEqual(readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort(), before);
});
