import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { syncFolder } from '../../lib/sync-folder.ts';
import type { Catalog } from './catalog.ts';
import { columnList } from './columns.ts';
import { type Database, literal } from './database.ts';
import { type Folders, partitionOf, type StoredFile, writeParquet } from './parquet.ts';

/** What a merged file may hold, bytes of lines: it is sorted in memory. */
const MAX_RAW = 67_108_864;
/** Small files of one hour are merged when there are so many. */
const MANY = 24;
/** An hour that is over gets its last merge after this, ms. */
const SETTLED_MS = 600_000;
const HOUR_MS = 3_600_000;

/** Files to merge, or undefined. An hour's small ones, smallest first, so that what was merged is not merged often. */
export function mergeable(files: readonly StoredFile[], nowMs: number): readonly StoredFile[] | undefined {
  const hours = new Map<string, StoredFile[]>();
  for (const file of files) {
    if (!isSmall(file)) continue;
    const hour = partitionOf(file.name);
    const others = hours.get(hour);
    if (others === undefined) hours.set(hour, [file]);
    else others.push(file);
  }
  for (const small of hours.values()) {
    const created = Number(small[0]?.name.slice(0, 13));
    const isOver = nowMs > Math.floor(created / HOUR_MS + 1) * HOUR_MS + SETTLED_MS;
    if (small.length < (isOver ? 2 : MANY)) continue;
    const chosen = fitting(small.sort((a, b) => a.raw - b.raw));
    if (chosen.length >= 2) return chosen;
  }
  return undefined;
}

/** Two of them always fit into one. */
export const isSmall = ({ raw }: StoredFile): boolean => raw <= MAX_RAW / 2;

/** The first of these files, as many as fit into one. */
export function fitting(files: readonly StoredFile[]): readonly StoredFile[] {
  const chosen: StoredFile[] = [];
  let raw = 0;
  for (const file of files) {
    if (raw + file.raw > MAX_RAW || chosen.length >= 4 * MANY) break;
    chosen.push(file);
    raw += file.raw;
  }
  return chosen;
}

/**
 * Makes one file of several. It says which it replaces, so that after a crash those that are still there are removed and
 * not read twice. `inWal`: whether a segment is still in the write-ahead log, and must be known as taken in.
 */
export async function mergeFiles(
  parts: { readonly database: Database; readonly catalog: Catalog; readonly folders: Folders },
  chosen: readonly StoredFile[],
  inWal: (segment: string) => boolean,
): Promise<StoredFile> {
  const { database, catalog, folders } = parts;
  const sorted = [...chosen].sort((a, b) => (a.name < b.name ? -1 : 1));
  const first = sorted[0]?.name.slice(0, 29) ?? '';
  const digest = createHash('sha256')
    .update(sorted.map(({ name }) => name).join())
    .digest('hex');
  const segments = sorted.flatMap(({ sources }) => sources).filter(inWal);
  const added = await writeParquet(database, folders, {
    name: `${first}+${digest.slice(0, 12)}`,
    partition: partitionOf(first),
    select: `SELECT ${columnList} FROM read_parquet([${sorted.map(({ file }) => literal(file)).join(', ')}], hive_partitioning = false)`,
    facts: {
      raw: sorted.reduce((sum, { raw }) => sum + raw, 0),
      sources: [...new Set([...sorted.map(({ name }) => name), ...segments])],
      gaps: sorted.flatMap(({ gaps }) => gaps),
    },
  });
  catalog.replace({ added: [added], files: sorted, clear: () => removeFiles(sorted) });
  return added;
}

export async function removeFiles(files: readonly StoredFile[]): Promise<void> {
  for (const { file } of files) await rm(file, { force: true });
  const folders = new Set(files.map(({ file }) => file.slice(0, file.lastIndexOf('/'))));
  for (const folder of folders) await syncFolder(folder).catch(() => {});
}
