import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../../lib/sync-folder.ts';
import { type Database, literal } from './database.ts';
import type { Gap } from './line.ts';
import { createdAt } from './segment.ts';

/** What a Parquet file says about itself, under the key `postern`. Times in µs since the epoch. */
export type FileFacts = {
  readonly min: number;
  readonly max: number;
  readonly rows: number;
  /** Size of the lines that it was made of, bytes. */
  readonly raw: number;
  /** Segments whose decisions are in it, and files that it replaces. */
  readonly sources: readonly string[];
  readonly gaps: readonly Gap[];
};

export type StoredFile = FileFacts & {
  /** Without its ending. */
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
};

/** So few that one decision is found without unpacking many. */
const ROW_GROUP_ROWS = 8192;
const MAX_GAPS = 1000;

/** `date=2026-01-02/hour=03` of a segment's creation: deterministic, so that a segment has one place. */
export function partitionOf(segment: string): string {
  const [date = '', time = ''] = new Date(createdAt(segment)).toISOString().split('T');
  return join(`date=${date}`, `hour=${time.slice(0, 2)}`);
}

export type Writing = {
  readonly name: string;
  readonly partition: string;
  /** Must give all columns. */
  readonly select: string;
  readonly facts: Omit<FileFacts, 'min' | 'max' | 'rows'>;
};
export type Folders = { readonly parquet: string; readonly tmp: string };

/** Writes a file beside, brings it to the disk, and gives it its name, which makes it count. */
export async function writeParquet(database: Database, folders: Folders, writing: Writing): Promise<StoredFile> {
  const { name, partition, select } = writing;
  const [[min, max, rows] = []] = await database.run(
    `SELECT epoch_us(min(time)), epoch_us(max(time)), count(*) FROM (${select})`,
  );
  const facts: FileFacts = {
    ...writing.facts,
    gaps: shortened(writing.facts.gaps),
    min: Number(min ?? createdAt(name) * 1000),
    max: Number(max ?? createdAt(name) * 1000),
    rows: Number(rows),
  };
  const draft = join(folders.tmp, `${name}.parquet`);
  const file = join(folders.parquet, partition, `${name}.parquet`);
  try {
    await database.run(
      `COPY (${select} ORDER BY time, decision_id) TO ${literal(draft)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP_ROWS}, KV_METADATA {postern: ${literal(JSON.stringify(facts))}})`,
    );
    await syncFile(draft, 0o600);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  for (const folder of [dirname(file), dirname(dirname(file)), folders.parquet]) await syncFolder(folder);
  return { ...facts, name, file, bytes: (await stat(file)).size };
}

/** Beyond the bound, gaps of one process and reason become one; none is forgotten. */
function shortened(gaps: readonly Gap[]): readonly Gap[] {
  if (gaps.length <= MAX_GAPS) return gaps;
  const merged = new Map<string, Gap>();
  for (const gap of gaps) {
    const key = `${gap.process} ${gap.reason}`;
    const before = merged.get(key);
    merged.set(
      key,
      before === undefined
        ? gap
        : {
            ...before,
            from_seq: Math.min(before.from_seq, gap.from_seq),
            to_seq: Math.max(before.to_seq, gap.to_seq),
            count: before.count + gap.count,
            from: [before.from, gap.from].sort()[0] ?? '',
            to: [before.to, gap.to].sort()[1] ?? '',
          },
    );
  }
  return [...merged.values()];
}

async function syncFile(file: string, mode: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What files say about themselves, by file. Rejects when one of them cannot be read. */
export async function readFacts(database: Database, files: readonly string[]): Promise<ReadonlyMap<string, FileFacts>> {
  const found = new Map<string, FileFacts>();
  if (files.length === 0) return found;
  const rows = await database.run(
    `SELECT file_name, decode(value) FROM parquet_kv_metadata([${files.map(literal).join(', ')}]) WHERE decode(key) = 'postern'`,
  );
  for (const [file, value] of rows) found.set(String(file), factsFrom(JSON.parse(String(value))));
  for (const file of files) if (!found.has(file)) throw new Error('it does not say what is in it');
  return found;
}

function factsFrom(value: unknown): FileFacts {
  const { min, max, rows, raw, sources, gaps } = value as FileFacts;
  const isSound =
    [min, max, rows, raw].every(Number.isSafeInteger) &&
    Array.isArray(sources) &&
    sources.every((source) => typeof source === 'string') &&
    Array.isArray(gaps);
  if (!isSound) throw new Error('what it says about itself is odd');
  return { min, max, rows, raw, sources, gaps };
}
