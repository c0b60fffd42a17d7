import { rm, stat } from 'node:fs/promises';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/message.ts';
import { syncFolder } from '../../lib/sync-folder.ts';
import { isAbandoned, sealAbandoned } from './abandoned.ts';
import type { Catalog } from './catalog.ts';
import { passedBy } from './cursors.ts';
import { type Database, dropTail, tailOf } from './database.ts';
import { type Folders, partitionOf, writeParquet } from './parquet.ts';
import type { Quarantine } from './quarantine.ts';
import { createdAt, listSegments, type SegmentFile } from './segment.ts';
import type { Tail, Tailed } from './tail.ts';

export type IngestParts = {
  readonly folders: Folders & { readonly wal: string; readonly cursors: string };
  readonly database: Database;
  readonly catalog: Catalog;
  readonly tail: Tail;
  readonly quarantine: Quarantine;
  readonly clock: Clock;
  readonly onIngested: (segment: Tailed) => void;
  readonly onError: (what: string, error: unknown) => void;
  /** Segments that are in Parquet files already, and still in the write-ahead log. */
  readonly ingested: Set<string>;
};

/** Takes the write-ahead log in. */
export type Ingest = {
  /** Looks at every segment once: open ones are tailed, sealed ones become Parquet files, for about so long, ms. */
  readonly turn: (forMs: number) => Promise<void>;
  /** Bytes in `wal/`, by the last turn. */
  readonly walBytes: () => number;
  /** When its oldest segment was created, ms since the epoch, by the last turn; undefined: there is none. */
  readonly oldestMs: () => number | undefined;
};

/** Open segments are not read further while so much waits in the tail, bytes of lines. */
const MAX_TAIL_BYTES = 134_217_728;
/** After so many failures that are not the disk's, a segment is put aside. */
const MAX_FAILURES = 5;
const DISK =
  /no space|not enough space|ENOSPC|quota|read-only|EROFS|input\/output|EIO|permission|EACCES|could not (?:write|sync)/i;

export function createIngest(parts: IngestParts): Ingest {
  const { folders, database, catalog, tail, quarantine, clock, ingested } = parts;
  const failures = new Map<string, { readonly count: number; readonly againAt: number }>();
  /** Bytes of segments that stay for others. */
  const kept = new Map<string, number>();
  let walBytes = 0;
  let oldestMs: number | undefined;

  /** Reads a segment to its end. */
  async function readAll(segment: SegmentFile): Promise<void> {
    while (await tail.read(segment));
  }

  async function ingest(segment: SegmentFile): Promise<void> {
    const { name } = segment;
    await readAll(segment);
    const entry = tail.get(name);
    if (entry === undefined) return;
    if (entry.unreadable.length > 0) await quarantine.takeLines(name, entry.unreadable);
    const isEmpty = entry.rows === 0 && entry.gaps.length === 0;
    const stored = isEmpty
      ? []
      : [
          await writeParquet(database, folders, {
            name,
            partition: partitionOf(name),
            select: tailOf(name),
            facts: { raw: entry.offset, sources: [name], gaps: entry.gaps },
          }),
        ];
    ingested.add(name);
    kept.set(name, entry.offset + entry.torn);
    failures.delete(name);
    tail.forget(name);
    parts.onIngested(entry);
    catalog.replace({ added: stored, segments: [name], clear: () => dropTail(database, name) });
  }

  /** Forgets a segment, with what of it is in the tail. */
  function abandon(name: string): void {
    tail.forget(name);
    failures.delete(name);
    catalog.replace({ segments: [name], clear: () => dropTail(database, name) });
  }

  async function tryTo(segment: SegmentFile, task: (segment: SegmentFile) => Promise<void>): Promise<void> {
    const { name, file } = segment;
    const failed = failures.get(name);
    if (failed !== undefined && clock.monotonicMs() < failed.againAt) return;
    try {
      await task(segment);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Sealed or removed since it was listed.
      if (code === 'ENOENT') return;
      const count = (failed?.count ?? 0) + 1;
      failures.set(name, { count, againAt: clock.monotonicMs() + backoffMs(count, 500, 30_000, Math.random) });
      parts.onError(`taking in ${name}`, error);
      const isHopeless = code === 'EISDIR' || code === 'EACCES' || code === 'ELOOP';
      if (!isHopeless && (count < MAX_FAILURES || DISK.test(messageOf(error)))) return;
      abandon(name);
      await quarantine.take(file, messageOf(error));
    }
  }

  /** What is in Parquet files goes, once everybody else has read it. A name does not come twice. */
  async function removeIngested(segments: readonly SegmentFile[]): Promise<readonly SegmentFile[]> {
    const names = new Set(segments.map(({ name }) => name));
    for (const name of ingested) if (!names.has(name)) ingested.delete(name);
    for (const name of tail.segments()) if (!names.has(name)) abandon(name);
    const done = segments.filter(({ name, open: isOpen }) => !isOpen && ingested.has(name));
    if (done.length === 0) return segments;
    const passed = await passedBy(folders.cursors);
    // What an earlier process has taken in is not known yet.
    for (const { name, file } of done) if (!kept.has(name)) kept.set(name, (await stat(file)).size);
    const removable = done.filter(({ name }) => passed(name, kept.get(name) ?? Number.POSITIVE_INFINITY));
    for (const { name, file } of removable) {
      await rm(file, { force: true });
      kept.delete(name);
    }
    if (removable.length > 0) await syncFolder(folders.wal);
    return segments.filter((segment) => !removable.includes(segment));
  }

  async function recover(segment: SegmentFile): Promise<void> {
    if (!(await isAbandoned(folders.wal, segment, clock.wallMs()))) return;
    await readAll(segment);
    const entry = tail.get(segment.name);
    if (entry !== undefined) await sealAbandoned(folders.wal, segment.name, entry.offset, entry.torn > 0);
  }

  return {
    turn: async (forMs) => {
      const segments = await listSegments(folders.wal);
      const end = clock.monotonicMs() + forMs;
      walBytes = 0;
      oldestMs = segments[0] === undefined ? undefined : createdAt(segments[0].name);
      for (const { name, file } of segments)
        walBytes += kept.get(name) ?? (await stat(file).catch(() => ({ size: 0 }))).size;
      for (const segment of segments.filter(({ open: isOpen }) => isOpen)) {
        if (tail.size() < MAX_TAIL_BYTES) await tryTo(segment, readAll);
        await tryTo(segment, recover);
      }
      for (const segment of await removeIngested(segments)) {
        if (segment.open || ingested.has(segment.name)) continue;
        await tryTo(segment, ingest);
        if (clock.monotonicMs() > end) return;
      }
    },
    walBytes: () => walBytes,
    oldestMs: () => oldestMs,
  };
}
