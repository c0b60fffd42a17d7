import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createScope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';
import { startStore, type TestStore } from '../../support/store.ts';
import { walWriter } from '../../support/wal.ts';

const scope = createScope();
let store: TestStore;
let folder: string;

before(async () => {
  folder = scratchFolder(scope);
  const wal = walWriter(folder);
  wal.write(3000, (i) => ({
    subject: `subject-${i % 7}`,
    latencyMs: (i % 100) / 10 + 0.1,
    request: { path: `/v1/items/${i}` },
    timeMs: Date.UTC(2026, 0, 2, 3, 0, 0) + i * 1000,
    ...(i % 3 === 0 ? { record: { outcome: 'deny', reason: 'policy_denied', httpStatus: 403 } } : {}),
  }));
  wal.seal();
  wal.write(10, () => ({ subject: "o'hara; --", request: { path: '/open' } }));
  store = await startStore(scope, folder, { query: { max_rows: 500 }, retention: { hours: 87_600 } });
});
after(() => scope.close());

const tableOf = async (sql: string) => {
  const answer = await store.queries.sql(sql);
  assert.ok(answer.ok, `${sql}: ${JSON.stringify(answer).slice(0, 300)}`);
  return answer.value;
};

/** Whatever happened before, a sensible question is answered. */
async function stillAnswers(): Promise<void> {
  const { rows } = await tableOf('SELECT count(*) FROM decisions');
  assert.deepEqual(rows, [[3010]]);
}

describe('statements that are answered', () => {
  const cases: readonly (readonly [sql: string, rows: readonly (readonly unknown[])[]])[] = [
    ['SELECT count(*) AS n FROM decisions;', [[3010]]],
    ["select count(*) from Decisions where outcome = 'deny'", [[1000]]],
    [
      "SELECT subject, count(*) FROM decisions WHERE path LIKE '/v1/%' GROUP BY ALL ORDER BY subject LIMIT 1",
      [['subject-0', 429]],
    ],
    ['WITH d AS (SELECT * FROM decisions) SELECT count(DISTINCT route) FROM d', [[2]]],
    ['SELECT max(latency_us), quantile_cont(latency_us, 0.5) FROM decisions', [[10_000, 5000]]],
    ["SELECT input->>'$.identity.claims.tenant' AS t FROM decisions LIMIT 1", [['acme']]],
    ['SELECT time FROM decisions ORDER BY time LIMIT 1', [['2026-01-02T03:00:00.000000Z']]],
    [
      "SELECT date_trunc('hour', time) AS h, count(*) FROM decisions WHERE time < '2026-01-03' GROUP BY h ORDER BY h",
      [['2026-01-02T03:00:00.000000Z', 3000]],
    ],
    ["SELECT strftime(time AT TIME ZONE 'Asia/Tokyo', '%H:%M') FROM decisions ORDER BY time LIMIT 1", [['12:00']]],
    ["SELECT count(*) FROM decisions WHERE time > now() - INTERVAL 7 DAY AND subject = 'o''hara; --'", [[10]]],
    ['SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a', [[1], [2]]],
    ['SELECT row_number() OVER (ORDER BY time) AS n FROM decisions ORDER BY n LIMIT 1', [[1]]],
    ['WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 5) SELECT sum(x) FROM t', [[15]]],
    ['SELECT unnest([1, 2]) AS a', [[1], [2]]],
    ['SELECT count(*) FROM generate_series(1, 10)', [[10]]],
    ['SELECT * FROM decisions WHERE false', []],
    ['SELECT 9007199254740993::BIGINT, 1.5::DECIMAL(4,2), true, NULL', [['9007199254740993', 1.5, true, null]]],
    ["SELECT list_transform([1, 2], x -> x * 2), {'a': 1}", [[[2, 4], { a: 1 }]]],
    [
      'SELECT CASE WHEN http_status BETWEEN 400 AND 499 THEN 1 ELSE 0 END AS c FROM decisions ORDER BY c DESC LIMIT 1',
      [[1]],
    ],
    ['SELECT count(*) FROM decisions a JOIN decisions b USING (decision_id) WHERE a.seq <> b.seq', [[0]]],
    ["FROM decisions SELECT count(*) FILTER (outcome <> 'allow')", [[1000]]],
  ];
  for (const [sql, rows] of cases) {
    test(sql.slice(0, 90), async () => assert.deepEqual((await tableOf(sql)).rows, rows));
  }

  test('a statement that is nested without end is read or refused, and harms nobody', async () => {
    await store.queries.sql(`SELECT ${'('.repeat(30_000)}1${')'.repeat(30_000)}`);
    await store.queries.sql(`SELECT ${'NOT '.repeat(15_000)} true`);
    await store.queries.sql(`SELECT ${'['.repeat(30_000)}${']'.repeat(30_000)}`);
    await store.queries.sql(`${'SELECT * FROM ('.repeat(3000)}SELECT 1${')'.repeat(3000)}`);
    await stillAnswers();
  });

  test('columns have their names and types', async () => {
    const { columns } = await tableOf('SELECT time, latency_us, input, result FROM decisions LIMIT 0');
    assert.deepEqual(columns, [
      { name: 'time', type: 'TIMESTAMP WITH TIME ZONE' },
      { name: 'latency_us', type: 'BIGINT' },
      { name: 'input', type: 'JSON' },
      { name: 'result', type: 'JSON' },
    ]);
  });

  test('DESCRIBE tells the columns, and nothing of where they are kept', async () => {
    const table = await tableOf('DESCRIBE decisions');
    assert.ok(table.rows.length >= 22);
    assert.ok(!JSON.stringify(table).includes(folder));
  });

  test('rows beyond the bound are cut off, and it is said', async () => {
    const table = await tableOf('SELECT decision_id FROM decisions');
    assert.equal(table.rows.length, 500);
    assert.equal(table.truncated, true);
    assert.equal((await tableOf('SELECT decision_id FROM decisions LIMIT 500')).truncated, false);
  });

  test('an answer with too much text is cut off', async () => {
    const { rows, truncated } = await tableOf("SELECT lpad('x', 1000000, 'y') FROM decisions LIMIT 100");
    assert.ok(rows.length < 10);
    assert.equal(truncated, true);
  });
});

