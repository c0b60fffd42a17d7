import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { DecisionLogsConfig } from '../../../src/config/decision-logs.ts';
import { passedBy } from '../../../src/decisions/store/cursors.ts';
import type { UploadSettings } from '../../../src/decisions/upload/protocol.ts';
import { startUploader, type Uploader } from '../../../src/decisions/upload/uploader.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { UploadCounts } from '../../../src/telemetry/upload-metrics.ts';
import { eventually } from '../../support/process.ts';
import { scratchFolder } from '../../support/servers.ts';
import { walWriter } from '../../support/wal.ts';

type Options = {
  readonly reporting?: Partial<DecisionLogsConfig['reporting']>;
  readonly limits?: Partial<UploadSettings['limits']>;
  readonly alone?: boolean;
  /** What a request is answered with; `hang`: the process ends before there is an answer. */
  readonly answer?: (ids: readonly string[]) => number | 'hang';
};

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** Whether it can be told that a process has gone. */
const hasProc = existsSync('/proc/sys/kernel/random/boot_id');

/** An uploader that sends to an array. */
async function setUp(context: TestContext, folder: string, options: Options = {}) {
  const ids: string[] = [];
  const { answer = () => 200 } = options;
  let isDead = false;
  const uploader = await startUploader({
    settings: {
      path: folder,
      alone: options.alone ?? true,
      limits: { hours: 1, bytes: 1e9, ...options.limits },
      reporting: {
        ...{ min_delay_seconds: 0.01, max_delay_seconds: 0.02, upload_size_limit_bytes: 4096, trigger: 'periodic' },
        ...options.reporting,
      },
    },
    post: async (body) => {
      const events = JSON.parse(gunzipSync(body).toString()) as readonly { readonly decision_id: string }[];
      const own = events.map(({ decision_id }) => decision_id);
      for (const event of events) assert.ok(!('seq' in event) && !('gap' in event));
      const status = answer(own);
      if (status === 'hang') {
        isDead = true;
        return new Promise<number>(() => {});
      }
      if (status === 200) ids.push(...own);
      return status;
    },
    clock: systemClock,
    random: Math.random,
    log: silent,
  });
  const totals: Totals = { decisions: 0, lost: {}, failures: {} };
  const report = (): UploadCounts => {
    const counts = uploader.report();
    totals.decisions += counts.decisions;
    for (const kind of ['lost', 'failures'] as const) {
      for (const [name, count] of Object.entries(counts[kind])) {
        totals[kind][name] = (totals[kind][name] ?? 0) + count;
      }
    }
    return counts;
  };
  context.after(() => (isDead ? undefined : uploader.stop(0)));
  return { uploader, ids, totals, report, isDead: () => isDead, has: (wanted: readonly string[]) => has(ids, wanted) };
}

type Totals = {
  decisions: number;
  readonly lost: { [reason: string]: number };
  readonly failures: { [kind: string]: number };
};

const has = (ids: readonly string[], wanted: readonly string[]): Promise<true> =>
  eventually(async () => {
    const there = new Set(ids);
    return wanted.every((id) => there.has(id)) ? true : undefined;
  });
const walIn = (folder: string): readonly string[] =>
  readdirSync(join(folder, 'wal')).filter((name) => name.includes('.ndjson'));
const stopped = async (uploader: Uploader): Promise<void> => uploader.stop(5000);

