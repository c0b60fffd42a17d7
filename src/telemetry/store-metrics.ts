import { Counter, Gauge, type Registry } from 'prom-client';

/** Counts since the last report, and what there is now. Sizes in bytes. */
export type StoreCounts = {
  readonly ingested: number;
  readonly unreadableLines: number;
  readonly quarantined: number;
  readonly gaps: number;
  readonly files: number;
  readonly bytes: number;
  readonly walBytes: number;
  /** No decision there is older, ms since the epoch; undefined: there is none. */
  readonly oldestMs: number | undefined;
};

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
    },
    storeRestarted: () => get().restarts.inc(),
    statementEnded: () => get().ended.inc(),
  };
}

function makeMetrics(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
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
