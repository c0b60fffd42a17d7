import { join } from 'node:path';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/message.ts';
import { createSignal } from '../../lib/signal.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { UploadCounts } from '../../telemetry/upload-metrics.ts';
import { openOutbox } from './outbox.ts';
import type { UploadSettings } from './protocol.ts';
import { createRate } from './rate.ts';
import { createSender } from './sender.ts';
import { createTally, type Tally } from './tally.ts';
import { createUpkeep } from './upkeep.ts';

export type UploaderParts = {
  readonly settings: Pick<UploadSettings, 'path' | 'alone' | 'limits' | 'reporting'>;
  /** Resolves with the status of the service's answer; rejects when there is none. */
  readonly post: (body: Buffer, signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
};

/** Sends decisions of the write-ahead log to a service, each at least once. */
export type Uploader = {
  /** What has come of it since the last report. */
  readonly report: () => UploadCounts;
  /** Sends what is there now. */
  readonly flush: () => void;
  /** Sends what is there, for so long, ms. */
  readonly stop: (forMs: number) => Promise<void>;
};

const LOOK_EVERY_MS = 500;
/** After a look that took long it rests so many times as long. */
const LOOK_SHARE = 5;
/** Between two turns, however short the delays are. */
const REST_MS = 50;
const RETRY_MS = 100;
/** Between two tries while it stops, ms. */
const LAST_RETRY_MS = 500;

/** Rejects when the folder cannot be used. */
export async function startUploader(parts: UploaderParts): Promise<Uploader> {
  const { settings, clock, random, log } = parts;
  const { reporting, path, alone } = settings;
  const { trigger, min_delay_seconds: minDelay, max_delay_seconds: maxDelay } = reporting;
  const tally = createTally(log);
  const wake = createSignal();
  const ending = new AbortController();
  let stopping = false;
  let isAsked = false;
  let failed = 0;
  let nextLookMs = Number.NEGATIVE_INFINITY;
  let dueMs = clock.monotonicMs();

  const onFailed: Tally['failed'] = (kind, what) => {
    // What is cut short at the end is not a failure.
    if (!ending.signal.aborted) tally.failed(kind, what);
  };
  const onError = (what: string, error: unknown): void => onFailed('disk', { message: `${what}: ${messageOf(error)}` });
  const rate = reporting.max_decisions_per_second;
  const admits = rate === undefined ? () => true : createRate(rate);
  const outbox = await openOutbox({
    folders: { wal: join(path, 'wal'), cursors: join(path, 'cursors') },
    removes: alone,
    admits: ({ timeMs }) => {
      const isAdmitted = admits(timeMs);
      if (!isAdmitted) tally.lost('rate', 1);
      return isAdmitted;
    },
    onUnreadable: (segment, lines) => {
      tally.lost('unreadable', lines);
      log.error({ segment, lines }, 'lines of the write-ahead log cannot be read, and are not sent');
    },
    onError,
  });
  const sender = createSender({
    limit: reporting.upload_size_limit_bytes,
    post: (body) => parts.post(body, ending.signal),
    onTaken: tally.taken,
    onFailed,
    onLost: (reason, { text }) => {
      tally.lost(reason, 1);
      log.error({ reason, characters: text.length }, 'a decision is too large to be sent');
    },
  });
  const upkeep = createUpkeep({
    outbox,
    folder: join(path, 'wal'),
    alone,
    limits: settings.limits,
    compressed: { bytes: reporting.buffer_size_limit_bytes, ratio: sender.ratio },
    clock,
    onLost: (segments, decisions, reason) => {
      tally.lost(reason, decisions);
      log.error({ segments, decisions, reason }, 'decisions were given up before the service had them');
    },
    onError,
  });

  const waitingBytes = (): number => outbox.waiting().reduce((sum, { bytes }) => sum + bytes, 0);

  async function look(): Promise<void> {
    const startedMs = clock.monotonicMs();
    if (startedMs < nextLookMs) return;
    await upkeep();
    const endedMs = clock.monotonicMs();
    nextLookMs = endedMs + Math.max(LOOK_EVERY_MS, LOOK_SHARE * (endedMs - startedMs));
  }

  /** Sends full requests while there are decisions for them, and then the rest if `all`. Resolves with whether nothing failed. */
  async function send(all: boolean): Promise<boolean> {
    for (;;) {
      await look();
      const isAll = await outbox.fill(sender.fullLength());
      while (outbox.length() >= sender.fullLength() || (all && isAll && outbox.events().length > 0)) {
        const count = await sender.send(outbox.events());
        if (count === 0) return false;
        await outbox.finish(count);
        if (!isAll) break;
      }
      if (isAll) return true;
    }
  }

  /** One turn; never rejects. */
  async function turn(all: boolean): Promise<void> {
    const isSent = await send(all).catch((error: unknown) => {
      onError('keeping what was sent', error);
      return false;
    });
    failed = isSent ? 0 : failed + 1;
    if (!all && isSent) return;
    const delayMs = isSent
      ? (minDelay + (maxDelay - minDelay) * random()) * 1000
      : backoffMs(failed - 1, RETRY_MS, Math.max(RETRY_MS, maxDelay * 1000), random);
    dueMs = clock.monotonicMs() + delayMs;
  }

  async function run(): Promise<void> {
    while (!stopping) {
      await look();
      const isDue = isAsked || (trigger !== 'manual' && clock.monotonicMs() >= dueMs);
      isAsked = false;
      if (isDue || (trigger === 'immediate' && failed === 0)) await turn(isDue);
      // So that it is known how old the oldest is.
      else await outbox.fill(1).catch((error: unknown) => onError('keeping what was sent', error));
      const untilDueMs = trigger === 'manual' ? LOOK_EVERY_MS : dueMs - clock.monotonicMs();
      if (!stopping && !isAsked) await wake.wait(Math.max(REST_MS, Math.min(LOOK_EVERY_MS, untilDueMs)));
    }
  }

  async function sendRest(): Promise<void> {
    nextLookMs = Number.NEGATIVE_INFINITY;
    do {
      await turn(true);
      if (failed > 0) await new Promise((resolve) => setTimeout(resolve, LAST_RETRY_MS));
    } while (failed > 0 && !ending.signal.aborted);
    const left = waitingBytes();
    if (left > 0) log.warn({ bytes: left }, 'decisions wait for the next start to be sent');
  }

  const running = run();
  return {
    report: () => ({ ...tally.take(), waitingBytes: waitingBytes(), oldestMs: outbox.oldestMs() }),
    flush: () => {
      isAsked = true;
      wake.raise();
    },
    stop: async (forMs) => {
      const timer = setTimeout(() => ending.abort(), forMs);
      stopping = true;
      wake.raise();
      await running;
      if (trigger !== 'manual') await sendRest();
      clearTimeout(timer);
    },
  };
}
