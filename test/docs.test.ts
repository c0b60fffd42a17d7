import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { refusals } from '../src/check/outcome.ts';
import { type ColumnName, columnNames, columnType, publicColumns } from '../src/decisions/store/columns.ts';
import { refusalReasons } from '../src/model/reasons.ts';
import { configDocs } from './support/config-docs.ts';
import { root } from './support/process.ts';

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

test('docs/config.md is what the schema says', () => {
  assert.equal(read('docs/config.md'), configDocs(), 'run `sh scripts/node scripts/config-docs.ts > docs/config.md`');
});

test('docs/reasons.md names each reason with its status, and no other', () => {
  const rows = [...read('docs/reasons.md').matchAll(/^\| `([a-z_]+)` +\| ([0-9]{3}) +\|/gm)];
  assert.deepEqual(
    rows.map(([, reason, status]) => [reason, Number(status)]),
    refusalReasons.map((reason) => [reason, refusals[reason].http]),
  );
});

test('docs/decision-queries.md has the columns of the table, and no others', () => {
  const section =
    read('docs/decision-queries.md')
      .split('\n## ')
      .find((text) => text.startsWith('The table')) ?? '';
  const names = [...section.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, cell = '']) => cell.match(/[a-z_]+/g) ?? []);
  assert.deepEqual(names, publicColumns);
});

test('docs/decision-archive.md declares the columns of the files, and asks each engine the same', () => {
  const blocks = [...read('docs/decision-archive.md').matchAll(/```sql [a-z]+\n(.*?)```/gs)].map(([, sql = '']) => sql);
  const declared = [...blocks.join().matchAll(/^ {2}`?([a-z_]+)`? (timestamp|string|int|bigint),?$/gm)];
  const types = {
    TIMESTAMPTZ: 'timestamp',
    VARCHAR: 'string',
    JSON: 'string',
    INTEGER: 'int',
    BIGINT: 'bigint',
  } as const;
  const typeOf = (name: ColumnName): string => types[columnType(name)];
  assert.deepEqual(
    declared.map(([, name, type]) => `${name} ${type}`),
    columnNames.map((name) => `${name} ${typeOf(name)}`),
  );
  const asked = blocks.map((sql) => sql.slice(sql.indexOf('SELECT ')).replace(/\nFROM .*|"|DATE (?=')/g, ''));
  assert.equal(asked.length, 3);
  assert.equal(new Set(asked).size, 1, asked.join('\n'));
});

test('no refusal can be taken for an allow', () => {
  for (const reason of refusalReasons) {
    const { grpc, http } = refusals[reason];
    assert.ok(grpc !== (0 as number) && http >= 400, reason);
  }
});

test('links between documents lead somewhere', () => {
  const documents = [
    'README.md',
    'docs/builtins.md',
    'docs/bundles.md',
    'docs/bundle-sources.md',
    'docs/ci.md',
    'docs/decision-archive.md',
    'docs/decision-log.md',
    'docs/decision-queries.md',
    'docs/decisions/decision-store.md',
    'docs/discovery.md',
    'docs/identity.md',
    'docs/lifecycle.md',
    'docs/operating.md',
    'docs/reasons.md',
    'docs/s3-and-oci.md',
  ];
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      assert.ok(existsSync(join(root, dirname(document), target)), `${document}: ${target}`);
    }
  }
});
