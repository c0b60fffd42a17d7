import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { quietly, within } from '../../lib/quietly.ts';
import type { RequestFacts } from '../../model/facts.ts';
import type { DecisionRecord } from '../../model/record.ts';
import { createBacklog, type DropReason, type Room } from './backlog.ts';
import { type Chunk, createConversion } from './conversion.ts';
import type { WalFiles } from './files.ts';
import { describeProcess } from './marker.ts';
import { openSegment, type Segment } from './segment.ts';
import { createWriter, isFull } from './writer.ts';

/** `async`: the system writes to the disk when it likes; `group`: soon, and together; `sync`: before the answer. */
export type Durability = 'async' | 'group' | 'sync';

export type WalOptions = {
  /** Segments are in `wal` below. */
  readonly folder: string;
  readonly durability: Durability;
  /** Whether a decision that could not be recorded must not be made. */
  readonly denies: boolean;
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly segmentBytes: number;
  /** Undefined: the record is not to be written. */
  readonly toLine: (record: DecisionRecord) => string | undefined;
  readonly files: WalFiles;
  readonly clock: Clock;
  /** Of this process, 8 hex digits, new at every start. */
  readonly token: string;
  /** How long `stop` waits for a disk that hangs, ms; 5000 when left out. */
  readonly stopTimeoutMs?: number;
  readonly events: WalEvents;
};

/** What is counted elsewhere. */
export type WalEvents = {
  readonly onDrop: (count: number, reason: DropReason) => void;
  readonly onError: (error: unknown) => void;
  readonly onWritten: (records: number, gaps: number, bytes: number) => void;
  readonly onSynced: (ms: number) => void;
  readonly onSealed: () => void;
};

/** The write-ahead log: decisions on the disk, in segments that others read. */
export type Wal = {
  /** Keeps room for the record of a check that begins; undefined when there is none, or when the log cannot be written. */
  readonly reserve: (facts: RequestFacts | undefined) => Room | undefined;
  /**
   * Takes a record; O(1), never throws. With durability `sync` it resolves when the record is on the disk, or else at
   * `untilMs` (monotonic): whether the answer may be given. Otherwise it returns nothing to wait for.
   */
  readonly record: (record: DecisionRecord, room: Room | undefined, untilMs: number) => Promise<boolean> | undefined;
  /** Notes that a request was refused unread, and there is nothing to record. */
  readonly leaveOut: () => void;
  readonly depth: () => { readonly records: number; readonly bytes: number };
  /** Rejects when there can be no segments in the folder. */
  readonly start: () => Promise<void>;
  /** Takes no more, writes what waits and seals the segment, within a few seconds. Never rejects. */
  readonly stop: () => Promise<void>;
};

/** Every second write is synced, and even what has just missed one is on its way to the disk before 100 ms are over. */
const WRITE_EVERY_MS = 40;
const SYNC_EVERY_MS = 2 * WRITE_EVERY_MS;
const STOP_MS = 5_000;
/** Longest wait of an answer for its record, ms. */
const PATIENCE_MS = 1_000;

