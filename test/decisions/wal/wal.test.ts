import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { diskFiles, type WalFiles } from '../../../src/decisions/wal/files.ts';
import { createWal, type WalOptions } from '../../../src/decisions/wal/wal.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { DecisionRecord } from '../../../src/model/record.ts';
import { eventually } from '../../support/process.ts';
import { scratchFolder } from '../../support/servers.ts';
import { numbersOf, readWal } from '../../support/wal-folder.ts';
import { recordOf } from '../records.ts';

const NEVER = Number.POSITIVE_INFINITY;
const numbered = (id: number): DecisionRecord => recordOf({}, { decisionId: String(id) });
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The disk, where each kind of work can be made to fail or to wait. */
function createDisk() {
  const faults = new Map<'write' | 'sync', () => Promise<void>>();
  const files: WalFiles = {
    ...diskFiles,
    create: async (path) => {
      const file = await diskFiles.create(path);
      return {
        ...file,
        write: async (bytes, at) => {
          const fault = faults.get('write');
          // As a disk that becomes full: a part is written.
          if (fault !== undefined) {
            await file.write(bytes.subarray(0, bytes.length >> 1), at);
            await fault();
          }
          await file.write(bytes, at);
        },
        sync: async () => {
          await faults.get('sync')?.();
          await file.sync();
        },
      };
    },
  };
  const failWith = (code: string) => async (): Promise<void> => {
    throw Object.assign(new Error(code), { code });
  };
  return {
    files,
    fail: (what: 'write' | 'sync', code: string) => faults.set(what, failWith(code)),
    hold: (what: 'write' | 'sync') => {
      let open = (): void => {};
      const gate = new Promise<void>((resolve) => (open = resolve));
      faults.set(what, () => gate);
      return () => {
        faults.delete(what);
        open();
      };
    },
    heal: () => faults.clear(),
  };
}

async function startSubject(context: TestContext, over: Partial<WalOptions> = {}) {
  const folder = scratchFolder(context);
  const counts = { written: 0, gaps: 0, bytes: 0, synced: 0, sealed: 0 };
  const drops: [count: number, reason: string][] = [];
  const errors: unknown[] = [];
  const wal = createWal({
    folder,
    durability: 'group',
    denies: false,
    maxRecords: 10_000,
    maxBytes: 1e9,
    segmentBytes: 16_777_216,
    toLine: (record) => JSON.stringify({ decision_id: record.decisionId }),
    files: diskFiles,
    clock: systemClock,
    token: '0badcafe',
    events: {
      onDrop: (count, reason) => drops.push([count, reason]),
      onError: (error) => errors.push(error),
      onWritten: (records, gaps, bytes) => {
        counts.written += records;
        counts.gaps += gaps;
        counts.bytes += bytes;
      },
      onSynced: () => counts.synced++,
      onSealed: () => counts.sealed++,
    },
    ...over,
  });
  await wal.start();
  context.after(() => wal.stop());
  const record = (from: number, to: number): void => {
    for (const id of range(from, to)) assert.equal(wal.record(numbered(id), undefined, NEVER), undefined);
  };
  const idle = (): Promise<true> => eventually(async () => (wal.depth().records === 0 ? true : undefined));
  const dropped = (): number => drops.reduce((sum, [count]) => sum + count, 0);
  return { wal, folder, counts, drops, errors, record, idle, dropped, read: () => readWal(folder) };
}

const idsOf = (events: readonly { readonly decision_id: string }[]): number[] =>
  events.map(({ decision_id }) => Number(decision_id));

