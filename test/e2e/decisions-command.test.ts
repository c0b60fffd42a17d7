import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Child, eventually, freePorts, root, startProcess } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { type WalWriter, walWriter } from '../support/wal.ts';

const scope = createScope();
const postern = join(root, 'bin/postern');
let folder: string;
let server: Server;
let wal: WalWriter;
let ids: readonly string[];
const started = Date.now() - 60_000;

before(async () => {
  const scratch = scratchFolder(scope);
  folder = join(scratch, 'decisions');
  wal = walWriter(folder);
  ids = wal.write(40, (i) => ({
    subject: i % 4 === 0 ? 'ann' : 'bob',
    timeMs: started + i,
    latencyMs: (i + 1) / 10,
    request: { path: `/v1/items/${i}` },
    ...(i % 4 === 0 ? { record: { outcome: 'deny', reason: 'policy_denied', httpStatus: 403 } } : {}),
  }));
  wal.write(1, () => ({ subject: 'x\u001b[2J\u202e,"y"', request: { path: '/evil\u001b]0;title\u0007' } }));
  server = await startPostern(scope, {
    folder: scratch,
    args: ['-b', buildPolicy('package envoy.authz\n\nallow := true\n', scratch)],
    config: { postern: { store: { path: folder } } },
  });
  await eventually(async () => ((await fetch(`http://${server.api}/v1/decisions`)).ok ? true : undefined));
});
after(() => scope.close());

const start = (...args: readonly string[]): Child => startProcess(scope, postern, ['decisions', ...args]);
async function run(code: number, ...args: readonly string[]): Promise<{ readonly out: string; readonly err: string }> {
  const child = start(...args);
  const exit = await child.exited;
  assert.equal(exit, code, `${child.stdout()}${child.stderr()}`);
  return { out: child.stdout(), err: child.stderr() };
}

const sources: readonly (readonly [name: string, flags: () => readonly string[]])[] = [
  ['of a running server', () => ['--server', `http://${server.api}`]],
  ['of the files', () => ['--path', folder]],
];
for (const [name, flags] of sources) {
  describe(`decisions ${name}`, () => {
    test('list', async () => {
      const { out } = await run(0, 'list', ...flags(), '--subject', 'ann', '--limit', '5');
      const lines = out.trimEnd().split('\n');
      assert.match(lines[0] ?? '', /^time +outcome +reason +http_status +method +host +path/);
      assert.equal(lines.length, 7);
      assert.match(lines[2] ?? '', /deny +policy_denied +403 +GET +api\.test +\/v1\/items\/36 +ann/);
      const json = JSON.parse(
        (await run(0, 'list', ...flags(), '--outcome', 'deny', '--format', 'json')).out,
      ) as Tree[];
      assert.equal(json.length, 10);
      const nd = (await run(0, 'list', ...flags(), '--limit', '100', '--format', 'ndjson')).out.trimEnd().split('\n');
      assert.equal(nd.length, 41);
    });

    test('what somebody else chose does not reach the terminal as it is', async () => {
      const { out } = await run(0, 'list', ...flags(), '--request-path', '/evil');
      assert.ok(out.includes('/evil\\u001b]0;title\\u0007'), out);
      const csv = (await run(0, 'list', ...flags(), '--request-path', '/evil', '--format', 'csv')).out;
      assert.ok(csv.includes('"x\\u001b[2J\\u202e,""y"""'), csv);
      assert.ok(![...out, ...csv].some((character) => character < ' ' && character !== '\n'));
    });

    test('show', async () => {
      const { out } = await run(0, 'show', ...flags(), ids[3] ?? '');
      assert.match(out, /^subject +bob$/m);
      const event = JSON.parse((await run(0, 'show', ...flags(), ids[3] ?? '', '--format', 'json')).out) as Tree;
      assert.equal(event['decision_id'], ids[3]);
      const { err } = await run(1, 'show', ...flags(), 'nobody');
      assert.match(err, /there is no such decision/);
    });

    test('top', async () => {
      const { out } = await run(0, 'top', ...flags(), '--by', 'subject');
      assert.match(out, /^bob +30 +73\.2 % +0 +█+$/m);
      assert.match(out, /^41 decisions in all$/m);
      const { out: csv } = await run(0, 'top', ...flags(), '--by', 'reason', '--format', 'csv');
      assert.equal(csv, 'reason,count,denied\npolicy_allowed,31,0\npolicy_denied,10,10\n');
    });

    test('histogram', async () => {
      const { out } = await run(0, 'histogram', ...flags(), '--subject', 'ann');
      assert.match(out, /^whole check: 10 decisions$/m);
      assert.match(out, /^ +p50 1\.\d+ ms +p90 .* max 3\.7 ms$/m);
      assert.match(out, /^ +≤ 2\.5 ms │█+[▏▎▍▌▋▊▉]? +[0-9]+ +[0-9.]+ %$/m);
      const nd = (await run(0, 'histogram', ...flags(), '--by', 'route', '--format', 'ndjson')).out
        .trimEnd()
        .split('\n');
      assert.ok(nd.map((line) => JSON.parse(line) as Tree).some(({ value }) => value === '/v1/items/{id}'));
    });

    test('query', async () => {
      const sql =
        "SELECT subject, count(*) AS n, NULL AS nothing FROM decisions WHERE subject < 'c' GROUP BY 1 ORDER BY 1";
      const { out } = await run(0, 'query', ...flags(), sql);
      assert.equal(out, 'subject   n  nothing\n───────  ──  ───────\nann      10\nbob      30\n');
      assert.equal(
        (await run(0, 'query', ...flags(), sql, '--format', 'csv')).out,
        'subject,n,nothing\nann,10,\nbob,30,\n',
      );
      assert.deepEqual(JSON.parse((await run(0, 'query', ...flags(), 'SELECT 1 AS a', '--format', 'json')).out), {
        columns: [{ name: 'a', type: 'INTEGER' }],
        rows: [[1]],
        truncated: false,
      });
      assert.match((await run(1, 'query', ...flags(), 'DROP TABLE decisions')).err, /only SELECT is possible/);
    });

    test('a filter that is none', async () => {
      assert.match((await run(1, 'list', ...flags(), '--since', 'yesterday')).err, /since: a time/);
      assert.match((await run(1, 'list', ...flags(), '--method', 'G T')).err, /method/);
    });
  });
}