describe('statements that are refused', () => {
  const refused: readonly string[] = [
    '',
    ';',
    'SELEC 1',
    'SELECT 1; SELECT 2',
    'SELECT 1; DROP TABLE decisions',
    'DROP VIEW decisions',
    'INSERT INTO decisions VALUES (1)',
    'UPDATE decisions SET outcome = 1',
    'DELETE FROM decisions',
    'CREATE TABLE x AS SELECT 1',
    'CREATE MACRO f() AS 1',
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "COPY decisions FROM '/etc/passwd'",
    "ATTACH '/tmp/x.db'",
    'DETACH memory',
    'INSTALL httpfs',
    'LOAD httpfs',
    'PRAGMA version',
    'PRAGMA database_list',
    "SET memory_limit = '10GB'",
    'RESET memory_limit',
    'SET VARIABLE x = 1',
    'CALL pragma_version()',
    'EXPLAIN SELECT 1',
    'EXPLAIN ANALYZE SELECT * FROM decisions',
    "EXPORT DATABASE '/tmp/x'",
    'CHECKPOINT',
    'VACUUM',
    'BEGIN',
    'USE memory',
    'PREPARE p AS SELECT 1',
    'EXECUTE p',
    'SHOW TABLES',
    'SHOW ALL TABLES',
    'SHOW DATABASES',
    'SELECT $1',
    'SELECT ?',
    'SELECT $a',
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')",
    "SELECT * FROM parquet_scan('/tmp/*.parquet')",
    "SELECT * FROM parquet_metadata('/tmp/*.parquet')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM '/etc/passwd.csv'",
    'SELECT * FROM "/etc/passwd.csv"',
    'FROM "https://example.com/x.parquet"',
    "SELECT * FROM glob('*')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('decisions')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT json_serialize_plan('SELECT 1')",
    "SELECT getenv('HOME')",
    "SELECT current_setting('allowed_paths')",
    "SELECT getvariable('x')",
    'SELECT current_query()',
    'SELECT current_database()',
    'SELECT current_schemas(true)',
    'SELECT version()',
    'SELECT pg_sleep(10)',
    'SELECT sleep_ms(10000)',
    "SELECT write_log('x')",
    "SELECT nextval('s')",
    'SELECT * FROM information_schema.tables',
    'SELECT * FROM information_schema.columns',
    'SELECT * FROM duckdb_settings()',
    'SELECT * FROM duckdb_views()',
    'SELECT * FROM duckdb_views',
    'SELECT * FROM duckdb_tables',
    'SELECT * FROM duckdb_functions()',
    'SELECT * FROM duckdb_secrets()',
    'SELECT * FROM duckdb_external_file_cache()',
    'SELECT * FROM sqlite_master',
    'SELECT sql FROM sqlite_schema',
    'SELECT * FROM pg_class',
    'SELECT * FROM pg_catalog.pg_tables',
    'SELECT * FROM pragma_database_list',
    'SELECT * FROM main.decisions',
    'SELECT * FROM memory.main.decisions',
    'SELECT * FROM system.information_schema.tables',
    'SELECT * FROM (WITH duckdb_views AS (SELECT 1) SELECT 1) a, duckdb_views b',
    'WITH a AS (SELECT * FROM duckdb_views), duckdb_views AS (SELECT 1) SELECT * FROM a',
    'SELECT (SELECT sql FROM duckdb_views LIMIT 1)',
    'SELECT * FROM decisions WHERE EXISTS (SELECT * FROM sqlite_master)',
    'SELECT * FROM decisions ORDER BY (SELECT max(name) FROM duckdb_settings())',
    "SELECT count(*) OVER (PARTITION BY getenv('HOME')) FROM decisions",
    'SELECT * FROM nowhere',
    'SELECT nothing FROM decisions',
    "SELECT main.getenv('HOME')",
    "SELECT system.main.read_text('/etc/passwd')",
    'DESCRIBE duckdb_settings',
    'SUMMARIZE sqlite_master',
    'DESCRIBE SELECT * FROM duckdb_views',
    'SELECT rest FROM decisions',
    "SELECT CAST('x' AS INTEGER)",
    "SELECT error('x')",
    "SELECT * FROM (VALUES (getenv('HOME')))",
    "SELECT list_transform([1], x -> getenv('HOME'))",
    "SELECT * FROM decisions TABLESAMPLE reservoir(getenv('x'))",
    'SELECT * FROM (PIVOT duckdb_settings ON name USING first(value))',
    `SELECT ${'1+'.repeat(30_000)}1`,
    `SELECT '${'x'.repeat(70_000)}'`,
    'SELECT 1 \0; SELECT 2',
    '\u202eSELECT 1',
  ];
  for (const sql of refused) {
    test(sql.slice(0, 90).replaceAll('\0', '\\0') || '(nothing)', async () => {
      const answer = await store.queries.sql(sql);
      assert.ok(!answer.ok, JSON.stringify(answer).slice(0, 500));
      assert.ok(!answer.problem.includes(folder), answer.problem);
      assert.ok(answer.kind === 'refused' || sql.length > 5000, JSON.stringify(answer));
    });
  }

  test('after all that the next statement is answered', stillAnswers);
});

