import { backoffMs } from '../lib/backoff.ts';
import { messageOf } from '../lib/message.ts';

export type StatusReporterOptions = {
  /** The report of now. */
  readonly report: () => Promise<object>;
  /** Writes it to the log; undefined: not there. */
  readonly write: ((report: object) => void) | undefined;
  /** Rejects when it has not arrived. Undefined: it is sent to nobody. */
  readonly send: ((report: object, signal: AbortSignal) => Promise<void>) | undefined;
  /** False: nothing happens unless somebody asks. */
  readonly periodic: boolean;
  readonly random: () => number;
  readonly onSent: (ok: boolean) => void;
  readonly log: { readonly warn: (fields: object, message: string) => void };
};

export type StatusReporter = {
  /** There is something new to report. */
  readonly changed: () => void;
  /** Reports now. Never rejects. */
  readonly flush: () => Promise<void>;
  readonly start: () => void;
  /** Reports what nobody has heard of yet, within two seconds. */
  readonly stop: () => Promise<void>;
};

/** What happens at once becomes one report. */
const GATHER_MS = 100;
const SPACING_MS = 1000;
const RETRY_BASE_MS = 1000;
const RETRY_CAP_MS = 60_000;
const FAREWELL_MS = 2000;

/**
 * Reports the state of the process after each change. One report is under way at a time; what changes meanwhile, or while
 * the receiver is away, becomes part of the next one, so that nothing queues up. Failures are followed by a back-off.
 */
export function createStatusReporter(options: StatusReporterOptions): StatusReporter {
  const { report, write, send, periodic, random, log } = options;
  const stopping = new AbortController();
  let isStarted = false;
  let isDue = false;
  let isUnsent = false;
  let failures = 0;
  let complaint: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;

  async function attempt(signal: AbortSignal): Promise<void> {
    const isNew = isDue;
    isDue = false;
    isUnsent = true;
    try {
      const document = await report();
      if (isNew) write?.(document);
      await send?.(document, signal);
      if (send !== undefined) options.onSent(true);
      isUnsent = false;
      failures = 0;
      complaint = undefined;
    } catch (error) {
      // What was cut short at the end is reported once more.
      if (stopping.signal.aborted && signal === stopping.signal) return;
      failures++;
      options.onSent(false);
      const message = messageOf(error);
      if (message !== complaint) log.warn({ cause: message }, 'status not reported; it is tried again');
      complaint = message;
    }
  }

  function schedule(delayMs: number): void {
    if (timer !== undefined || !isStarted || stopping.signal.aborted) return;
    timer = setTimeout(() => {
      timer = undefined;
      void run();
    }, delayMs);
    timer.unref();
  }

  function run(): Promise<void> {
    underWay ??= attempt(stopping.signal).finally(() => {
      underWay = undefined;
      if (failures > 0 && periodic) schedule(backoffMs(failures - 1, RETRY_BASE_MS, RETRY_CAP_MS, random));
      else if (isDue && periodic) schedule(SPACING_MS);
    });
    return underWay;
  }

  return {
    changed: () => {
      isDue = true;
      if (periodic && underWay === undefined) schedule(GATHER_MS);
    },
    flush: async () => {
      await underWay;
      isDue = true;
      clearTimeout(timer);
      timer = undefined;
      await run();
    },
    start: () => {
      isStarted = true;
      if (isDue && periodic) schedule(GATHER_MS);
    },
    stop: async () => {
      const wasPeriodic = isStarted && periodic;
      clearTimeout(timer);
      stopping.abort();
      await underWay;
      if (wasPeriodic && (isDue || isUnsent)) await attempt(AbortSignal.timeout(FAREWELL_MS));
    },
  };
}
