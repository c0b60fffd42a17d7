import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';

/** Holds the folder, until it is released or the process ends, however it ends. Rejects when another one holds it. */
export async function holdFolder(folder: string): Promise<{ readonly release: () => void }> {
  try {
    // DuckDB locks the files that it opens; Node has no such call.
    const instance = await DuckDBInstance.create(join(folder, 'owner.lock'), { memory_limit: '16MiB', threads: '1' });
    return { release: () => instance.closeSync() };
  } catch {
    throw new Error(`${folder}: another process keeps decisions there, or it cannot be written to`);
  }
}
