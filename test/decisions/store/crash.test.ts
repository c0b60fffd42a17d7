import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ArchiveSettings, StoreFunctions } from '../../../src/decisions/store/protocol.ts';
import { type Channel, createChannel } from '../../../src/lib/channel.ts';
import { archivedIds } from '../../support/archived.ts';
import { eventually, root } from '../../support/process.ts';
import { isolateSdk, s3Env, startS3 } from '../../support/s3.ts';
import { scratchFolder } from '../../support/servers.ts';
import { listAll, startStore } from '../../support/store.ts';
import { walWriter } from '../../support/wal.ts';

const ROUNDS = 30;

type StoreChild = {
  readonly channel: Channel<StoreFunctions>;
  readonly began: Promise<void>;
  readonly exited: Promise<unknown>;
  readonly kill: () => void;
};

function startChild(folder: string, archive: ArchiveSettings | undefined): StoreChild {
  const child = fork(join(root, 'src/store-main.ts'), ['store', '0'], {
    serialization: 'advanced',
    env: archive === undefined ? {} : s3Env,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const exited = once(child, 'exit');
  const channel = createChannel<StoreFunctions>(
    {
      send: (message) => child.connected && child.send(message as object),
      onMessage: (listener) => child.on('message', listener),
      onClose: (listener) => child.once('disconnect', listener),
    },
    { report: () => {} },
  );
  const began = channel.call('start', {
    path: folder,
    retentionHours: 168,
    retentionBytes: 1e12,
    memoryBytes: 268_435_456,
    timeoutMs: 2000,
    readOnly: false,
    ...(archive === undefined ? {} : { archive }),
    logging: { level: 'error', format: 'json' },
  });
  return { channel, began, exited, kill: () => void child.kill('SIGKILL') };
}

/** A store that is killed that long after it was started, whatever it is doing. */
async function killedAfter(folder: string, ms: number, archive?: ArchiveSettings): Promise<void> {
  const { began, exited, kill } = startChild(folder, archive);
  // Part of them while it opens, most of them while it takes segments in and merges.
  if (ms > 0) await Promise.race([began.catch(() => {}), exited]);
  else began.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, Math.abs(ms)));
  kill();
  await exited;
}

test('however often the store is killed, nothing is lost and nothing is twice', {
  timeout: 240_000,
}, async (context) => {
  const folder = scratchFolder(context);
  const writers = [walWriter(folder, { token: '00000001' }), walWriter(folder, { token: '00000002' })];
  const ids: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const wal of writers) {
      for (let i = 0; i < 4; i++) {
        ids.push(...wal.write(50 + Math.floor(Math.random() * 200)));
        wal.seal();
      }
      ids.push(...wal.write(20));
    }
    // Below zero: counted from the start of the process.
    await killedAfter(folder, round % 4 === 0 ? -Math.random() * 900 : Math.random() * 250);
  }
  const store = await startStore(context, folder);
  const wal = (): readonly string[] => readdirSync(join(folder, 'wal')).filter((file) => file.endsWith('.ndjson'));
  await eventually(async () => (wal().length === 0 ? true : undefined), 60_000);
  const found = (await listAll(store)).map((event) => String(event['decision_id']));
  assert.equal(found.length, ids.length);
  assert.deepEqual(found.sort(), ids.sort());
  const table = await store.queries.sql(
    'SELECT process, count(*) = max(seq), count(DISTINCT seq) = max(seq) FROM decisions GROUP BY process ORDER BY process',
  );
  assert.deepEqual(table.ok && table.value.rows, [
    ['00000001', true, true],
    ['00000002', true, true],
  ]);
  assert.deepEqual(readdirSync(join(folder, 'quarantine')), []);
  await eventually(async () =>
    readdirSync(join(folder, 'tmp')).some((file) => file.endsWith('.parquet')) ? undefined : true,
  );
});

test('however often it is killed, each decision is in the archive once', { timeout: 240_000 }, async (context) => {
  isolateSdk(scratchFolder(context), s3Env);
  const s3 = await startS3(context);
  await s3.createBucket('archive');
  const archive = { bucket: 'archive', prefix: '', afterSeconds: 300, s3: s3.config };
  const folder = scratchFolder(context);
  // Old enough, so that they are archived as soon as a store is there.
  const wal = walWriter(folder, { nowMs: Date.now() - 600_000 });
  const ids: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < 1 + (round % 3); i++) {
      ids.push(...wal.write(100));
      wal.seal();
    }
    await killedAfter(folder, round % 4 === 0 ? -Math.random() * 900 : Math.random() * 400, archive);
  }
  const killed = (await s3.objects('archive')).size;
  await eventually(async () => {
    const { channel, began, exited } = startChild(folder, archive);
    await began;
    await channel.call('stop', undefined);
    await exited;
    const { chosen } = JSON.parse(readFileSync(join(folder, 'archive.json'), 'utf8')) as Record<string, string[]>;
    return chosen?.length === 0 ? true : undefined;
  }, 60_000);
  const objects = await s3.objects('archive');
  context.diagnostic(`${killed} of ${objects.size} files were archived by stores that were killed`);
  assert.ok(killed > 0);
  assert.deepEqual(await archivedIds(context, objects), ids.sort());
});
