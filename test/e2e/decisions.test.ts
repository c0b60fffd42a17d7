import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { checkClient, httpRequest } from '../support/grpc.ts';
import { type Child, eventually, freePorts, root, startProcess } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { type WalWriter, walWriter } from '../support/wal.ts';

const scope = createScope();
let server: Server;
let wal: WalWriter;
let folder: string;
let bundle: string;
const started = Date.now();

before(async () => {
  folder = scratchFolder(scope);
  bundle = buildPolicy('package envoy.authz\n\nallow := true\n', folder);
  wal = walWriter(join(folder, 'decisions'));
  wal.write(250, (i) => ({
    subject: i % 5 === 0 ? "o'hara" : `s${i % 5}`,
    request: { path: i % 2 === 0 ? `/v1/100%_sure/${i}?q=1` : `/v1/items/${i}`, method: i % 10 === 0 ? 'POST' : 'GET' },
    latencyMs: i / 10 + 0.05,
    timeMs: started - 3_600_000 + i * 1000,
    ...(i % 4 === 0 ? { record: { outcome: 'deny', reason: 'policy_denied', httpStatus: 403 } } : {}),
  }));
  wal.skip(7);
  wal.seal();
  server = await startPostern(scope, {
    folder,
    args: ['-b', bundle],
    config: { postern: { store: { path: join(folder, 'decisions') } } },
  });
  await eventually(async () => ((await get('/v1/decisions?limit=1')).status === 200 ? true : undefined));
});
after(() => scope.close());

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://${server.api}${path}`, { headers });
const json = async (path: string): Promise<Tree> => {
  const response = await get(path);
  const text = await response.text();
  assert.equal(response.status, 200, `${path}: ${text.slice(0, 300)}`);
  return JSON.parse(text) as Tree;
};
type Event = { readonly decision_id: string; readonly timestamp: string; readonly custom: Tree };
const list = async (query: string): Promise<readonly Event[]> =>
  (await json(`/v1/decisions?${query}`))['decisions'] as readonly Event[];
