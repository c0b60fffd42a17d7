import type { Registry } from 'prom-client';
import { systemClock } from '../lib/clock.ts';
import { instrumentsIn } from './instruments.ts';

/** Counts since the last report, and what there is now. Sizes in bytes. */
export type StoreCounts = {
  readonly ingested: number;
  readonly unreadableLines: number;
  readonly quarantined: number;
  readonly gaps: number;
  readonly files: number;
  readonly bytes: number;
  readonly walBytes: number;
  /** Undefined without an archive. */
  readonly archive: ArchiveReport | undefined;
  /** No decision there is older, ms since the epoch; undefined: there is none. */
  readonly oldestMs: number | undefined;
};

/** The same of the archive. Times in ms since the epoch. */
export type ArchiveReport = {
  /** Files that were archived, and their size. */
  readonly files: number;
  readonly bytes: number;
  readonly failures: number;
  /** Files that were removed before they were archived. */
  readonly lost: number;
  readonly atMs: number;
  /** When the oldest decision was made that is not archived; null when there is none. */
  readonly waitingSinceMs: number | null;
  /** Why the last file could not be archived; null when it was. */
  readonly problem: string | null;
};

/** Reports come twice a second. */
const SILENT_MS = 10_000;

/**
 * Age of the oldest decision that is not archived, seconds; 0 when there is none. While the store is silent, nothing counts
 * as archived that came later.
 */
export function archiveLag({ atMs, waitingSinceMs }: ArchiveReport, nowMs: number): number {
  const sinceMs = waitingSinceMs ?? (nowMs - atMs > SILENT_MS ? atMs : nowMs);
  return Math.max(0, nowMs - sinceMs) / 1000;
}

export type StoreMetrics = {
  readonly storeReported: (counts: StoreCounts) => void;
  /** The process of the store ended, or could not be made ready. */
  readonly storeRestarted: () => void;
  /** A statement was ended together with its process. */
  readonly statementEnded: () => void;
};

/** Made when the store is used first: where there is none, there are no metrics of it. */
export function createStoreMetrics(registry: Registry): StoreMetrics {
  let made: ReturnType<typeof makeMetrics> | undefined;
  let madeArchive: ReturnType<typeof makeArchiveMetrics> | undefined;
  const get = (): ReturnType<typeof makeMetrics> => {
    made ??= makeMetrics(registry);
    return made;
  };
  return {
    storeReported: (counts) => {
      const { ingested, lines, quarantined, gaps, files, bytes, wal } = get();
      ingested.inc(counts.ingested);
      lines.inc(counts.unreadableLines);
      quarantined.inc(counts.quarantined);
      gaps.inc(counts.gaps);
      files.set(counts.files);
      bytes.set(counts.bytes);
      wal.set(counts.walBytes);
      if (counts.archive === undefined) return;
      madeArchive ??= makeArchiveMetrics(registry);
      madeArchive(counts.archive);
    },
    storeRestarted: () => get().restarts.inc(),
    statementEnded: () => get().ended.inc(),
  };
}

function makeArchiveMetrics(registry: Registry): (report: ArchiveReport) => void {
  const { counter, gaugeOf } = instrumentsIn(registry);
  const files = counter('postern_store_archived_files_total', 'Parquet files that were archived.');
  const bytes = counter('postern_store_archived_bytes_total', 'Size of the Parquet files that were archived.');
  const failures = counter('postern_store_archive_failures_total', 'Attempts to archive a file that failed.');
  const lost = counter('postern_store_archive_lost_files_total', 'Files that were removed before they were archived.');
  const lag = 'Age of the oldest decision that is not archived; 0 when there is none.';
  let last: ArchiveReport | undefined;
  gaugeOf('postern_store_archive_lag_seconds', lag, 'max', () =>
    last === undefined ? 0 : archiveLag(last, systemClock.wallMs()),
  );
  return (report) => {
    last = report;
    files.inc(report.files);
    bytes.inc(report.bytes);
    failures.inc(report.failures);
    lost.inc(report.lost);
  };
}

function makeMetrics(registry: Registry) {
  const { counter, gauge } = instrumentsIn(registry);
  return {
    ingested: counter('postern_store_decisions_total', 'Decisions that were taken into the store.'),
    lines: counter('postern_store_unreadable_lines_total', 'Lines of the write-ahead log that are torn or no JSON.'),
    quarantined: counter(
      'postern_store_quarantined_total',
      'Files of the store that cannot be read and were put aside.',
    ),
    gaps: counter('postern_store_gap_decisions_total', 'Decisions that the write-ahead log says were dropped.'),
    restarts: counter('postern_store_restarts_total', 'Ends of the process of the store, and starts that failed.'),
    ended: counter('postern_store_statements_ended_total', 'Statements in SQL that were ended with their process.'),
    files: gauge('postern_store_files', 'Parquet files in the store.'),
    bytes: gauge('postern_store_bytes', 'Size of the Parquet files in the store.'),
    wal: gauge('postern_store_wal_bytes', 'Size of the write-ahead log of decisions.'),
  };
}
