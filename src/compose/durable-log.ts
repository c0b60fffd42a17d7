import { randomBytes } from 'node:crypto';
import type { CheckParts } from '../check/check.ts';
import type { StoreConfig } from '../config/schema.ts';
import { createEventWriter, type Labels } from '../decisions/event.ts';
import type { Judge } from '../decisions/mask/judge.ts';
import { diskFiles } from '../decisions/wal/files.ts';
import { createWal, type Wal } from '../decisions/wal/wal.ts';
import type { Clock } from '../lib/clock.ts';
import type { Part } from '../lib/lifecycle.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export type DurableLog = Required<Pick<Part, 'start' | 'stop'>> &
  Pick<CheckParts, 'record' | 'reserve'> &
  Pick<Wal, 'leaveOut'>;

type DurableLogParts = {
  readonly labels: Labels;
  readonly judge: Judge;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly onError: (error: unknown) => void;
};

/** The log on the disk, of this process; undefined when there is none. */
export function createDurableLog(
  config: StoreConfig | undefined,
  { labels, judge, clock, metrics, onError }: DurableLogParts,
): DurableLog | undefined {
  if (config === undefined) return undefined;
  const denies = config.on_overflow === 'deny';
  const counted = metrics.wal();
  const wal = createWal({
    folder: config.path,
    durability: config.durability,
    denies,
    maxRecords: config.queue.records,
    maxBytes: config.queue.bytes,
    segmentBytes: config.segment_bytes,
    toLine: createEventWriter(labels, config.input, judge),
    files: diskFiles,
    clock,
    token: randomBytes(4).toString('hex'),
    events: {
      onError,
      onDrop: (count, reason) => {
        metrics.logDropped(count, 'store');
        counted.dropped(count, reason);
      },
      onWritten: (records, gaps, bytes) => {
        metrics.logWritten(records, 'store');
        counted.written(gaps, bytes);
      },
      onSynced: counted.synced,
      onSealed: counted.sealed,
    },
  });
  counted.observe(wal.depth);
  const { start, stop, record, leaveOut } = wal;
  return { start, stop, record, leaveOut, reserve: denies ? wal.reserve : undefined };
}