const sql = (body: unknown): Promise<Response> =>
  fetch(`http://${server.api}/v1/decisions/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

describe('a list of decisions', () => {
  test('is the newest first, in pages that have each decision once', async () => {
    const seen: Event[] = [];
    let next: unknown = '';
    while (next !== null) {
      const page = await json(`/v1/decisions?limit=60${next === '' ? '' : `&cursor=${next}`}`);
      seen.push(...(page['decisions'] as readonly Event[]));
      next = page['next'];
    }
    assert.equal(seen.length, 250);
    assert.equal(new Set(seen.map((event) => event.decision_id)).size, 250);
    assert.deepEqual(
      seen.map((event) => event.timestamp),
      seen
        .map((event) => event.timestamp)
        .sort()
        .reverse(),
    );
  });

  const counts: readonly (readonly [query: string, count: number])[] = [
    ['outcome=deny', 63],
    ['outcome=fault', 0],
    ['reason=policy_denied', 63],
    ['reason=policy_denied&subject=s4', 13],
    [`subject=${encodeURIComponent("o'hara")}`, 50],
    ['method=POST', 25],
    ['host=api.test', 250],
    ['path=/v1/items/', 125],
    ['path=/v1/100%25_sure/', 125],
    ['path=/v1/100%25_SURE/', 0],
    ['path=/v1/%25/', 0],
    ['path=/v1/______/', 0],
    ['route=/v1/items/%7Bid%7D', 125],
    ['min_latency_us=20050', 50],
    ['since=2h', 250],
    ['since=10m', 0],
    [`until=${new Date(started - 3_600_000).toISOString()}`, 0],
    [
      `since=${new Date(started - 3_600_000 + 10_000).toISOString()}&until=${new Date(started - 3_600_000 + 20_000).toISOString()}`,
      10,
    ],
    [`subject=${encodeURIComponent("x' OR '1'='1")}`, 0],
    [`subject=${encodeURIComponent("'; DROP TABLE tail; --")}`, 0],
    [`host=${encodeURIComponent("api.test' UNION SELECT 1 --")}`, 0],
    [`path=${encodeURIComponent("/' OR true --")}`, 0],
  ];
  for (const [query, count] of counts) {
    test(`with ${query} has ${count}`, async () => assert.equal((await list(`limit=1000&${query}`)).length, count));
  }

  test('takes times with the zone that they have', async () => {
    const at = new Date(started - 3_600_000 + 100_000);
    const tokyo = new Date(at.getTime() + 9 * 3_600_000).toISOString().replace('Z', '+09:00');
    assert.deepEqual(
      await list(`since=${encodeURIComponent(tokyo)}&limit=1000`),
      await list(`since=${at.toISOString()}&limit=1000`),
    );
  });

  const refused: readonly string[] = [
    'limit=0',
    'limit=-1',
    'limit=1001',
    'limit=1e3',
    'limit=1000000000',
    'limit=ten',
    'limit=',
    'limit=1&limit=2',
    'sort=id;--',
    'order_by=time',
    'outcome=maybe',
    'outcome=allow%27',
    'reason=a%27b',
    'method=GE%20T',
    'path=v1',
    'route=x',
    'min_latency_us=-5',
    'min_latency_us=1.5',
    'min_latency_us=1%20OR%201=1',
    'since=yesterday',
    'since=15',
    'since=15w',
    'since=0m',
    'since=2026-02-30T00:00:00Z',
    'since=2026-01-01',
    'since=2026-01-01T00:00:00',
    'since=2026-01-01T25:00:00Z',
    'since=1767225600',
    'since=1h&until=2h',
    'since=2026-01-01T00:00:00+02:00',
    'cursor=x',
    'cursor=',
    `cursor=${'A'.repeat(9000)}`,
    '__proto__=1',
  ];
  for (const query of refused) {
    test(`with ${query.slice(0, 60)} is refused`, async () => {
      const response = await get(`/v1/decisions?${query}`);
      assert.equal(response.status, 400);
      const body = (await response.json()) as Tree;
      assert.equal(body['code'], 'invalid_parameter');
    });
  }

  test('refuses a cursor that was changed, or is of another question', async () => {
    const { next } = await json('/v1/decisions?limit=10&outcome=deny');
    const cursor = String(next);
    assert.equal((await get(`/v1/decisions?limit=20&outcome=deny&cursor=${cursor}`)).status, 200);
    assert.equal((await get(`/v1/decisions?limit=10&outcome=allow&cursor=${cursor}`)).status, 400);
    assert.equal((await get(`/v1/decisions?limit=10&cursor=${cursor}`)).status, 400);
    for (let i = 0; i < cursor.length; i += 3) {
      const changed = `${cursor.slice(0, i)}${cursor[i] === 'A' ? 'B' : 'A'}${cursor.slice(i + 1)}`;
      assert.equal((await get(`/v1/decisions?limit=10&outcome=deny&cursor=${changed}`)).status, 400, changed);
    }
    for (const changed of [cursor.slice(1), cursor.slice(0, -1), `${cursor}A`, cursor.slice(0, 22)]) {
      assert.equal((await get(`/v1/decisions?limit=10&outcome=deny&cursor=${changed}`)).status, 400);
    }
  });
});

test('one decision is found by its id, with everything that was written of it', async () => {
  const [line = ''] = readFileSync(join(folder, 'decisions/wal', `${wal.segment()}.ndjson.open`), 'utf8').split('\n');
  assert.equal(line, '');
  const [id = ''] = wal.write(1, () => ({ request: { path: '/one', body: '{"big": 12345678901234567890}' } }));
  const written =
    readFileSync(join(folder, 'decisions/wal', `${wal.segment()}.ndjson.open`), 'utf8').split('\n')[0] ?? '';
  const text = await eventually(async () => {
    const response = await get(`/v1/decisions/${id}`);
    return response.status === 200 ? response.text() : undefined;
  });
  const { seq: _, ...event } = JSON.parse(written) as Tree;
  assert.deepEqual(JSON.parse(text), event);
});

test('what Postern itself decides is there soon, with its route', async (context) => {
  const client = checkClient(server.grpc);
  context.after(() => client.close());
  await client.send(httpRequest({ method: 'GET', path: '/really/4711?x=y', host: 'real.test' }));
  const [event] = await eventually(async () => {
    const events = await list('host=real.test&route=/really/%7Bid%7D&path=/really/');
    return events.length > 0 ? events : undefined;
  });
  assert.equal(event?.custom['outcome'], 'allow');
});

test('an id that nobody has is 404, and one that cannot be an id 400', async () => {
  assert.equal((await get('/v1/decisions/01890a5d-ac96-774b-bcce-b302099a8057')).status, 404);
  assert.equal((await get('/v1/decisions/nobody')).status, 404);
  assert.equal((await get('/v1/decisions/a%27b')).status, 400);
  assert.equal((await get(`/v1/decisions/${'a'.repeat(200)}`)).status, 400);
});

test('what occurs most', async () => {
  const top = await json('/v1/decisions/top?by=subject&reason=policy_denied&limit=2&since=2h');
  assert.equal(top['total'], 63);
  assert.equal((top['rows'] as readonly unknown[]).length, 2);
  assert.deepEqual((await json('/v1/decisions/top?since=2h&outcome=deny'))['rows'], [
    { value: 'policy_denied', count: 63, denied: 63 },
  ]);
  assert.deepEqual((await json('/v1/decisions/top?by=route&outcome=fault'))['rows'], []);
  for (const query of ['by=input', 'by=nothing', 'by=time;--', 'limit=0', 'limit=1001']) {
    assert.equal((await get(`/v1/decisions/top?${query}`)).status, 400, query);
  }
});

test('how long they took', async () => {
  type Answer = { readonly bounds: readonly number[]; readonly series: readonly (Tree & { counts?: number[] })[] };
  const { bounds, series } = (await json('/v1/decisions/histogram?path=/v1/items/')) as unknown as Answer;
  assert.deepEqual(
    series.map(({ phase }) => phase),
    ['total', 'identity', 'eval'],
  );
  const [total] = series;
  assert.equal(total?.['count'], 125);
  assert.deepEqual([total?.['p50'], total?.['p99'], total?.['max']], [12_550, 24_750, 24_950]);
  assert.equal(total?.counts?.length, bounds.length + 1);
  assert.equal(
    total?.counts?.reduce((sum, count) => sum + count, 0),
    125,
  );
  assert.deepEqual(total?.counts?.slice(10, 13), [13, 25, 75]);
  const routes = (await json('/v1/decisions/histogram?by=route&limit=1&path=/v1/items/')) as unknown as Answer;
  assert.deepEqual(
    routes.series.map(({ phase, value, count }) => [phase, value, count]),
    [
      ['total', '/v1/items/{id}', 125],
      ['identity', '/v1/items/{id}', 125],
      ['eval', '/v1/items/{id}', 125],
    ],
  );
  assert.deepEqual((await json('/v1/decisions/histogram?outcome=fault'))['series'], []);
});

test('decisions that were dropped are countable', async () => {
  const gaps = await json('/v1/decisions/gaps');
  assert.equal(gaps['count'], 7);
  assert.equal((await json('/v1/decisions/gaps?until=24h'))['count'], 0);
});

describe('a statement', () => {
  test('is answered with columns and rows', async () => {
    const response = await sql({
      sql: "SELECT subject, count(*) AS n FROM decisions WHERE outcome = 'deny' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1",
    });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {
      columns: [
        { name: 'subject', type: 'VARCHAR' },
        { name: 'n', type: 'BIGINT' },
      ],
      rows: [["o'hara", 13]],
      truncated: false,
    });
  });

  const bad: readonly (readonly [name: string, body: unknown, status: number])[] = [
    ['that is no SELECT', { sql: 'DROP TABLE decisions' }, 400],
    ['that is two', { sql: 'SELECT 1; SELECT 2' }, 400],
    ['that reads files', { sql: "SELECT * FROM read_text('/etc/passwd')" }, 400],
    ['that is no text', { sql: 5 }, 400],
    ['with something else', { sql: 'SELECT 1', database: 'x' }, 400],
    ['that is missing', {}, 400],
    ['in no JSON', '{"sql": ', 400],
    ['in a list', [], 400],
    ['that is too long', { sql: `SELECT '${'x'.repeat(70_000)}'` }, 413],
    [
      'that does not end',
      { sql: 'WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t) SELECT count(*) FROM t' },
      503,
    ],
  ];
  for (const [name, body, status] of bad) {
    test(`${name} is answered ${status}`, async () => {
      const response = await sql(body);
      const text = await response.text();
      assert.equal(response.status, status, text);
      assert.ok(!text.includes(folder), text);
    });
  }
});

/** Messages of the stream, as they come. */
async function watch(
  query: string,
): Promise<{ readonly messages: () => readonly string[]; readonly end: () => void; readonly status: number }> {
  let text = '';
  const [host, port] = server.api.split(':');
  const call = request({ host, port, path: `/v1/decisions/tail${query}` });
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    call.once('response', resolve).once('error', reject).end();
  });
  call.on('error', () => {});
  response.on('error', () => {});
  response.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  return {
    messages: () => text.split('\n\n').filter((message) => message.startsWith('data: ')),
    end: () => call.destroy(),
    status: response.statusCode ?? 0,
  };
}

describe('watching decisions come in', () => {
  test('shows those that match, within a second or so', async () => {
    const all = await watch('');
    const denied = await watch('?outcome=deny&path=/watched');
    wal.write(3, (i) => ({
      request: { path: '/watched' },
      ...(i === 1 ? { record: { outcome: 'deny', reason: 'policy_denied', httpStatus: 403 } } : {}),
    }));
    await eventually(async () => (all.messages().length >= 3 && denied.messages().length >= 1 ? true : undefined));
    assert.equal(denied.messages().length, 1);
    const event = JSON.parse(denied.messages()[0]?.slice('data: '.length) ?? '') as Event;
    assert.equal(event.custom['outcome'], 'deny');
    all.end();
    denied.end();
  });

  test('is for so many at once, and the next one gets the place of one that left', async () => {
    const watchers = await Promise.all(Array.from({ length: 16 }, () => watch('')));
    assert.ok(watchers.every(({ status }) => status === 200));
    const late = await watch('');
    assert.equal(late.status, 503);
    for (const { end } of watchers) end();
    const next = await eventually(async () => {
      const another = await watch('');
      return another.status === 200 ? another : undefined;
    });
    next.end();
  });

  test('is refused with a filter that is none', async () => {
    assert.equal((await get('/v1/decisions/tail?limit=1')).status, 400);
  });
});

test('the store tells of itself in status and metrics', async () => {
  const status = (await json('/v1/status'))['result'] as Tree;
  assert.equal((status['store'] as Tree)['open'], true);
  const metrics = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
  assert.match(metrics, /^postern_store_decisions_total 250$/m);
  assert.match(metrics, /^postern_store_gap_decisions_total 7$/m);
});

test('a listener that is not on loopback answers nobody without a token', async (context) => {
  const [port = 0] = await freePorts(1);
  const other = await startPostern(context, {
    folder: scratchFolder(context),
    args: ['-b', bundle, '--addr', `0.0.0.0:${port}`],
    config: { postern: { store: { path: join(scratchFolder(context), 'decisions') } } },
  });
  assert.ok(other.process.pid);
  for (const path of ['', '/top', '/histogram', '/gaps', '/tail', '/x']) {
    assert.equal((await fetch(`http://127.0.0.1:${port}/v1/decisions${path}`)).status, 403, path);
  }
  const body = JSON.stringify({ sql: 'SELECT 1' });
  const headers = { 'content-type': 'application/json', authorization: 'Bearer x' };
  const query = await fetch(`http://127.0.0.1:${port}/v1/decisions/query`, { method: 'POST', headers, body });
  assert.equal(query.status, 403);
});