describe('statements that take too much are ended in time', () => {
  const bombs: readonly string[] = [
    'WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t) SELECT count(*) FROM t',
    'WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t) SELECT * FROM t',
    'SELECT count(*) FROM decisions a, decisions b, decisions c, decisions d WHERE a.latency_us + b.latency_us + c.latency_us + d.latency_us = 7',
    "SELECT levenshtein(lpad('', 100000, 'a'), lpad('', 100000, 'b'))",
    'SELECT list_sum(range(1000000000))',
    'SELECT list_transform(range(30000000), x -> x * 2)',
    "SELECT lpad('x', 1000000000, 'y') || lpad('x', 1000000000, 'z')",
    "SELECT string_agg(lpad('x', 1000000, 'y')) FROM generate_series(1, 100000)",
    'SELECT array_agg(a.input || b.input) FROM decisions a, decisions b',
    'SELECT max(i) FROM range(1000000000000) t(i)',
    "SELECT regexp_replace(lpad('', 600000000, 'ab'), '(a|b)*c', 'x', 'g')",
    'SELECT * FROM generate_series(1, 100000000000) a(i) ORDER BY i DESC',
    'SELECT factorial(1000000)',
  ];
  for (const sql of bombs) {
    test(sql.slice(0, 90), { timeout: 60_000 }, async () => {
      const began = performance.now();
      const answer = await store.queries.sql(sql);
      assert.ok(!answer.ok, JSON.stringify(answer).slice(0, 300));
      // Its own two seconds, one of grace, and the start of another process on a busy machine.
      assert.ok(performance.now() - began < 20_000);
      await stillAnswers();
    });
  }

  test('meanwhile the store answers other questions, and takes decisions in', async () => {
    const slow = store.queries.sql(
      'WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t) SELECT count(*) FROM t',
    );
    const page = await store.queries.list({ filters: { subject: 'subject-1' }, limit: 5 });
    assert.ok(page.ok && page.value.events.length === 5);
    assert.equal((await slow).ok, false);
  });

  test('more statements than may wait are turned away', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => store.queries.sql('SELECT 1')));
    assert.ok(answers.some((answer) => answer.ok));
    assert.ok(answers.some((answer) => !answer.ok && answer.kind === 'unavailable'));
  });
});

test('a file that lies in the folder is not to be had', async () => {
  writeFileSync(join(folder, 'parquet', 'secret.csv'), 'a,b\n1,2\n');
  for (const sql of [
    `SELECT * FROM read_csv('${folder}/parquet/secret.csv')`,
    `SELECT * FROM '${folder}/parquet/secret.csv'`,
  ]) {
    const answer = await store.queries.sql(sql);
    assert.ok(!answer.ok && answer.kind === 'refused', JSON.stringify(answer));
  }
});
