import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { archivedIds, asFiles, ask } from '../support/archived.ts';
import { httpRequest } from '../support/grpc.ts';
import { type Load, startLoad } from '../support/log-load.ts';
import { eventually, root } from '../support/process.ts';
import { isolateSdk, type S3Server, s3Env, startS3 } from '../support/s3.ts';
import { type S3Front, startS3Front } from '../support/s3-front.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { keptIn } from '../support/wal-folder.ts';

const scope = createScope();
let s3: S3Server;
before(async () => {
  isolateSdk(scratchFolder(scope), s3Env);
  s3 = await startS3(scope);
});
after(scope.close);

const policy = 'package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] == "fine"\n';
const requests = Array.from({ length: 50 }, (_, i) => httpRequest({ path: `/${i % 5 === 0 ? 'other' : 'fine'}/${i}` }));

async function setUp(
  context: Scope,
  bucket: string,
): Promise<{ readonly front: S3Front; readonly start: () => Promise<Server> }> {
  await s3.createBucket(bucket);
  const front = await startS3Front(context, s3.endpoint);
  const folder = scratchFolder(context);
  const bundle = buildPolicy(policy, folder);
  const store = {
    ...{ path: join(folder, 'decisions'), durability: 'sync', segment_bytes: 65_536, query: { max_rows: 100_000 } },
    ...{ archive: `s3://${bucket}/prod/`, archive_after_seconds: 1 },
  };
  const config = { postern: { s3: { ...s3.config, endpoint: front.endpoint }, store } };
  return { front, start: () => startPostern(context, { args: ['-b', bundle], config, folder }) };
}

/** Lets requests come in for a while, and gives the ids of their decisions. */
async function decided(server: Server, forMs: number, meanwhile?: (load: Load) => Promise<unknown>): Promise<string[]> {
  const load = startLoad(server.grpc, requests, 8);
  await Promise.all([pause(forMs), meanwhile?.(load)]);
  await load.end();
  return load.answers.map(({ decisionId }) => decisionId);
}

const archiveOf = async (server: Server): Promise<Tree> => {
  const { result } = (await (await fetch(`http://${server.api}/v1/status`)).json()) as {
    readonly result: { readonly store: { readonly archive: Tree } };
  };
  return result.store.archive;
};
const metricOf = async (server: Server, name: string): Promise<number> => {
  const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
};
const isArchived = (server: Server): Promise<true> =>
  eventually(async () => {
    const { lag_seconds: lag, problem } = await archiveOf(server);
    return lag === 0 && problem === null ? true : undefined;
  }, 60_000);

/** Kills the process that keeps decisions, as soon as there is one. */
async function killStore({ process: { pid } }: Server): Promise<void> {
  const store = await eventually(async () => {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('\0store\0'));
  });
  process.kill(Number(store), 'SIGKILL');
}

test('every decision is in the archive once, whatever stops, fails or dies meanwhile', {
  timeout: 240_000,
}, async (context) => {
  const { front, start } = await setUp(context, 'everything');
  const since = new Date(Date.now() - 60_000).toISOString();
  let server = await start();
  const answered = await decided(server, 1500);
  await isArchived(server);
  const first = await s3.objects('everything');
  assert.ok(first.size > 0);
  for (const key of first.keys()) assert.match(key, /^prod\/date=[0-9-]{10}\/hour=[0-9]{2}\/[0-9a-f-]+\.parquet$/);

  for (const fault of [503, 403, 'cut', 'hang'] as const) {
    front.fault = fault;
    const before = front.asked();
    const isMet = async (): Promise<true | undefined> => front.asked() > before || undefined;
    answered.push(...(await decided(server, 500, () => eventually(isMet, 60_000))));
    // What hangs is given up only after a minute; the process that waits for it may as well die.
    if (fault === 'hang') await killStore(server);
    else await eventually(async () => (typeof (await archiveOf(server))['problem'] === 'string' ? true : undefined));
    front.fault = undefined;
  }
  assert.ok((await metricOf(server, 'postern_store_archive_failures_total')) > 0);
  assert.ok(server.stderr().includes('decisions cannot be archived'), server.stderr());
  await isArchived(server);

  for (let i = 0; i < 6; i++) {
    const killed = (): Promise<void> => pause(Math.random() * 1500).then(() => killStore(server));
    answered.push(...(await decided(server, 800, killed)));
  }

  assert.equal(await server.stop('SIGTERM'), 0);
  server = await start();
  answered.push(...(await decided(server, 500, async () => pause(300).then(() => server.stop('SIGKILL')))));
  server = await start();
  answered.push(...(await decided(server, 300)));
  const kept = await eventually(async () => {
    const here = (await keptIn(server, since)).map(({ id }) => id).sort();
    return new Set(answered).isSubsetOf(new Set(here)) ? here : undefined;
  });
  assert.equal(await server.stop('SIGTERM'), 0);
  const ids = await archivedIds(context, await s3.objects('everything'));
  context.diagnostic(`${ids.length} decisions in ${(await s3.objects('everything')).size} files`);
  assert.deepEqual(ids, kept);
});

test('a bucket that is not there is told by name, and decisions go on', async (context) => {
  const { start } = await setUp(context, 'there');
  await s3.removeBucket('there');
  const server = await start();
  await decided(server, 300);
  const problem = await eventually(async () => (await archiveOf(server))['problem'] ?? undefined, 30_000);
  assert.match(String(problem), /^s3:\/\/there\/prod\/date=.*: there is no such bucket/);
  assert.ok((await metricOf(server, 'postern_store_archive_lag_seconds')) > 0);
  assert.ok((await decided(server, 100)).length > 0);
});

test('the documented statement for DuckDB answers over the archived files', async (context) => {
  const { start } = await setUp(context, 'documented');
  const server = await start();
  const ids = await decided(server, 500);
  await server.stop('SIGTERM');
  const objects = await s3.objects('documented');
  const folder = asFiles(context, objects);
  const doc = readFileSync(join(root, 'docs/decision-archive.md'), 'utf8');
  const statement = /```sql duckdb\n(.*?)```/s.exec(doc)?.[1] ?? '';
  const date = /date=([0-9-]+)/.exec([...objects.keys()][0] ?? '')?.[1] ?? '';
  const [[subject, reason, denied] = [], ...others] = await ask(
    statement.replace('s3://acme-decisions/prod', join(folder, 'prod')).replace('2026-01-02', date),
  );
  assert.deepEqual([subject, reason, others], [null, 'policy_denied', []]);
  assert.ok(Number(denied) > 0 && Number(denied) < ids.length, `${denied} of ${ids.length}`);
});
