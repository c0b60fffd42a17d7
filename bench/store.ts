/*
 * How long questions take over many decisions: `sh scripts/bench bench/store.ts [COUNT]`, a million unless told. They are
 * of one day, made straight as files of the store, with inputs of 1.2 KB; then the store is started over them as a server
 * has it. Each question must take less than a second, and its process less than 1 GiB.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '../src/decisions/store/database.ts';
import { partitionOf, writeParquet } from '../src/decisions/store/parquet.ts';
import { createScope } from '../test/support/scope.ts';
import { startStore } from '../test/support/store.ts';

const count = Number(process.argv[2] ?? 1_000_000);
const FILE_ROWS = 40_000;
const DAY_US = 86_400_000_000;
const RAW_BYTES = 1800;

const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
const scope = createScope();
const say = (text: string): void => void process.stdout.write(`${text}\n`);

try {
  const bytes = await generate();
  say(`${count} decisions in ${Math.ceil(count / FILE_ROWS)} files, ${Math.round(bytes / 1_048_576)} MiB`);
  await ask();
} finally {
  await scope.close();
  rmSync(folder, { recursive: true, force: true });
}

async function generate(): Promise<number> {
  const folders = { parquet: join(folder, 'parquet'), tmp: join(folder, 'tmp') };
  for (const each of Object.values(folders)) await mkdir(each);
  const database = await openDatabase({ memoryBytes: 2 ** 30, spillFolder: join(folder, 'spill') });
  const start = Date.now() * 1000 - DAY_US + 60_000_000;
  const step = (DAY_US - 120_000_000) / count;
  let bytes = 0;
  for (let from = 0, file = 0; from < count; from += FILE_ROWS, file++) {
    const name = `${Math.floor((start + from * step) / 1000)}-0000000${file % 4}-${String(file).padStart(6, '0')}`;
    const rows = Math.min(FILE_ROWS, count - from);
    const stored = await writeParquet(database, folders, {
      name,
      partition: partitionOf(name),
      select: selectOf(from, rows, start, step),
      facts: { raw: rows * RAW_BYTES, sources: [name], gaps: [] },
    });
    bytes += stored.bytes;
  }
  database.close();
  return bytes;
}

/** Decisions as Postern writes them: 20,000 subjects, 60 routes, a tenth denied, latencies with a long tail. */
function selectOf(from: number, rows: number, start: number, step: number): string {
  const claims = `'{"iss":"https://idp.test/","sub":"' || subject || '","aud":["api"],"roles":["analyst","viewer"],"tenant":"' || tenant || '","jti":"' || md5(i::VARCHAR) || '"}'`;
  const http = `'{"method":"' || method || '","path":"' || path || '?page=' || i % 50 || '","host":"api.test","headers":{"x-request-id":"' || uuid() || '","user-agent":"client/' || i % 20 || '","accept":"application/json","authorization":"**REDACTED**","x-forwarded-for":"' || client_ip || '"}}'`;
  return `SELECT make_timestamptz((${start} + i * ${step})::BIGINT) AS time,
    format('{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}', ms >> 16, ms & 65535, i % 4096, i // 4096 % 4096, i) AS decision_id,
    outcome, CASE outcome WHEN 'allow' THEN 'policy_allowed' WHEN 'deny' THEN reason ELSE 'evaluation_timeout' END AS reason,
    (CASE outcome WHEN 'allow' THEN 200 WHEN 'deny' THEN 403 ELSE 503 END)::INTEGER AS http_status, method, 'api.test' AS host, path,
    '/v' || i % 3 || '/things' || i % 20 || '/{id}' AS route, subject, 'https://idp.test/' AS issuer, tenant,
    'spiffe://test/ns/web/sa/front' AS spiffe_id, client_ip, 'envoy/authz/allow' AS entrypoint, 'r' || i // 100000 AS revision,
    latency_us, latency_us // 5 AS identity_us, latency_us // 2 AS eval_us, md5((i + 1)::VARCHAR) AS trace_id,
    ('{"attributes":{"source":{"address":{"socketAddress":{"address":"10.1.2.3","portValue":4242}}},"request":{"time":{"seconds":1767323045,"nanos":678000000},"http":' || ${http} || '}},"parsed_path":["v1","things"],"parsed_query":{"page":["1"]},"parsed_body":null,"truncated_body":false,"version":{"ext_authz":"v3","encoding":"protojson"},"identity":{"authenticated":true,"issuer":"https://idp.test/","subject":"' || subject || '","claims":' || ${claims} || '}}')::JSON AS input,
    'true'::JSON AS result, '00000001' AS process, i AS seq,
    '{"labels":{"id":"bench","version":"0"},"decision_id":"x","bundles":{"main":{"revision":"r1"}},"path":"envoy/authz/allow","metrics":{"timer_server_handler_ns":' || latency_us * 1000 || '},"custom":{"outcome":"' || outcome || '"}}' AS rest
  FROM (SELECT i, ((${start} + i * ${step}) / 1000)::BIGINT AS ms, 'subject-' || (hash(i) % 20000) AS subject, 'tenant-' || i % 40 AS tenant,
      '/v' || i % 3 || '/things' || i % 20 || '/' || i AS path, '10.' || i % 200 || '.' || i % 251 || '.7' AS client_ip,
      CASE WHEN hash(i + 7) % 10 = 0 THEN 'deny' WHEN hash(i + 9) % 5000 = 0 THEN 'fault' ELSE 'allow' END AS outcome,
      ['policy_denied', 'token_expired', 'token_missing'][1 + i % 3] AS reason, ['GET', 'GET', 'POST', 'PUT'][1 + i % 4] AS method,
      (100 + hash(i) % 900 + CASE WHEN hash(i + 3) % 100 = 0 THEN hash(i + 5) % 50000 ELSE 0 END)::BIGINT AS latency_us
    FROM range(${from}, ${from + rows}) t(i))`;
}

