import { Counter, Gauge, type Registry } from 'prom-client';

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
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name: `postern_upload_${name}`, help, labelNames: [...labelNames], registers });
  const decisions = counter('decisions_total', 'Decisions that the service has taken.');
  const requests = counter('requests_total', 'Requests that the service has taken.');
  const failures = counter('failures_total', 'What failed, and is tried again, by kind.', ['kind']);
  const lost = counter('lost_decisions_total', 'Decisions that are not sent, by reason.', ['reason']);
  const stripped = counter('stripped_decisions_total', 'Decisions that were sent without `nd_builtin_cache`.');
  const restarts = counter('restarts_total', 'Ends of the process that sends decisions, and starts that failed.');
  const waiting = new Gauge({
    name: 'postern_upload_waiting_bytes',
    help: 'Bytes of the write-ahead log that are not sent yet.',
    registers,
  });
  // So that the first one is an increase.
  for (const kind of FAILURES) failures.inc({ kind }, 0);
  for (const reason of LOSSES) lost.inc({ reason }, 0);
  let oldestMs: number | undefined;
  new Gauge({
    name: 'postern_upload_lag_seconds',
    help: 'Age of the oldest decision that is not sent yet; 0 when there is none.',
    registers,
    collect() {
      this.set(oldestMs === undefined ? 0 : Math.max(0, wallMs() - oldestMs) / 1000);
    },
  });
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
