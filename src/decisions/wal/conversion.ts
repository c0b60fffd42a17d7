import type { Clock } from '../../lib/clock.ts';
import { createFifo } from '../../lib/fifo.ts';
import type { DecisionRecord } from '../../model/record.ts';
import { timestampOf } from '../timestamp.ts';
import type { Backlog, DropReason, Gap } from './backlog.ts';

/** Lines on their way to the disk, as bytes: memory that the garbage collector need not look through. */
export type Chunk = {
  readonly bytes: Buffer;
  /** How much of `bytes` is filled. */
  length: number;
  records: number;
  gaps: number;
  /** Of the records. */
  weight: number;
  /** To be told what became of them. */
  readonly waiting: ((kept: boolean) => void)[];
};

/** Turns records into lines off the request's path, a few in each turn of the event loop. */
export type Conversion = {
  /** There is something in the backlog. */
  readonly schedule: () => void;
  /** Whether there are no lines. */
  readonly isEmpty: () => boolean;
  /** Whether there are more than one chunk holds. */
  readonly hasMany: () => boolean;
  /** The next lines. */
  readonly take: () => Chunk | undefined;
  /** The lines of a chunk that was taken are not needed any more. */
  readonly recycle: (chunk: Chunk) => void;
  /** Turns all that is in the backlog now. */
  readonly finish: () => void;
};

export type ConversionOptions = {
  readonly backlog: Backlog;
  /** Undefined: the record is not to be written. */
  readonly toLine: (record: DecisionRecord) => string | undefined;
  readonly clock: Clock;
  readonly onDrop: (count: number, reason: DropReason) => void;
  readonly onError: (error: unknown) => void;
  /** There are lines. */
  readonly onLines: () => void;
};

/** What one turn of the event loop may take, ms; more when records have waited so long that they will be late. */
const TURN_MS = 2;
const LATE_MS = 20;
const LATE_TURN_MS = 8;
const CHUNK_BYTES = 262_144;
/** Chunks that wait for the disk. */
const MAX_CHUNKS = 32;
const MAX_UTF8 = 3;

export function createConversion(options: ConversionOptions): Conversion {
  const { backlog, clock } = options;
  const full = createFifo<Chunk>();
  let current: Chunk | undefined;
  let spare: Buffer | undefined;
  let isScheduled = false;

  const canWork = (): boolean => !backlog.isEmpty() && full.size() < MAX_CHUNKS;

  function schedule(): void {
    if (isScheduled || !canWork()) return;
    isScheduled = true;
    setImmediate(turn);
  }

  function turn(): void {
    isScheduled = false;
    const startedMs = clock.monotonicMs();
    const isLate = startedMs - (backlog.oldestMs() ?? startedMs) > LATE_MS;
    const endMs = startedMs + (isLate ? LATE_TURN_MS : TURN_MS);
    while (canWork()) {
      convert();
      if (clock.monotonicMs() >= endMs) break;
    }
    schedule();
    options.onLines();
  }

  function convert(): void {
    const next = backlog.next();
    if (next === undefined) return;
    if ('gap' in next) {
      add(lineOf(next.gap)).gaps++;
      return;
    }
    const { seq, record, weight, onSettled } = next;
    let line: string | undefined;
    try {
      line = options.toLine(record);
    } catch (error) {
      options.onDrop(1, 'error');
      options.onError(error);
      backlog.release(1, weight);
      onSettled?.(false);
      const { timeMs } = record;
      add(lineOf({ fromSeq: seq, toSeq: seq, reason: 'error', fromMs: timeMs, toMs: timeMs })).gaps++;
      return;
    }
    if (line === undefined) {
      backlog.release(1, weight);
      onSettled?.(true);
      return;
    }
    const chunk = add(line, `,"seq":${seq}}\n`);
    chunk.records++;
    chunk.weight += weight;
    if (onSettled !== undefined) chunk.waiting.push(onSettled);
  }

  /** Puts members in the place of an object's end, if there are any. Returns the chunk that the line is in. */
  function add(line: string, members = ''): Chunk {
    const most = (line.length + members.length) * MAX_UTF8;
    if (current !== undefined && current.bytes.length - current.length < most) {
      full.add(current);
      current = undefined;
    }
    current ??= createChunk(most);
    current.length += current.bytes.write(line, current.length);
    // To put them into the text would copy all of it twice.
    if (members !== '') current.length += current.bytes.write(members, current.length - 1) - 1;
    return current;
  }

  function createChunk(atLeast: number): Chunk {
    const bytes = atLeast <= CHUNK_BYTES ? (spare ?? Buffer.allocUnsafe(CHUNK_BYTES)) : Buffer.allocUnsafe(atLeast);
    if (bytes === spare) spare = undefined;
    return { bytes, length: 0, records: 0, gaps: 0, weight: 0, waiting: [] };
  }

  return {
    schedule,
    isEmpty: () => current === undefined && full.size() === 0,
    hasMany: () => full.size() > 0,
    take: () => {
      const chunk = full.take() ?? current;
      if (chunk === current) current = undefined;
      schedule();
      return chunk;
    },
    recycle: ({ bytes }) => {
      if (bytes.length === CHUNK_BYTES) spare = bytes;
    },
    finish: () => {
      while (!backlog.isEmpty()) convert();
    },
  };
}

function lineOf({ fromSeq, toSeq, reason, fromMs, toMs }: Gap): string {
  const gap = {
    from_seq: fromSeq,
    to_seq: toSeq,
    count: toSeq - fromSeq + 1,
    reason,
    from: timestampOf(fromMs),
    to: timestampOf(toMs),
  };
  return `${JSON.stringify({ gap })}\n`;
}
