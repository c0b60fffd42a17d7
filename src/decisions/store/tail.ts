import { stat } from 'node:fs/promises';
import type { Routes } from '../route.ts';
import type { Row } from './columns.ts';
import { type Database, dropTail } from './database.ts';
import { type Gap, readLine } from './line.ts';
import { readLines } from './reader.ts';
import { createdAt, type SegmentFile, tokenOf } from './segment.ts';

/** A segment that is being read, or is read and waits for its Parquet file. */
export type Tailed = {
  readonly name: string;
  offset: number;
  rows: number;
  readonly gaps: Gap[];
  readonly unreadable: string[];
  unreadableLines: number;
  /** Size of a last line that has no end. */
  torn: number;
};

export type Tail = {
  readonly get: (segment: string) => Tailed | undefined;
  /** Reads what has come; resolves with whether there may be more. Rejects when the file cannot be read. */
  readonly read: (segment: SegmentFile) => Promise<boolean>;
  readonly forget: (segment: string) => void;
  readonly segments: () => readonly string[];
  /** Bytes of lines in it. */
  readonly size: () => number;
};

/** More of them need not be kept to see what is wrong. */
const MAX_UNREADABLE = 100;

export function createTail(parts: {
  readonly database: Database;
  readonly routes: Routes;
  readonly onRows: (rows: readonly Row[]) => void;
  readonly onSegment: (segment: string) => void;
}): Tail {
  const tailed = new Map<string, Tailed>();

  function entryOf(name: string): Tailed {
    const known = tailed.get(name);
    if (known !== undefined) return known;
    const entry = { name, offset: 0, rows: 0, gaps: [], unreadable: [], unreadableLines: 0, torn: 0 };
    tailed.set(name, entry);
    parts.onSegment(name);
    return entry;
  }

  /** Whoever writes it has cut off what did not reach the disk for sure; what was cut off is in another segment. */
  async function readAnew(entry: Tailed): Promise<void> {
    await dropTail(parts.database, entry.name);
    Object.assign(entry, { offset: 0, rows: 0, unreadableLines: 0, torn: 0 });
    entry.gaps.length = 0;
    entry.unreadable.length = 0;
  }

  return {
    get: (segment) => tailed.get(segment),
    read: async ({ name, file }) => {
      const entry = entryOf(name);
      const { size } = await stat(file);
      if (size < entry.offset) await readAnew(entry);
      if (size <= entry.offset) return false;
      const { lines, offset, end, torn } = await readLines(file, entry.offset);
      const source = { process: tokenOf(name), createdMs: createdAt(name) };
      const rows: Row[] = [];
      const gaps: Gap[] = [];
      const unreadable: string[] = [];
      for (const text of lines) {
        const line = readLine(text, source, parts.routes);
        if (line.kind === 'row') rows.push(line.row);
        else if (line.kind === 'gap') gaps.push(line.gap);
        else unreadable.push(text);
      }
      if (rows.length > 0) await parts.database.append(name, rows);
      // Only now: what could not be appended is read again.
      entry.offset = offset;
      entry.torn = torn;
      entry.rows += rows.length;
      entry.gaps.push(...gaps);
      entry.unreadableLines += unreadable.length;
      entry.unreadable.push(...unreadable.slice(0, MAX_UNREADABLE - entry.unreadable.length));
      if (rows.length > 0) parts.onRows(rows);
      return !end;
    },
    forget: (segment) => void tailed.delete(segment),
    segments: () => [...tailed.keys()],
    size: () => {
      let size = 0;
      for (const { offset } of tailed.values()) size += offset;
      return size;
    },
  };
}