test('tail shows what comes in, and ends with a signal', async () => {
  const child = start('tail', '--server', `http://${server.api}`, '--subject', 'carl');
  await eventually(async () => {
    wal.write(1, () => ({ subject: 'carl' }));
    return child.stdout().includes('"carl"') ? true : undefined;
  });
  assert.equal(await child.stop('SIGINT'), 0);
  assert.equal(child.stderr(), '');
});

test('a command line that is wrong ends with 2', async () => {
  await run(2, 'list', '--nope');
  await run(2, 'list', '--limit', '0');
  await run(2, 'list', '--format', 'xml');
  await run(2, 'list', '--server', 'ftp://x');
  await run(2, 'top', '--by', 'input');
  await run(2, 'list', '--path', join(folder, 'nowhere'));
  await run(2, 'list', '--token-file', join(folder, 'nowhere'));
});

test('a server that is not there is told of', async () => {
  const [port = 0] = await freePorts(1);
  assert.match((await run(1, 'list', '--server', `http://127.0.0.1:${port}`)).err, /cannot be asked: .*ECONNREFUSED/);
});

test('an empty store has no decisions, in every form', async (context) => {
  const empty = join(scratchFolder(context), 'empty');
  mkdirSync(join(empty, 'wal'), { recursive: true });
  writeFileSync(join(empty, 'wal', '1700000000000-00000001-000001.ndjson'), '');
  assert.equal((await run(0, 'list', '--path', empty, '--format', 'ndjson')).out, '');
  assert.equal((await run(0, 'list', '--path', empty, '--format', 'json')).out, '[]\n');
  assert.equal((await run(0, 'histogram', '--path', empty)).out, 'no decisions\n');
  assert.match((await run(0, 'top', '--path', empty)).out, /^0 decisions in all$/m);
  assert.equal(
    (await run(0, 'query', '--path', empty, 'SELECT count(*) AS n FROM decisions', '--format', 'csv')).out,
    'n\n0\n',
  );
});