describe('segments', () => {
  test('hold each decision with its number, for the owner only, and are sealed at the end', async (context) => {
    const { wal, folder, counts, record, idle, read } = await startSubject(context);
    const [marker] = readdirSync(join(folder, 'wal'));
    assert.equal(marker, '0badcafe.alive');
    const alive = JSON.parse(readFileSync(join(folder, 'wal', marker), 'utf8')) as { readonly pid: number };
    assert.equal(alive.pid, process.pid);
    record(1, 100);
    await idle();
    const open = read();
    assert.match(open.names.join(), /^[0-9]{13}-0badcafe-000001\.ndjson\.open$/);
    assert.deepEqual(idsOf(open.events), range(1, 100));
    await wal.stop();
    const sealed = read();
    assert.deepEqual(sealed.names, [open.names[0]?.replace('.open', '')]);
    assert.deepEqual(
      sealed.events.map(({ seq }) => seq),
      range(1, 100),
    );
    assert.deepEqual(readdirSync(join(folder, 'wal')), sealed.names);
    assert.equal(statSync(join(folder, 'wal')).mode & 0o777, 0o700);
    assert.equal(statSync(join(folder, 'wal', sealed.names[0] ?? '')).mode & 0o777, 0o600);
    assert.equal(counts.written, 100);
    assert.equal(counts.sealed, 1);
    assert.ok(counts.synced > 0);
    assert.equal(counts.bytes, statSync(join(folder, 'wal', sealed.names[0] ?? '')).size);
  });

  test('are sealed when they are large', async (context) => {
    const { record, idle, read } = await startSubject(context, { segmentBytes: 1000 });
    for (const first of [1, 101, 201]) {
      record(first, first + 99);
      await idle();
    }
    // What is sealed is kept before it is.
    await eventually(async () => (read().names.join().endsWith('3.ndjson') ? true : undefined));
    const { names, events } = read();
    assert.deepEqual(
      names.map((name) => name.slice(13)),
      [1, 2, 3].map((n) => `-0badcafe-00000${n}.ndjson`),
    );
    assert.deepEqual(idsOf(events), range(1, 300));
  });

  test('are sealed when they are old, and none is made without decisions', async (context) => {
    let aheadMs = 0;
    const clock = { ...systemClock, monotonicMs: () => performance.now() + aheadMs };
    const { record, idle, read } = await startSubject(context, { clock });
    record(1, 1);
    await idle();
    aheadMs = 10_001;
    record(2, 2);
    await eventually(async () => (read().names.join().endsWith('000001.ndjson') ? true : undefined));
    await pause(100);
    assert.deepEqual(idsOf(read().events), [1, 2]);
    assert.equal(read().names.length, 1);
    record(3, 3);
    await idle();
    assert.equal(read().names.length, 2);
  });
});

test('what was refused unread leaves a gap where it happened, and is not counted as lost', async (context) => {
  const { wal, record, dropped, read } = await startSubject(context);
  record(1, 2);
  for (let i = 0; i < 1000; i++) wal.leaveOut();
  record(1003, 1004);
  wal.leaveOut();
  await wal.stop();
  const content = read();
  assert.deepEqual(
    content.gaps.map(({ from_seq, to_seq, count, reason }) => [from_seq, to_seq, count, reason]),
    [
      [3, 1002, 1000, 'overload'],
      [1005, 1005, 1, 'overload'],
    ],
  );
  assert.deepEqual(numbersOf(content), range(1, 1005));
  assert.equal(dropped(), 0);
});

describe('a log without room', () => {
  test('drops what is new, counts it, and says so where it happened', async (context) => {
    const disk = createDisk();
    const subject = await startSubject(context, { files: disk.files, maxRecords: 100 });
    const open = disk.hold('sync');
    subject.record(1, 250);
    assert.deepEqual(subject.dropped(), 150);
    open();
    await subject.idle();
    subject.record(251, 260);
    await subject.wal.stop();
    const content = subject.read();
    assert.deepEqual(
      content.gaps.map(({ from_seq, to_seq, count, reason }) => [from_seq, to_seq, count, reason]),
      [[101, 250, 150, 'overflow']],
    );
    assert.deepEqual(numbersOf(content), range(1, 260));
    assert.equal(subject.counts.gaps, 1);
    assert.equal(subject.counts.written, 110);
  });

  test('is bounded in bytes too', async (context) => {
    const disk = createDisk();
    const subject = await startSubject(context, { files: disk.files, maxBytes: 100_000 });
    const open = disk.hold('write');
    const body = 'x'.repeat(10_000);
    for (const id of range(1, 10)) {
      void subject.wal.record(recordOf({ body }, { decisionId: String(id) }), undefined, NEVER);
    }
    assert.equal(subject.dropped(), 8);
    open();
    await subject.idle();
    assert.deepEqual(subject.wal.depth(), { records: 0, bytes: 0 });
  });

  test('keeps room for what was begun, and for nothing else', async (context) => {
    const disk = createDisk();
    const { wal, read, record, dropped } = await startSubject(context, {
      files: disk.files,
      maxRecords: 2,
      denies: true,
    });
    const open = disk.hold('write');
    const rooms = [wal.reserve(undefined), wal.reserve(undefined)];
    assert.ok(rooms.every((room) => room !== undefined));
    assert.equal(wal.reserve(undefined), undefined);
    record(1, 1);
    assert.equal(dropped(), 1);
    void wal.record(numbered(2), rooms[0], NEVER);
    void wal.record(numbered(3), rooms[1], NEVER);
    assert.equal(dropped(), 1);
    open();
    await eventually(async () => (wal.reserve(undefined) === undefined ? undefined : true));
    const content = read();
    assert.deepEqual(idsOf(content.events), [2, 3]);
    assert.deepEqual(numbersOf(content), [1, 2, 3]);
  });
});

