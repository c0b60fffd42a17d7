import type { Clock } from '../lib/clock.ts';
import { createFifo } from '../lib/fifo.ts';
import { quietly, within } from '../lib/quietly.ts';
import type { DecisionRecord } from '../model/record.ts';
import { createLane, type Lane } from './lane.ts';
import type { Sink } from './sinks/sink.ts';
import { weigh } from './weight.ts';

/** What one turn of the event loop may take: records, ms. */
const MAX_TURN_RECORDS = 50;
const MAX_TURN_MS = 2;

export type QueueOptions = {
  /** Undefined: there is no line of this record. */
  readonly toLine: (record: DecisionRecord) => string | undefined;
  readonly sinks: readonly Sink[];
  readonly clock: Clock;
  /** Records that may wait. */
  readonly capacity: number;
  /** What the waiting records may weigh together, bytes (estimated). */
  readonly maxWeight: number;
  /** How long `stop` waits for sinks that do not come to an end, ms. */
  readonly stopTimeoutMs: number;
  /** Lost before they became lines (no `sink`), or lost for one sink. */
  readonly onDrop: (count: number, sink?: string) => void;
  readonly onError: (error: unknown, sink?: string) => void;
  readonly onWritten: (count: number, sink: string) => void;
};

export type Queue = {
  /** O(1) in the number that waits, never throws, writes nothing itself. */
  readonly push: (record: DecisionRecord) => void;
  /** Resolves when what was pushed before is written or dropped, or a sink failed at it. */
  readonly flush: () => Promise<void>;
  /** Takes no more, flushes, closes the sinks. Resolves also when a sink hangs. */
  readonly stop: () => Promise<void>;
};

type Entry = { readonly record: DecisionRecord; readonly weight: number };

/**
 * Takes records on the request's path and turns them into lines off it, a few in each turn of the event loop. When it
 * is full, the newest are dropped.
 */
export function createQueue(options: QueueOptions): Queue {
  const { clock, capacity } = options;
  const flushes = new Set<() => void>();
  const onDrop = quietly(options.onDrop);
  const onError = quietly(options.onError);
  const lanes = options.sinks.map((sink) =>
    createLane(sink, clock, { onDrop, onError, onWritten: quietly(options.onWritten), onSettled: proceed }),
  );
  const entries = createFifo<Entry>();
  let weight = 0;
  let taken = 0;
  let offered = 0;
  let scheduled = false;
  let stopping: Promise<void> | undefined;

  const canWork = (): boolean => entries.size() > 0 && lanes.some((lane) => lane.hasRoom());

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  }

  function turn(): void {
    scheduled = false;
    const startedAt = clock.monotonicMs();
    for (let i = 0; i < MAX_TURN_RECORDS && canWork(); i++) {
      if (i > 0 && clock.monotonicMs() - startedAt >= MAX_TURN_MS) break;
      convertNext();
    }
    for (const lane of lanes) lane.start(false);
    proceed();
  }

  function proceed(): void {
    if (canWork()) schedule();
    for (const settle of flushes) settle();
  }

  function convertNext(): void {
    const entry = entries.take();
    if (entry === undefined) return;
    weight -= entry.weight;
    taken++;
    try {
      const line = options.toLine(entry.record);
      if (line === undefined) return;
      offered++;
      for (const lane of lanes) lane.offer(line);
    } catch (error) {
      onDrop(1);
      onError(error);
    }
  }

  function push(record: DecisionRecord): void {
    if (lanes.length === 0) return;
    const own = weigh(record);
    const isFull = entries.size() >= capacity || weight + own > options.maxWeight;
    if (isFull || stopping !== undefined) onDrop(1);
    else {
      entries.add({ record, weight: own });
      weight += own;
      schedule();
    }
  }

  function flush(): Promise<void> {
    return new Promise((resolve) => {
      const lastTaken = taken + entries.size();
      const attempts = lanes.map((lane) => lane.attempts());
      let lastOffered: number | undefined;
      const isOpen = (lane: Lane, i: number): boolean =>
        (lastOffered === undefined || lane.done() < lastOffered) && lane.failedAttempt() <= (attempts[i] ?? 0);
      const settle = (): void => {
        if (taken >= lastTaken) lastOffered ??= offered;
        const open = lanes.filter(isOpen);
        for (const lane of open) lane.start(true);
        if (open.length > 0 || (lastOffered === undefined && canWork())) return;
        flushes.delete(settle);
        resolve();
      };
      flushes.add(settle);
      schedule();
    });
  }

  async function end(): Promise<void> {
    const closed = flush().then(() => Promise.all(options.sinks.map((sink) => sink.close().catch(onError))));
    await within(closed, options.stopTimeoutMs);
    const lost = entries.size();
    if (lost > 0) onDrop(lost);
    entries.clear();
    for (const lane of lanes) lane.abandon();
  }

  return { push, flush, stop: () => (stopping ??= end()) };
}
