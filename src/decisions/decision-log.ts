import { type Clock, systemClock } from '../lib/clock.ts';
import type { DecisionRecord } from '../model/record.ts';
import { createEventWriter, type Labels } from './event.ts';
import type { Judge } from './mask/judge.ts';
import { createQueue } from './queue.ts';
import type { Sink } from './sinks/sink.ts';

export type DecisionLogOptions = {
  /** Written to every event: `id` and `version` of this process, then the configured ones. */
  readonly labels: Labels;
  readonly sinks: readonly Sink[];
  /** What the policy wants of the log; everything when left out. */
  readonly judge?: Judge;
  readonly clock?: Clock;
  /** Decisions that were lost: for every sink (no name), or for the one that is named. */
  readonly onDrop: (count: number, sink?: string) => void;
  readonly onError: (error: unknown, sink?: string) => void;
  /** Lines that a sink has written. */
  readonly onWritten: (count: number, sink: string) => void;
  /** Records that may wait, 10,000 when left out. */
  readonly capacity?: number;
  /** What the waiting records may weigh together, bytes (estimated), 64 MiB when left out. */
  readonly maxWeight?: number;
  /** How long `stop` waits for sinks that hang, ms, 5000 when left out. */
  readonly stopTimeoutMs?: number;
};

export type DecisionLog = {
  /** Remembers a decision; costs the request no more than a push. Never throws. */
  readonly record: (record: DecisionRecord) => void;
  /** Resolves when what was recorded before is written, dropped, or was tried in vain. */
  readonly flush: () => Promise<void>;
  /** Takes no more, flushes and closes the sinks. Never rejects. */
  readonly stop: () => Promise<void>;
};

/** The decision log: records become redacted events in OPA's schema, and events become lines in each sink. */
export function createDecisionLog(options: DecisionLogOptions): DecisionLog {
  const queue = createQueue({
    toLine: createEventWriter(options.labels, 'masked', options.judge),
    sinks: options.sinks,
    clock: options.clock ?? systemClock,
    capacity: options.capacity ?? 10_000,
    maxWeight: options.maxWeight ?? 67_108_864,
    stopTimeoutMs: options.stopTimeoutMs ?? 5000,
    onDrop: options.onDrop,
    onError: options.onError,
    onWritten: options.onWritten,
  });
  return { record: queue.push, flush: queue.flush, stop: queue.stop };
}