describe('a disk that fails', () => {
  test('when it is full, takes each decision once when there is room again', async (context) => {
    const disk = createDisk();
    const subject = await startSubject(context, { files: disk.files, maxRecords: 50, denies: true });
    subject.record(1, 10);
    await subject.idle();
    disk.fail('write', 'ENOSPC');
    subject.record(11, 60);
    await eventually(async () => (subject.errors.length > 0 ? true : undefined));
    assert.equal(subject.wal.reserve(undefined), undefined);
    subject.record(61, 70);
    assert.deepEqual(
      subject.drops.map(([, reason]) => reason),
      Array(10).fill('disk_full'),
    );
    disk.heal();
    await subject.idle();
    assert.notEqual(subject.wal.reserve(undefined), undefined);
    await subject.wal.stop();
    const content = subject.read();
    assert.equal(content.names.length, 1);
    assert.equal(content.torn, 0);
    assert.deepEqual(idsOf(content.events), range(1, 60));
    assert.deepEqual(numbersOf(content), range(1, 70));
    assert.equal(content.gaps[0]?.reason, 'disk_full');
  });

  test('when it cannot sync, has each decision once, in another segment', async (context) => {
    const disk = createDisk();
    const subject = await startSubject(context, { files: disk.files });
    subject.record(1, 10);
    await subject.idle();
    disk.fail('sync', 'EIO');
    subject.record(11, 20);
    await eventually(async () => (subject.errors.length > 0 ? true : undefined));
    disk.heal();
    await subject.idle();
    const content = subject.read();
    assert.equal(content.names.length, 2);
    assert.deepEqual(idsOf(content.events), range(1, 20));
  });

  test('when it syncs slowly, has what was decided meanwhile all the same', async (context) => {
    const disk = createDisk();
    const { wal, record, read } = await startSubject(context, { files: disk.files, segmentBytes: 1000 });
    const open = disk.hold('sync');
    for (const first of [1, 101, 201]) {
      record(first, first + 99);
      await eventually(async () => (read().events.length === first + 99 ? true : undefined));
    }
    assert.equal(wal.depth().records, 300);
    open();
    await wal.stop();
    const { names, events } = read();
    assert.deepEqual(idsOf(events), range(1, 300));
    assert.equal(names.length, 3);
    assert.ok(names.every((name) => name.endsWith('.ndjson')));
  });

  test('until the end, loses what waits, and counts it', async (context) => {
    const disk = createDisk();
    const subject = await startSubject(context, { files: disk.files });
    disk.fail('write', 'EIO');
    subject.record(1, 20);
    await eventually(async () => (subject.errors.length > 0 ? true : undefined));
    await subject.wal.stop();
    assert.equal(subject.dropped(), 20);
    assert.deepEqual(subject.read().events, []);
    assert.deepEqual(subject.read().names, []);
  });

  test('or hangs, holds up neither a decision nor the end', async (context) => {
    const disk = createDisk();
    const subject = await startSubject(context, { files: disk.files, stopTimeoutMs: 50 });
    const open = disk.hold('write');
    // `record` asserts that there is nothing to wait for.
    subject.record(1, 500);
    await pause(100);
    subject.record(501, 1000);
    await subject.wal.stop();
    assert.equal(subject.dropped(), 1000);
    open();
  });
});

describe('durability', () => {
  test('sync lets an answer wait for the disk, within its time', async (context) => {
    for (const denies of [true, false]) {
      const disk = createDisk();
      const { wal } = await startSubject(context, { files: disk.files, durability: 'sync', denies });
      const open = disk.hold('sync');
      let answered = false;
      const kept = wal.record(numbered(1), undefined, performance.now() + 60_000);
      void kept?.then(() => (answered = true));
      await pause(50);
      assert.equal(answered, false);
      open();
      assert.equal(await kept, true);
      disk.fail('sync', 'EIO');
      assert.equal(await wal.record(numbered(2), undefined, performance.now() + 60_000), !denies);
      disk.heal();
      const openAgain = disk.hold('sync');
      assert.equal(await wal.record(numbered(3), undefined, performance.now() + 20), !denies);
      openAgain();
    }
  });

  test('async leaves the disk alone until a segment is sealed', async (context) => {
    const { wal, counts, record, idle } = await startSubject(context, { durability: 'async' });
    record(1, 10);
    await idle();
    assert.equal(counts.synced, 0);
    await wal.stop();
    assert.equal(counts.synced, 1);
  });
});

test('a decision that cannot be written down is a gap', async (context) => {
  const toLine = ({ decisionId }: DecisionRecord): string => {
    if (decisionId === '2') throw new Error('odd');
    return `{"decision_id":"${decisionId}"}`;
  };
  const { wal, read, record, dropped } = await startSubject(context, { toLine });
  record(1, 3);
  await wal.stop();
  const content = read();
  assert.deepEqual(idsOf(content.events), [1, 3]);
  assert.deepEqual(numbersOf(content), [1, 2, 3]);
  assert.equal(dropped(), 1);
});

test('a folder that cannot be made is a reason not to start', async (context) => {
  await assert.rejects(startSubject(context, { folder: '/dev/null/x' }), { code: 'ENOTDIR' });
});
