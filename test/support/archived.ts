import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Scope } from './scope.ts';
import { scratchFolder } from './servers.ts';

/** Objects of an archive, by key, as files below a folder. */
export function asFiles(scope: Scope, objects: Iterable<readonly [key: string, bytes: Uint8Array]>): string {
  const folder = scratchFolder(scope);
  for (const [key, bytes] of objects) {
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    writeFileSync(join(folder, key), bytes);
  }
  return folder;
}

/** What DuckDB answers, as anybody may start it; values as JSON has them. */
export async function ask(sql: string): Promise<readonly (readonly unknown[])[]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    const rows = (await connection.runAndReadAll(sql)).getRowsJson();
    return rows as readonly (readonly unknown[])[];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** Ids of all decisions of an archive, sorted; one that is there twice is twice among them. */
export async function archivedIds(
  scope: Scope,
  objects: Iterable<readonly [key: string, bytes: Uint8Array]>,
): Promise<readonly string[]> {
  const all = [...objects];
  if (all.length === 0) return [];
  const rows = await ask(
    `SELECT decision_id FROM read_parquet('${asFiles(scope, all)}/**/*.parquet', hive_partitioning = false)`,
  );
  return rows.map(([id]) => String(id)).sort();
}
