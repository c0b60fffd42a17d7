import type { Clock } from '../../lib/clock.ts';
import { createFifo } from '../../lib/fifo.ts';
import type { DecisionRecord } from '../../model/record.ts';
import { timestampOf } from '../timestamp.ts';
import type { Backlog, DropReason, Gap } from './backlog.ts';

/** A line of the log with its end. */
export type Line = {
  readonly text: string;
  /** Of its record; a gap has none. */
  readonly weight: number | undefined;
  readonly onSettled: ((kept: boolean) => void) | undefined;
};

/** Turns records into lines off the request's path, a few in each turn of the event loop. */
export type Conversion = {
  /** There is something in the backlog. */
  readonly schedule: () => void;
  /** Lines that are ready. */
  readonly size: () => number;
  readonly chars: () => number;
  /** The next lines, of about so many characters together. */
  readonly take: (chars: number) => readonly Line[];
  /** Turns all that is in the backlog now. */
  readonly finish: () => void;
};

export type ConversionOptions = {
  readonly backlog: Backlog;
  readonly toLine: (record: DecisionRecord) => string;
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
/** Records between two looks at the clock. */
const RECORDS_PER_LOOK = 8;
/** Lines that wait for the disk, characters. */
const MAX_CHARS = 8_388_608;

export function createConversion(options: ConversionOptions): Conversion {
  const { backlog, clock } = options;
  const lines = createFifo<Line>();
  let chars = 0;
  let isScheduled = false;

  const canWork = (): boolean => !backlog.isEmpty() && chars < MAX_CHARS;

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
    for (let i = 1; canWork(); i++) {
      convert();
      if (i % RECORDS_PER_LOOK === 0 && clock.monotonicMs() >= endMs) break;
    }
    schedule();
    options.onLines();
  }

  function convert(): void {
    const next = backlog.next();
    if (next === undefined) return;
    if ('gap' in next) {
      add({ text: lineOf(next.gap), weight: undefined, onSettled: undefined });
      return;
    }
    const { seq, record, weight, onSettled } = next;
    let text: string;
    try {
      text = `${options.toLine(record).slice(0, -1)},"seq":${seq}}\n`;
    } catch (error) {
      options.onDrop(1, 'error');
      options.onError(error);
      backlog.release(weight);
      onSettled?.(false);
      const { timeMs } = record;
      text = lineOf({ fromSeq: seq, toSeq: seq, reason: 'error', fromMs: timeMs, toMs: timeMs });
      add({ text, weight: undefined, onSettled: undefined });
      return;
    }
    add({ text, weight, onSettled });
  }

  function add(line: Line): void {
    lines.add(line);
    chars += line.text.length;
  }

  return {
    schedule,
    size: lines.size,
    chars: () => chars,
    take: (max) => {
      const taken: Line[] = [];
      for (let size = 0; size < max; ) {
        const line = lines.take();
        if (line === undefined) break;
        taken.push(line);
        size += line.text.length;
        chars -= line.text.length;
      }
      schedule();
      return taken;
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