export function createWal(options: WalOptions): Wal {
  const { clock, durability, denies } = options;
  const folder = join(options.folder, 'wal');
  const onDrop = quietly(options.events.onDrop);
  const onError = quietly(options.events.onError);
  const onWritten = quietly(options.events.onWritten);
  let isFullAtStart = false;
  let stopping: Promise<void> | undefined;
  const failing = (): DropReason | undefined => writer.failing() ?? (isFullAtStart ? 'disk_full' : undefined);

  const backlog = createBacklog({
    maxRecords: options.maxRecords,
    maxBytes: options.maxBytes,
    nowMs: clock.monotonicMs,
    reason: () => failing() ?? (stopping === undefined ? 'overflow' : 'error'),
    isClosed: () => stopping !== undefined,
    onDrop,
  });
  const conversion = createConversion({
    backlog,
    toLine: options.toLine,
    clock,
    onDrop,
    onError,
    onLines: () => writer.poke(),
  });
  const place = createPlace(folder, options);
  const writer = createWriter({
    openSegment: place.openSegment,
    take: conversion.take,
    isDone: () => conversion.isEmpty() && backlog.isEmpty(),
    isUrgent: conversion.hasMany,
    clock,
    syncs: durability !== 'async',
    everyMs: durability === 'sync' ? 0 : WRITE_EVERY_MS,
    syncEveryMs: durability === 'sync' ? 0 : SYNC_EVERY_MS,
    segmentBytes: options.segmentBytes,
    onError,
    onKept: (chunk) => {
      isFullAtStart = false;
      onWritten(chunk.records, chunk.gaps, chunk.length);
      release(chunk, true);
    },
    onLate: ({ waiting }) => {
      for (const settle of waiting) settle(false);
    },
    onLost: (chunk) => {
      if (chunk.records > 0) onDrop(chunk.records, failing() ?? 'error');
      release(chunk, false);
    },
  });

  function release(chunk: Chunk, kept: boolean): void {
    backlog.release(chunk.records, chunk.weight);
    for (const settle of chunk.waiting) settle(kept);
    conversion.recycle(chunk);
  }

  async function end(): Promise<void> {
    conversion.finish();
    await within(writer.finish().then(place.leave).catch(onError), options.stopTimeoutMs ?? STOP_MS);
    // A disk that hangs: what still waits is lost with this process.
    if (backlog.records() > 0) onDrop(backlog.records(), failing() ?? 'error');
  }

  function record(decision: DecisionRecord, room: Room | undefined, untilMs: number): Promise<boolean> | undefined {
    if (durability !== 'sync') {
      backlog.add(decision, room);
      conversion.schedule();
      return undefined;
    }
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const settle = (kept: boolean): void => {
        clearTimeout(timer);
        resolve(kept || !denies);
      };
      const wait = Math.min(untilMs - clock.monotonicMs(), PATIENCE_MS);
      if (!backlog.add(decision, room, settle) || failing() !== undefined) settle(false);
      else timer = setTimeout(settle, wait, false);
      conversion.schedule();
    });
  }

  return {
    reserve: (facts) => (failing() === undefined ? backlog.reserve(facts) : undefined),
    record,
    leaveOut: () => {
      backlog.leaveOut('overload', clock.wallMs());
      conversion.schedule();
    },
    depth: () => ({ records: backlog.records(), bytes: backlog.bytes() }),
    start: async () => {
      try {
        await place.enter();
      } catch (error) {
        // A full disk may have room again; until then the mode says what becomes of decisions.
        if (!isFull(error)) throw error;
        isFullAtStart = true;
        onError(error);
      }
      writer.start();
    },
    stop: () => (stopping ??= end()),
  };
}

type Place = {
  /** Makes the folder, and the file that says which process writes there. */
  readonly enter: () => Promise<void>;
  readonly openSegment: () => Promise<Segment>;
  readonly leave: () => Promise<void>;
};

/** The folder of the segments. */
function createPlace(folder: string, { files, clock, token, durability, events }: WalOptions): Place {
  const marker = join(folder, `${token}.alive`);
  let description: string | undefined;
  let number = 0;
  const segmentOptions = {
    ...{ folder, token, files, clock },
    syncs: durability !== 'async',
    onSynced: quietly(events.onSynced),
    onSealed: quietly(events.onSealed),
    onError: quietly(events.onError),
  };
  async function enter(): Promise<void> {
    description ??= await describeProcess(clock.wallMs());
    await files.makeFolder(folder);
    await files.put(marker, description);
  }
  return {
    enter,
    openSegment: async () => {
      // Again, as somebody may have cleared the folder away.
      await enter();
      return openSegment(++number, segmentOptions);
    },
    leave: () => files.remove(marker),
  };
}
