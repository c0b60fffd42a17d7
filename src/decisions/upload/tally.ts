import type { Logger } from '../../telemetry/logger.ts';
import type { UploadCounts, UploadFailure, UploadLoss, UploadProblem } from '../../telemetry/upload-metrics.ts';

/** What has come of decisions; told to the log, and counted until somebody asks. */
export type Tally = {
  readonly taken: (decisions: number, stripped: number) => void;
  readonly failed: (kind: UploadFailure, what: UploadProblem) => void;
  readonly lost: (reason: UploadLoss, count: number) => void;
  /** Counts since the last time. */
  readonly take: () => Omit<UploadCounts, 'waitingBytes' | 'oldestMs'>;
};

type Counts = {
  decisions: number;
  requests: number;
  stripped: number;
  readonly failures: { [kind in UploadFailure]?: number };
  readonly lost: { [reason in UploadLoss]?: number };
};

const nothing = (): Counts => ({ decisions: 0, requests: 0, stripped: 0, failures: {}, lost: {} });

export function createTally(log: Logger): Tally {
  let counts = nothing();
  let problem: UploadProblem | undefined;
  return {
    taken: (decisions, stripped) => {
      counts.requests++;
      counts.decisions += decisions;
      counts.stripped += stripped;
      if (problem !== undefined) log.info({}, 'decisions are sent again');
      problem = undefined;
    },
    failed: (kind, what) => {
      counts.failures[kind] = (counts.failures[kind] ?? 0) + 1;
      // The same trouble is told once.
      if (what.message !== problem?.message) log.warn({ cause: what.message }, 'decisions not sent; it is tried again');
      problem = what;
    },
    lost: (reason, count) => {
      counts.lost[reason] = (counts.lost[reason] ?? 0) + count;
    },
    take: () => {
      const taken = counts;
      counts = nothing();
      return { ...taken, problem };
    },
  };
}
