import type { Registry } from 'prom-client';
import { instrumentsIn } from './instruments.ts';

/** No answer; an answer 4xx; 5xx; any other; the log could not be read, or not be noted how far it was sent. */
export type UploadFailure = 'connection' | 'refused' | 'server' | 'other' | 'disk';
/**
 * Why decisions are not sent: they waited too long; too much waited; alone they are larger than a request may be; the
 * service takes no request as large as one of them; there were too many in their second; they cannot be read.
 */
export type UploadLoss = 'age' | 'size' | 'too_large' | 'refused' | 'rate' | 'unreadable';

/** Counts since the last report, and what there is now. */
export type UploadCounts = {
  readonly decisions: number;
  readonly requests: number;
  readonly failures: { readonly [kind in UploadFailure]?: number };
  readonly lost: { readonly [reason in UploadLoss]?: number };
  /** Sent without `nd_builtin_cache`. */
  readonly stripped: number;
  readonly waitingBytes: number;
  /** When the oldest decision that waits was made, ms since the epoch. */
  readonly oldestMs: number | undefined;
  /** Why the last request failed; undefined when it did not. */
  readonly problem: UploadProblem | undefined;
};

export type UploadProblem = { readonly message: string; readonly status?: number };

export type UploadMetrics = {
  readonly reported: (counts: UploadCounts) => void;
  /** The process ended, or could not be made ready. */
  readonly restarted: () => void;
};

const FAILURES: readonly UploadFailure[] = ['connection', 'refused', 'server', 'other', 'disk'];
const LOSSES: readonly UploadLoss[] = ['age', 'size', 'too_large', 'refused', 'rate', 'unreadable'];

/** What is measured of `decision_logs.service`. `wallMs`: the time of now. */
export function createUploadMetrics(registry: Registry, wallMs: () => number): UploadMetrics {
  const { counter, gauge, gaugeOf } = instrumentsIn(registry);
  const decisions = counter('postern_upload_decisions_total', 'Decisions that the service has taken.');
  const requests = counter('postern_upload_requests_total', 'Requests that the service has taken.');
  const failures = counter('postern_upload_failures_total', 'What failed, and is tried again, by kind.', ['kind']);
  const lost = counter('postern_upload_lost_decisions_total', 'Decisions that are not sent, by reason.', ['reason']);
  const stripped = counter(
    'postern_upload_stripped_decisions_total',
    'Decisions that were sent without `nd_builtin_cache`.',
  );
  const restarts = counter(
    'postern_upload_restarts_total',
    'Ends of the process that sends decisions, and starts that failed.',
  );
  const waiting = gauge('postern_upload_waiting_bytes', 'Bytes of the write-ahead log that are not sent yet.');
  // So that the first one is an increase.
  for (const kind of FAILURES) failures.inc({ kind }, 0);
  for (const reason of LOSSES) lost.inc({ reason }, 0);
  let oldestMs: number | undefined;
  const lag = 'Age of the oldest decision that is not sent yet; 0 when there is none.';
  gaugeOf('postern_upload_lag_seconds', lag, 'max', () =>
    oldestMs === undefined ? 0 : Math.max(0, wallMs() - oldestMs) / 1000,
  );
  return {
    reported: (counts) => {
      decisions.inc(counts.decisions);
      requests.inc(counts.requests);
      stripped.inc(counts.stripped);
      for (const kind of FAILURES) failures.inc({ kind }, counts.failures[kind] ?? 0);
      for (const reason of LOSSES) lost.inc({ reason }, counts.lost[reason] ?? 0);
      waiting.set(counts.waitingBytes);
      oldestMs = counts.oldestMs;
    },
    restarted: () => restarts.inc(),
  };
}
