import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { quietly, within } from '../../lib/quietly.ts';
import type { RequestFacts } from '../../model/facts.ts';
import type { DecisionRecord } from '../../model/record.ts';
import { createBacklog, type DropReason, type Room } from './backlog.ts';
import { createConversion, type Line } from './conversion.ts';
import type { WalFiles } from './files.ts';
import { describeProcess } from './marker.ts';
import { createSegments } from './segments.ts';

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
  readonly toLine: (record: DecisionRecord) => string;
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
  readonly depth: () => { readonly records: number; readonly bytes: number };
  /** Rejects when there can be no segments in the folder. */
  readonly start: () => Promise<void>;
  /** Takes no more, writes what waits and seals the segment, within a few seconds. Never rejects. */
  readonly stop: () => Promise<void>;
};

/** A commit takes its time too, and both together are to stay below 100 ms. */
const COMMIT_EVERY_MS = 40;
const RETRY_MS = 500;
const MAX_BATCH_CHARS = 1_048_576;
const SEGMENT_AGE_MS = 10_000;
const STOP_MS = 5_000;
/** Longest wait of an answer for its record, ms. */
const PATIENCE_MS = 1_000;

export function createWal(options: WalOptions): Wal {
  const { clock, files, durability, denies } = options;
  const folder = join(options.folder, 'wal');
  const marker = join(folder, `${options.token}.alive`);
  const onDrop = quietly(options.events.onDrop);
  const onError = quietly(options.events.onError);
  const onWritten = quietly(options.events.onWritten);
  const segments = createSegments({
    folder,
    token: options.token,
    files,
    clock,
    maxBytes: options.segmentBytes,
    maxAgeMs: SEGMENT_AGE_MS,
    syncs: durability !== 'async',
    onSynced: quietly(options.events.onSynced),
    onSealed: quietly(options.events.onSealed),
    onError,
  });
  /** Why the last commit failed, until one succeeds. */
  let failing: DropReason | undefined;
  let isPrepared = false;
  let stopping: Promise<void> | undefined;
  let wake: (() => void) | undefined;
  let isHurried = false;

  const backlog = createBacklog({
    maxRecords: options.maxRecords,
    maxBytes: options.maxBytes,
    nowMs: clock.monotonicMs,
    reason: () => failing ?? (stopping === undefined ? 'overflow' : 'error'),
    isClosed: () => stopping !== undefined,
    onDrop,
  });
  const conversion = createConversion({ backlog, toLine: options.toLine, clock, onDrop, onError, onLines: poke });

  /** There is something to commit. */
  function poke(): void {
    wake?.();
  }

  /** Resolves when the next commit is due. */
  async function due(): Promise<void> {
    if (conversion.size() === 0) {
      const sealAt = segments.dueMs();
      await new Promise<void>((resolve) => {
        const timer = sealAt === undefined ? undefined : setTimeout(resolve, Math.max(0, sealAt - clock.monotonicMs()));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = undefined;
    }
    if (durability !== 'sync' && !isHurried && conversion.chars() < MAX_BATCH_CHARS) await nap(COMMIT_EVERY_MS);
  }

  let endNap: (() => void) | undefined;
  async function nap(ms: number): Promise<void> {
    if (isHurried) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      endNap = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    endNap = undefined;
  }

  async function prepare(): Promise<void> {
    if (isPrepared) return;
    await files.makeFolder(folder);
    await files.put(marker, await describeProcess(clock.wallMs()));
    isPrepared = true;
  }

  /** Writes one batch, again and again until it is written; gives up only at the end. */
  async function commit(batch: readonly Line[]): Promise<void> {
    const bytes = Buffer.from(batch.map(({ text }) => text).join(''));
    for (;;) {
      try {
        await prepare();
        await segments.append(bytes);
        break;
      } catch (error) {
        failing = isFull(error) ? 'disk_full' : 'error';
        onError(error);
        for (const { onSettled } of batch) onSettled?.(false);
        if (stopping !== undefined) {
          for (const line of batch) lose(line);
          return;
        }
        await nap(RETRY_MS);
      }
    }
    failing = undefined;
    let gaps = 0;
    for (const { weight, onSettled } of batch) {
      if (weight === undefined) gaps++;
      else backlog.release(weight);
      onSettled?.(true);
    }
    onWritten(batch.length - gaps, gaps, bytes.length);
  }

  function lose({ weight }: Line): void {
    if (weight === undefined) return;
    backlog.release(weight);
    onDrop(1, failing ?? 'error');
  }

  async function run(): Promise<void> {
    while (stopping === undefined || conversion.size() > 0 || !backlog.isEmpty()) {
      await due();
      const batch = conversion.take(MAX_BATCH_CHARS);
      if (batch.length > 0) await commit(batch);
      const sealAt = segments.dueMs();
      if (sealAt !== undefined && clock.monotonicMs() >= sealAt) await segments.seal();
    }
  }
  let running: Promise<void> | undefined;

  async function end(): Promise<void> {
    isHurried = true;
    endNap?.();
    conversion.finish();
    poke();
    const finished = (async () => {
      await running;
      await segments.seal();
      if (isPrepared) await files.remove(marker).catch(onError);
    })();
    await within(finished.catch(onError), options.stopTimeoutMs ?? STOP_MS);
    // A disk that hangs: what still waits is lost with this process.
    if (backlog.records() > 0) onDrop(backlog.records(), failing ?? 'error');
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
      if (!backlog.add(decision, room, settle) || failing !== undefined) settle(false);
      else timer = setTimeout(settle, wait, false);
      conversion.schedule();
    });
  }

  return {
    reserve: (facts) => (failing === undefined ? backlog.reserve(facts) : undefined),
    record,
    depth: () => ({ records: backlog.records(), bytes: backlog.bytes() }),
    start: async () => {
      try {
        await prepare();
      } catch (error) {
        // A full disk may have room again; until then the mode says what becomes of decisions.
        if (!isFull(error)) throw error;
        failing = 'disk_full';
        onError(error);
      }
      running = run();
    },
    stop: () => (stopping ??= end()),
  };
}

function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