describe('decisions of several processes', () => {
  test('are sent once, those of each in their order, whoever finishes a segment first', async (context) => {
    const folder = scratchFolder(context);
    const writers = ['0000000a', '0000000b', '0000000c'].map((token) => walWriter(folder, { token }));
    const written: string[][] = writers.map(() => []);
    const { ids, has, uploader } = await setUp(context, folder);
    for (let round = 0; round < 30; round++) {
      for (const [i, writer] of writers.entries()) {
        written[i]?.push(...writer.write(1 + ((round * 7 + i) % 20)));
        // The first one keeps its segment open, behind which the others finish many.
        if (i > 0 && round % (i + 1) === 0) writer.seal();
        if (round % 5 === i) writer.skip(3);
      }
      if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await has(written.flat());
    for (const own of written) {
      const mine = new Set(own);
      assert.deepEqual(
        ids.filter((id) => mine.has(id)),
        own,
      );
    }
    assert.equal(ids.length, written.flat().length);
    for (const writer of writers) writer.seal();
    await stopped(uploader);
    assert.deepEqual(walIn(folder), []);
  });

  test('are all sent by those who come after a crash, and twice only what was under way', async (context) => {
    const folder = scratchFolder(context);
    const writers = ['0000000a', '0000000b'].map((token) => walWriter(folder, { token }));
    const written: string[] = [];
    const all: string[] = [];
    let unheard = 0;
    for (let crash = 0; crash < 12; crash++) {
      for (const [i, writer] of writers.entries()) {
        written.push(...writer.write(30));
        if ((crash + i) % 3 === 0) writer.seal();
      }
      let requests = 0;
      const sent = await setUp(context, folder, {
        reporting: { upload_size_limit_bytes: 1500 },
        answer: (ids) => {
          if (++requests <= crash % 4) return 200;
          // Taken, and then there is nobody to hear it; or not.
          if (crash % 2 === 0) {
            all.push(...ids);
            unheard += ids.length;
          }
          return 'hang';
        },
      });
      await eventually(async () => (sent.isDead() ? true : undefined));
      all.push(...sent.ids);
    }
    const last = await setUp(context, folder);
    await eventually(async () => {
      const there = new Set([...all, ...last.ids]);
      return written.every((id) => there.has(id)) ? true : undefined;
    });
    all.push(...last.ids);
    assert.deepEqual([...new Set(all)].sort(), [...written].sort());
    assert.ok(unheard > 0);
    assert.equal(all.length, written.length + unheard);
  });

  test('that have gone are sent to their torn end, and their segments go', { skip: !hasProc }, async (context) => {
    const folder = scratchFolder(context);
    const writer = walWriter(folder);
    const ids = writer.write(10);
    writer.writeText('{"decision_id":"torn');
    writeFileSync(join(folder, 'wal/a1b2c3d4.alive'), JSON.stringify({ pid: process.pid, boot_id: 'another' }));
    const { has } = await setUp(context, folder);
    await has(ids);
    await eventually(async () => (readdirSync(join(folder, 'wal')).length === 0 ? true : undefined));
  });

  test('stay for the store, which learns what was sent', async (context) => {
    const folder = scratchFolder(context);
    const writer = walWriter(folder);
    const first = writer.write(10);
    const name = writer.seal();
    const second = writer.write(10);
    const { has, uploader } = await setUp(context, folder, { alone: false });
    await has([...first, ...second]);
    await stopped(uploader);
    assert.deepEqual(walIn(folder), [`${name}.ndjson`, `${writer.segment()}.ndjson.open`]);
    const passed = await passedBy(join(folder, 'cursors'));
    const sizeOf = (file: string): number => statSync(join(folder, 'wal', file)).size;
    assert.ok(passed(name, sizeOf(`${name}.ndjson`)));
    assert.ok(passed(writer.segment(), sizeOf(`${writer.segment()}.ndjson.open`)));
    assert.ok(!passed(writer.segment(), sizeOf(`${writer.segment()}.ndjson.open`) + 1));
    assert.ok(!passed('1700000000000-0000000f-000001', 0));
  });
});

describe('a service that is away', () => {
  test('gets everything when it is back, and what waits is told meanwhile', async (context) => {
    const folder = scratchFolder(context);
    const writer = walWriter(folder);
    let status = 503;
    const { ids, has, report, totals } = await setUp(context, folder, { answer: () => status });
    const written = [...writer.write(50)];
    await eventually(async () => {
      const { oldestMs = Date.now(), waitingBytes, problem } = report();
      return waitingBytes > 10_000 && Date.now() - oldestMs > 1000 && problem?.status === 503 ? true : undefined;
    });
    assert.ok((totals.failures['server'] ?? 0) > 2);
    writer.seal();
    written.push(...writer.write(50));
    status = 200;
    await has(written);
    await eventually(async () => {
      const { oldestMs, waitingBytes, problem } = report();
      return oldestMs === undefined && waitingBytes === 0 && problem === undefined ? true : undefined;
    });
    assert.deepEqual(ids, written);
    assert.equal(totals.decisions, 100);
  });

  const bounds = [
    { reason: 'size', limits: { bytes: 60_000 }, reporting: {}, ageMs: 0 },
    { reason: 'size', limits: {}, reporting: { buffer_size_limit_bytes: 7000 }, ageMs: 0 },
    { reason: 'age', limits: { hours: 0.5 }, reporting: {}, ageMs: 3_600_000 },
  ] as const;
  for (const { reason, limits, reporting, ageMs } of bounds) {
    const key = Object.keys({ ...limits, ...reporting }).join();
    test(`does not get the oldest that are beyond the bound (${key}), which is counted`, async (context) => {
      const folder = scratchFolder(context);
      const old = walWriter(folder, { nowMs: Date.now() - Math.max(ageMs, 60_000), token: '0000000a' });
      const written = Array.from({ length: 10 }, () => {
        const ids = old.write(20);
        old.skip(4);
        old.seal();
        return ids;
      });
      const late = walWriter(folder, { token: '0000000b' }).write(20);
      let status = 500;
      const { ids, has, totals, report } = await setUp(context, folder, { limits, reporting, answer: () => status });
      await eventually(async () => {
        report();
        return (totals.lost[reason] ?? 0) > 0 ? true : undefined;
      });
      status = 200;
      await has(late);
      report();
      const lost = totals.lost[reason] ?? 0;
      assert.equal(lost % 20, 0);
      assert.deepEqual(ids, [...written.flat().slice(lost), ...late]);
      assert.equal(totals.decisions + lost, 220);
    });
  }
});

describe('what is sent when', () => {
  test('manual: only when asked', async (context) => {
    const folder = scratchFolder(context);
    const written = walWriter(folder).write(5);
    const { ids, has, uploader } = await setUp(context, folder, { reporting: { trigger: 'manual' } });
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.deepEqual(ids, []);
    uploader.flush();
    await has(written);
  });

  test('immediate: full requests at once, the rest after the delay', async (context) => {
    const folder = scratchFolder(context);
    const writer = walWriter(folder);
    const delays = { min_delay_seconds: 600, max_delay_seconds: 600 };
    const { ids, uploader } = await setUp(context, folder, { reporting: { trigger: 'immediate', ...delays } });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const written = writer.write(200);
    await eventually(async () => (ids.length > 100 ? true : undefined));
    assert.ok(ids.length < 200);
    await stopped(uploader);
    assert.deepEqual(ids, written);
  });

  test('at the end: what there is; and what is not taken then, at the next start', async (context) => {
    const folder = scratchFolder(context);
    const delays = { min_delay_seconds: 600, max_delay_seconds: 600 };
    const writer = walWriter(folder);
    const first = await setUp(context, folder, { reporting: delays });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const written = writer.write(20);
    writer.seal();
    await stopped(first.uploader);
    assert.deepEqual(first.ids, written);
    const more = writer.write(20);
    const second = await setUp(context, folder, { reporting: delays, answer: () => 500 });
    const startedMs = performance.now();
    await second.uploader.stop(700);
    assert.ok(performance.now() - startedMs < 2000);
    const third = await setUp(context, folder, { reporting: delays });
    await third.has(more);
    assert.deepEqual(third.ids, more);
  });

  test('of one second no more than max_decisions_per_second', async (context) => {
    const folder = scratchFolder(context);
    const writer = walWriter(folder, { nowMs: 1_000 * Math.floor(Date.now() / 1000) });
    const written = writer.write(50, (i) => ({ timeMs: 1_000_000 + 40 * i }));
    const { ids, has, report, totals } = await setUp(context, folder, {
      reporting: { max_decisions_per_second: 10.5 },
      limits: { hours: 1e6 },
    });
    await has([...written.slice(0, 10), ...written.slice(25, 35)]);
    report();
    assert.deepEqual([ids.length, totals.lost['rate']], [20, 30]);
  });
});

test('lines that are no decisions are left out and counted', async (context) => {
  const folder = scratchFolder(context);
  const writer = walWriter(folder);
  const written = [...writer.write(3)];
  writer.writeText('\0\0\0\n{"half":\n');
  written.push(...writer.write(3));
  const { ids, has, report, totals } = await setUp(context, folder);
  await has(written);
  report();
  assert.deepEqual([ids, totals.lost['unreadable']], [written, 2]);
});

test('a segment that cannot be looked at now stays, and holds up nobody', async (context) => {
  const folder = scratchFolder(context);
  const writer = walWriter(folder);
  const hidden = join(folder, 'elsewhere');
  symlinkSync(hidden, join(folder, 'wal/1700000000000-0000000f-000001.ndjson'));
  const written = writer.write(3);
  writer.seal();
  const { ids, has } = await setUp(context, folder, { limits: { hours: 1e6 } });
  await has(written);
  await eventually(async () => (walIn(folder).length === 1 ? true : undefined));
  const late = walWriter(folder, { token: '0000000f' });
  const more = late.write(3);
  renameSync(join(folder, 'wal', `${late.segment()}.ndjson.open`), hidden);
  await has(more);
  assert.deepEqual(ids, [...written, ...more]);
});

test('a cursor that cannot be read means the beginning, and one of segments that have gone is forgotten', async (context) => {
  const folder = scratchFolder(context);
  mkdirSync(join(folder, 'cursors'));
  writeFileSync(join(folder, 'cursors/upload.json'), '{');
  const written = walWriter(folder).write(3);
  const first = await setUp(context, folder, { alone: false });
  await first.has(written);
  await stopped(first.uploader);
  const file = join(folder, 'cursors/upload.json');
  const { segments } = JSON.parse(readFileSync(file, 'utf8')) as { segments: Record<string, number> };
  assert.equal(Object.keys(segments).length, 1);
  writeFileSync(file, JSON.stringify({ segments: { ...segments, '1700000000000-0000000f-000001': 7 } }));
  const second = await setUp(context, folder, { alone: false });
  await stopped(second.uploader);
  assert.deepEqual([second.ids, JSON.parse(readFileSync(file, 'utf8'))], [[], { segments }]);
});