async function ask(): Promise<void> {
  const began = performance.now();
  const store = await startStore(scope, folder);
  say(`opened in ${Math.round(performance.now() - began)} ms`);
  const day = (Date.now() - 86_400_000) * 1000;
  const { list, top, histogram, show, sql } = store.queries;
  const subject = 'subject-4242';
  const page = await list({ filters: {}, limit: 1 });
  const id = String(page.ok && JSON.parse(page.value.events[0] ?? '{}')['decision_id']);
  const questions: readonly (readonly [name: string, ask: () => Promise<{ ok: boolean }>])[] = [
    ['the twenty latest denials of one subject', () => list({ filters: { subject, outcome: 'deny' }, limit: 20 })],
    ['p99 by route, last day', () => histogram({ filters: { since: day }, by: 'route', limit: 20 })],
    ['top reasons, last day', () => top({ filters: { since: day }, by: 'reason', limit: 10 })],
    [
      'top subjects that are denied, last day',
      () => top({ filters: { since: day, outcome: 'deny' }, by: 'subject', limit: 10 }),
    ],
    ['the newest thousand', () => list({ filters: {}, limit: 1000 })],
    ['one by its id', () => show(id)],
    ['SQL: p99 by route', () => sql('SELECT route, quantile_cont(latency_us, 0.99) FROM decisions GROUP BY route')],
    [
      'SQL: a claim, counted',
      () =>
        sql(
          "SELECT input->>'$.identity.claims.tenant' AS t, count(*) FROM decisions WHERE outcome = 'fault' GROUP BY t",
        ),
    ],
  ];
  for (const [name, question] of questions) {
    const times: number[] = [];
    const cpuBefore = cpuMs(store.pids[0]);
    for (let i = 0; i < 3; i++) {
      const at = performance.now();
      const answer = await question();
      times.push(performance.now() - at);
      if (!answer.ok) say(`  ${name}: ${JSON.stringify(answer)}`);
    }
    const cpu = Math.round((cpuMs(store.pids[0]) - cpuBefore) / times.length);
    const verdict = Math.max(...times) < 1000 ? '' : '   MORE THAN A SECOND';
    say(
      `${name.padEnd(42)} ${times.map((ms) => `${ms.toFixed(0)} ms`.padStart(8)).join('')}   CPU ${cpu} ms${verdict}`,
    );
  }
  const status = readFileSync(`/proc/${store.pids[0]}/status`, 'utf8');
  say(`memory of the store's process, at most: ${Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024)} MiB`);
  await store.stop();
}

/** Of a process, in ticks of 10 ms (proc(5)). On a busy machine it tells more than the clock. */
function cpuMs(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
