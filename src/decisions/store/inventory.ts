import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '../../lib/message.ts';
import type { Database } from './database.ts';
import { type FileFacts, readFacts, type StoredFile } from './parquet.ts';
import { isSegmentName, isStoredName } from './segment.ts';

const BATCH = 100;

export type Inventory = {
  readonly files: readonly StoredFile[];
  /** Segments whose decisions are in them. */
  readonly ingested: ReadonlySet<string>;
};

/** What is in the Parquet files, after what a crash may have left twice is put in order. */
export async function takeInventory(parts: {
  readonly database: Database;
  readonly folder: string;
  readonly onUnreadable: (file: string, reason: string) => Promise<void>;
  /** False: leave everything as it is, and only do not read it twice. */
  readonly tidy: boolean;
}): Promise<Inventory> {
  const { database, folder, onUnreadable } = parts;
  // For reading only, it need not be there.
  const found = (await readdir(folder, { recursive: true }).catch(() => []))
    .filter((file) => file.endsWith('.parquet'))
    .sort();
  const facts = new Map<string, FileFacts>();
  const named: string[] = [];
  for (const file of found.map((each) => join(folder, each))) {
    if (isStoredName(basename(file, '.parquet'))) named.push(file);
    else await onUnreadable(file, 'it has not the name of a file of decisions');
  }
  for (let at = 0; at < named.length; at += BATCH) {
    const batch = named.slice(at, at + BATCH);
    try {
      for (const [file, said] of await readFacts(database, batch)) facts.set(file, said);
    } catch {
      // One of them: each alone.
      for (const file of batch) {
        try {
          for (const [, said] of await readFacts(database, [file])) facts.set(file, said);
        } catch (error) {
          await onUnreadable(file, messageOf(error));
        }
      }
    }
  }
  const replaced = new Set<string>();
  const ingested = new Set<string>();
  for (const [file, { sources }] of facts) {
    const own = basename(file, '.parquet');
    for (const source of sources) {
      if (isSegmentName(source)) ingested.add(source);
      if (source !== own) replaced.add(join(dirname(file), `${source}.parquet`));
    }
  }
  const files: StoredFile[] = [];
  for (const [file, said] of facts) {
    if (!replaced.has(file))
      files.push({ ...said, name: basename(file, '.parquet'), file, bytes: (await stat(file)).size });
    else if (parts.tidy) await rm(file);
  }
  return { files, ingested };
}
