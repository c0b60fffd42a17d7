import { createFifo } from '../../lib/fifo.ts';
import type { RequestFacts } from '../../model/facts.ts';
import type { DecisionRecord } from '../../model/record.ts';
import { weigh, weighRequest } from '../weight.ts';

/** Why decisions are not in the log: no room, a log that cannot be written, or a disk without space. */
export type DropReason = 'overflow' | 'error' | 'disk_full';
/** The same, or a server with so much to do that it refused them unread. */
export type GapReason = DropReason | 'overload';

/** Decisions that are not in the log, one behind the other. Times are ms since the epoch. */
export type Gap = {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly reason: GapReason;
  readonly fromMs: number;
  readonly toMs: number;
};

/** A record that waits; `weight` is given back with `release`. */
export type Waiting = {
  readonly seq: number;
  readonly record: DecisionRecord;
  readonly weight: number;
  /** Monotonic, ms. */
  readonly sinceMs: number;
  readonly onSettled: ((kept: boolean) => void) | undefined;
};

/** What comes next in the log. */
export type Next = Waiting | { readonly gap: Gap };

/** Room that was kept for a record, bytes. */
export type Room = number;

/** Numbered records before they are written, bounded in number and weight, and the gaps between them. */
export type Backlog = {
  /** Keeps room for a record to come; undefined when there is none. */
  readonly reserve: (facts: RequestFacts | undefined) => Room | undefined;
  /** Takes a record in, into the `room` that was kept for it. False when it had to be dropped. */
  readonly add: (record: DecisionRecord, room: Room | undefined, onSettled?: (kept: boolean) => void) => boolean;
  /** Counts a decision that there will be no record of, at that time (ms since the epoch). */
  readonly leaveOut: (reason: GapReason, timeMs: number) => void;
  readonly next: () => Next | undefined;
  readonly oldestMs: () => number | undefined;
  /** Records that were taken from here need no room any more. */
  readonly release: (count: number, weight: number) => void;
  readonly isEmpty: () => boolean;
  /** Records that were not released yet. */
  readonly records: () => number;
  readonly bytes: () => number;
};

export type BacklogOptions = {
  readonly maxRecords: number;
  /** Estimated. */
  readonly maxBytes: number;
  readonly nowMs: () => number;
  /** Why there is no room now. */
  readonly reason: () => DropReason;
  readonly isClosed: () => boolean;
  readonly onDrop: (count: number, reason: DropReason) => void;
};

export function createBacklog(options: BacklogOptions): Backlog {
  const { maxRecords, maxBytes } = options;
  const waiting = createFifo<Next>();
  let seq = 0;
  let records = 0;
  let bytes = 0;
  /** The last of `waiting`, if that is a gap. */
  let tail: { gap: Gap } | undefined;

  const hasRoom = (own: number): boolean => records < maxRecords && bytes + own <= maxBytes;

  function noteGap(reason: GapReason, timeMs: number): void {
    if (tail?.gap.reason === reason) tail.gap = { ...tail.gap, toSeq: seq, toMs: timeMs };
    else {
      tail = { gap: { fromSeq: seq, toSeq: seq, reason, fromMs: timeMs, toMs: timeMs } };
      waiting.add(tail);
    }
  }

  function drop({ timeMs }: DecisionRecord): void {
    const reason = options.reason();
    noteGap(reason, timeMs);
    options.onDrop(1, reason);
  }

  return {
    reserve: (facts) => {
      const room = weighRequest(facts);
      if (options.isClosed() || !hasRoom(room)) return undefined;
      records++;
      bytes += room;
      return room;
    },
    add: (record, room, onSettled) => {
      seq++;
      const weight = weigh(record);
      if (room === undefined && (options.isClosed() || !hasRoom(weight))) {
        drop(record);
        return false;
      }
      if (room === undefined) records++;
      bytes += weight - (room ?? 0);
      tail = undefined;
      waiting.add({ seq, record, weight, sinceMs: options.nowMs(), onSettled });
      return true;
    },
    leaveOut: (reason, timeMs) => {
      seq++;
      noteGap(reason, timeMs);
    },
    next: () => {
      const next = waiting.take();
      if (next === tail) tail = undefined;
      return next;
    },
    oldestMs: () => {
      const first = waiting.first();
      return first === undefined || 'gap' in first ? undefined : first.sinceMs;
    },
    release: (count, weight) => {
      records -= count;
      bytes -= weight;
    },
    isEmpty: () => waiting.size() === 0,
    records: () => records,
    bytes: () => bytes,
  };
}
