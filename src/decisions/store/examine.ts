import { messageOf } from '../../lib/message.ts';
import type { Catalog } from './catalog.ts';
import { columnNames } from './columns.ts';
import { type Database, literal, TooSlow } from './database.ts';
import type { StoredFile } from './parquet.ts';
import type { Quarantine } from './quarantine.ts';

const FILE_MS = 30_000;

/**
 * Reads files to their end, and puts those that cannot be read into quarantine. Resolves with whether there were any.
 * One look at a time.
 */
export async function examine(
  parts: { readonly database: Database; readonly catalog: Catalog; readonly quarantine: Quarantine },
  files: readonly StoredFile[],
): Promise<boolean> {
  const { database, catalog, quarantine } = parts;
  let found = false;
  // All at once first: most errors of questions are not those of files.
  if ((await problemWith(database, files)) === undefined) return false;
  for (const file of files) {
    const problem = await problemWith(database, [file]);
    if (problem === undefined) continue;
    found = true;
    catalog.replace({ files: [file] });
    await quarantine.take(file.file, problem);
  }
  return found;
}

async function problemWith(database: Database, files: readonly StoredFile[]): Promise<string | undefined> {
  if (files.length === 0) return undefined;
  const sums = columnNames.map((name) => `bit_xor(hash(${name}))`).join(', ');
  const list = files.map(({ file }) => literal(file)).join(', ');
  try {
    await database.ask(`SELECT ${sums} FROM read_parquet([${list}], hive_partitioning = false)`, {}, FILE_MS);
    return undefined;
  } catch (error) {
    // Not read in time is not unreadable.
    return error instanceof TooSlow ? undefined : messageOf(error).split('\n', 1)[0];
  }
}
