import type { Policy } from '../../bundles/activate.ts';
import type { ForkWorker } from '../../cli/ports.ts';
import { type Channel, createChannel } from '../../lib/channel.ts';
import type { Clock } from '../../lib/clock.ts';
import type { MetricValues } from '../../telemetry/metrics.ts';
import type { PrimaryFunctions, WorkerFunctions, WorkerSettings } from './protocol.ts';
import { sendPolicy } from './transfer.ts';

/** One worker process, as the primary sees it. What is asked of it rejects when it is gone, or does not answer in time. */
export type Member = {
  readonly worker: number;
  readonly pid: number;
  readonly bornMs: number;
  /** Resolves with how it ended. */
  readonly exited: Promise<string>;
  readonly isGone: () => boolean;
  readonly kill: () => void;
  readonly call: Channel<WorkerFunctions>['call'];
  readonly start: (settings: WorkerSettings) => Promise<void>;
  readonly listen: () => Promise<string>;
  readonly prepare: (id: number, policy: Policy) => Promise<void>;
  /** Never rejects: a worker that cannot do what it had acknowledged would answer with the policy before, and is ended. */
  readonly commit: (id: number, policy: Policy) => Promise<void>;
  /** Never rejects; a worker that does not hear it is ended. */
  readonly setStale: (stale: boolean) => Promise<void>;
  /** Never rejects: readiness that is not taken back does less harm than a stop that never comes. */
  readonly retire: () => Promise<void>;
  /** Resolves when it has ended, with its last metrics; it is ended when it takes longer than `drainMs` and a margin. */
  readonly stop: (drainMs: number) => Promise<readonly MetricValues[]>;
  /** Of now, or the last ones when it does not answer soon. */
  readonly metrics: () => Promise<readonly MetricValues[]>;
  readonly lastMetrics: () => readonly MetricValues[];
  readonly isReady: () => boolean;
  /** How many of its connections carried checks when it last said so. */
  readonly connections: () => number;
  readonly revisions: () => Policy['revisions'];
  /** For how long it should have said something and has not, ms; 0 or less: not at all. */
  readonly overdueMs: () => number;
};

/** A worker that is silent for so long hangs: no evaluation and no other work takes a part of it, ms. */
const SILENCE_MS = 5_000;
/** The same until its first word: a process has to come up, ms. */
const BIRTH_MS = 60_000;
/** Beyond what it may wait for by configuration, ms. */
const START_MS = 60_000;
/** What takes no work, on a machine that has a lot of other work, ms. */
const ANSWER_MS = 5_000;
/** A worker bounds this itself, by the size of the policy, ms. */
const PREPARE_MS = 1_200_000;
const METRICS_MS = 2_000;
/** Beyond what a drain may take, ms. */
const STOP_MARGIN_MS = 10_000;

export type MemberParts = {
  readonly worker: number;
  readonly fork: ForkWorker;
  readonly clock: Clock;
  readonly keys: Pick<PrimaryFunctions, 'keyStateOf' | 'lookForKey'>;
  /** Whether it can answer has changed. */
  readonly onChanged: () => void;
};

/** Starts a process, which does nothing yet. */
export function createMember({ worker, fork, clock, keys, onChanged }: MemberParts): Member {
  const child = fork();
  const bornMs = clock.monotonicMs();
  let [ready, isGone] = [false, false];
  let connections = 0;
  let beatMs: number | undefined;
  let revisions: Policy['revisions'] = {};
  let lastMetrics: readonly MetricValues[] = [];
  const kill = (): void => child.kill('SIGKILL');
  const exited = child.exited.then((how) => {
    isGone = true;
    return how;
  });
  const { call } = createChannel<WorkerFunctions>(child.pipe, {
    ...keys,
    beat: (state) => {
      beatMs = clock.monotonicMs();
      connections = state.connections;
      if (state.ready === ready) return;
      ready = state.ready;
      onChanged();
    },
  } satisfies PrimaryFunctions);

  return {
    ...{ worker, pid: child.pid, bornMs, exited, kill, call },
    isGone: () => isGone,
    start: (settings) => call('start', settings, START_MS + configuredWaitMs(settings)),
    listen: () => call('listen', undefined, START_MS),
    prepare: async (id, policy) => {
      await sendPolicy({ call }, id, policy);
      await call('prepare', id, PREPARE_MS);
    },
    commit: async (id, policy) => {
      await call('commit', id, ANSWER_MS).then(() => {
        revisions = policy.revisions;
      }, kill);
    },
    setStale: (stale) => call('setStale', stale, ANSWER_MS).catch(kill),
    retire: () => call('retire', undefined, ANSWER_MS).catch(() => {}),
    stop: async (drainMs) => {
      const ms = drainMs + STOP_MARGIN_MS;
      const timer = setTimeout(kill, ms);
      lastMetrics = await call('stop', undefined, ms).catch(() => lastMetrics);
      await exited;
      clearTimeout(timer);
      return lastMetrics;
    },
    metrics: async () => {
      // Better a little old than gone, which would look like a restart.
      lastMetrics = await call('metrics', undefined, METRICS_MS).catch(() => lastMetrics);
      return lastMetrics;
    },
    lastMetrics: () => lastMetrics,
    isReady: () => ready,
    connections: () => connections,
    revisions: () => revisions,
    overdueMs: () =>
      beatMs === undefined ? clock.monotonicMs() - bornMs - BIRTH_MS : clock.monotonicMs() - beatMs - SILENCE_MS,
  };
}

const configuredWaitMs = ({ config }: WorkerSettings): number =>
  (config.postern.tls?.workload_api?.start_timeout_seconds ?? 0) * 1000;