test('with a token, whoever has it may ask, also on the command line', async (context) => {
  const scratch = scratchFolder(context);
  const tokenFile = join(scratch, 'token');
  writeFileSync(tokenFile, 'a-token-for-this-test\n');
  walWriter(join(scratch, 'decisions')).write(3);
  const other = await startPostern(context, {
    folder: scratch,
    args: ['-b', bundle],
    config: { postern: { api: { token_file: tokenFile }, store: { path: join(scratch, 'decisions') } } },
  });
  const url = `http://${other.api}/v1/decisions`;
  for (const path of ['', '/top', '/tail', '/x']) assert.equal((await fetch(`${url}${path}`)).status, 401, path);
  const authorization = 'Bearer a-token-for-this-test';
  await eventually(async () => ((await fetch(url, { headers: { authorization } })).status === 200 ? true : undefined));
  const command = (...flags: readonly string[]): Child =>
    startProcess(context, join(root, 'bin/postern'), [
      'decisions',
      'list',
      '--server',
      `http://${other.api}`,
      ...flags,
    ]);
  assert.equal(await command().exited, 1);
  const child = command('--token-file', tokenFile, '--format', 'ndjson');
  assert.equal(await child.exited, 0);
  assert.equal(child.stdout().trimEnd().split('\n').length, 3);
});

test('the store that is killed comes back with everything, while requests are decided', async () => {
  const before = (await list('limit=1000')).length;
  const children = readFileSync(`/proc/${server.process.pid}/task/${server.process.pid}/children`, 'utf8')
    .trim()
    .split(' ');
  const isStore = (pid: string): boolean => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0store\0');
  const store = Number(children.find(isStore));
  process.kill(store, 'SIGKILL');
  const input = JSON.stringify({ input: { parsed_path: ['x'] } });
  const headers = { 'content-type': 'application/json' };
  assert.equal(
    (await fetch(`http://${server.api}/v1/data/envoy/authz/allow`, { method: 'POST', headers, body: input })).status,
    200,
  );
  await eventually(async () => ((await list('limit=1000')).length === before ? true : undefined));
});
