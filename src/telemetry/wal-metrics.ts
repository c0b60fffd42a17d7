import { Histogram, type Registry } from 'prom-client';
import { instrumentsIn } from './instruments.ts';

/** Seconds: what a disk takes. */
const SYNC_BUCKETS = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];

export type WalMetrics = {
  /** Decisions that are not in the log, by why. */
  readonly dropped: (count: number, reason: string) => void;
  readonly written: (gaps: number, bytes: number) => void;
  readonly synced: (ms: number) => void;
  readonly sealed: () => void;
  /** Values read at scrape time. */
  readonly observe: (depth: () => { readonly records: number; readonly bytes: number }) => void;
};

/** What is measured of the log that `postern.store` keeps. */
export function createWalMetrics(registry: Registry, reasons: readonly string[]): WalMetrics {
  const { counter, gaugeOf } = instrumentsIn(registry);
  const dropped = counter(
    'postern_store_dropped_decisions_total',
    'Decisions that are not in the log on the disk, by reason.',
    ['reason'],
  );
  // So that the first one is an increase.
  for (const reason of reasons) dropped.inc({ reason }, 0);
  const gaps = counter(
    'postern_store_gaps_total',
    'Gap lines written to the log, each for decisions in a row that are not in it.',
  );
  const bytes = counter('postern_store_written_bytes_total', 'Bytes appended to the log.');
  const segments = counter('postern_store_sealed_segments_total', 'Segments of the log that were finished.');
  const syncs = new Histogram({
    name: 'postern_store_sync_duration_seconds',
    help: 'Time until the disk had what was appended (fdatasync).',
    buckets: SYNC_BUCKETS,
    registers: [registry],
  });
  return {
    dropped: (count, reason) => dropped.inc({ reason }, count),
    written: (gapLines, size) => {
      gaps.inc(gapLines);
      bytes.inc(size);
    },
    synced: (ms) => syncs.observe(ms / 1000),
    sealed: () => segments.inc(),
    observe: (depth) => {
      gaugeOf('postern_store_queue_decisions', 'Decisions that wait to be written.', 'sum', () => depth().records);
      gaugeOf('postern_store_queue_bytes', 'About what they take of memory.', 'sum', () => depth().bytes);
    },
  };
}
