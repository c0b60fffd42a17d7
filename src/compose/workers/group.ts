import type { Policy, Prepared } from '../../bundles/activate.ts';
import type { ForkWorker, WorkerProcess } from '../../cli/ports.ts';
import type { KeyState } from '../../identity/shared-jwks.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { type Channel, createChannel } from '../../lib/channel.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/message.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { type MetricValues, totalsOf } from '../../telemetry/metrics.ts';
import type { PreparePolicy } from '../policy-holder.ts';
import { BEAT_EVERY_MS, type PrimaryFunctions, type WorkerFunctions, type WorkerSettings } from './protocol.ts';
import { sendPolicy } from './transfer.ts';

export type WorkerGroupParts = {
  readonly count: number;
  readonly fork: ForkWorker;
  readonly settings: Omit<WorkerSettings, 'worker'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keys: Pick<PrimaryFunctions, 'keyStateOf' | 'lookForKey'>;
  /** A worker that had served was lost. */
  readonly onLost: () => void;
  /** How many can answer, or whether all of them can, may have changed. */
  readonly onChanged: () => void;
};

/** The workers of a server, as one target of policies. */
export type WorkerGroup = {
  readonly prepare: PreparePolicy;
  /** Starts all of them. Rejects when one cannot start. */
  readonly start: () => Promise<void>;
  /** Lets all of them listen. Resolves with the address, and rejects when one cannot. */
  readonly listen: () => Promise<string>;
  /** Whether at least one can answer. */
  readonly isReady: () => boolean;
  readonly status: () => readonly object[];
  /** Of every worker, those that were lost included. */
  readonly metrics: () => Promise<readonly (readonly MetricValues[])[]>;
  readonly reload: () => Promise<void>;
  readonly setStale: (stale: boolean) => void;
  readonly keysChanged: (issuer: string, state: KeyState) => void;
  readonly retire: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

type Member = {
  readonly worker: number;
  readonly child: WorkerProcess;
  readonly channel: Channel<WorkerFunctions>;
  revisions: { readonly [bundle: string]: string };
  ready: boolean;
  beatMs: number;
  lastMetrics: readonly MetricValues[];
};

/** A worker that is silent for so long hangs: no evaluation and no other work takes a part of it, ms. */
const SILENCE_MS = 5_000;
const WATCH_EVERY_MS = 1_000;
const RESTART_BASE_MS = 100;
const RESTART_CAP_MS = 10_000;
/** Who lived so long did not die of its start, ms. */
const HEALTHY_MS = 30_000;
const METRICS_MS = 2_000;
/** Beyond what a drain may take, ms. */
const STOP_MARGIN_MS = 10_000;

export function createWorkerGroup(parts: WorkerGroupParts): WorkerGroup {
  const { count, clock, log } = parts;
  const members = new Map<number, Member>();
  const deaths = new Map<number, number>();
  let lostMetrics: readonly MetricValues[] = [];
  let active: { readonly id: number; readonly policy: Policy } | undefined;
  let address: string | undefined;
  let stopping = false;
  let isStale = false;
  let lastId = 0;
  let last: Promise<unknown> = Promise.resolve();
  /** A worker joins between two activations: during one, it would miss a half. */
  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const turn = last.then(task);
    last = turn.catch(() => {});
    return turn;
  };
  const all = <T>(task: (member: Member) => Promise<T>): Promise<readonly T[]> =>
    Promise.all([...members.values()].map(task));

  async function bringUp(worker: number): Promise<void> {
    const child = parts.fork();
    const bornMs = clock.monotonicMs();
    const member: Member = {
      worker,
      child,
      channel: createChannel<WorkerFunctions>(child.pipe, {
        ...parts.keys,
        beat: ({ ready }) => {
          member.beatMs = clock.monotonicMs();
          if (member.ready === ready) return;
          member.ready = ready;
          parts.onChanged();
        },
      } satisfies PrimaryFunctions),
      revisions: {},
      ready: false,
      beatMs: bornMs,
      lastMetrics: [],
    };
    void child.exited.then((how) => lost(member, how, bornMs));
    try {
      await member.channel.call('start', { ...parts.settings, worker });
      members.set(worker, member);
      if (active !== undefined) {
        await prepareIn(member, active.id, active.policy);
        await commitIn(member, active.id, active.policy);
      }
      if (isStale) await member.channel.call('setStale', true);
      if (address !== undefined) await member.channel.call('listen', undefined);
    } catch (error) {
      members.delete(worker);
      child.kill('SIGKILL');
      throw error;
    }
  }

  function lost(member: Member, how: string, bornMs: number): void {
    const { worker, child, lastMetrics } = member;
    if (members.get(worker) !== member) return;
    members.delete(worker);
    parts.onChanged();
    if (stopping) return;
    parts.onLost();
    void totalsOf([lostMetrics, lastMetrics]).then((totals) => (lostMetrics = totals));
    log.error({ worker, pid: child.pid, how }, 'a worker was lost; another one takes its place');
    if (clock.monotonicMs() - bornMs > HEALTHY_MS) deaths.delete(worker);
    replace(worker);
  }

  function replace(worker: number): void {
    const before = deaths.get(worker) ?? 0;
    deaths.set(worker, before + 1);
    const timer = setTimeout(
      () => {
        if (stopping) return;
        inTurn(() => (stopping ? Promise.resolve() : bringUp(worker))).catch((error: unknown) => {
          log.error({ worker, cause: messageOf(error) }, 'a worker could not be replaced; it is tried again');
          if (!stopping) replace(worker);
        });
      },
      before === 0 ? 0 : backoffMs(before - 1, RESTART_BASE_MS, RESTART_CAP_MS, Math.random),
    );
    timer.unref();
  }

  let watchedMs = clock.monotonicMs();
  const watch = setInterval(() => {
    const now = clock.monotonicMs();
    const wasBusy = now - watchedMs > WATCH_EVERY_MS + BEAT_EVERY_MS;
    watchedMs = now;
    // Beats that came meanwhile are not read yet.
    if (wasBusy) return;
    for (const { worker, child, beatMs } of members.values()) {
      if (now - beatMs < SILENCE_MS) continue;
      log.error({ worker, pid: child.pid, silent_ms: Math.round(now - beatMs) }, 'a worker hangs and is ended');
      child.kill('SIGKILL');
    }
  }, WATCH_EVERY_MS);
  watch.unref();

  async function prepareIn({ channel }: Member, id: number, policy: Policy): Promise<void> {
    await sendPolicy(channel, id, policy);
    await channel.call('prepare', id);
  }

  /** A worker that cannot do what it had acknowledged would answer with the policy before. */
  async function commitIn(member: Member, id: number, policy: Policy): Promise<void> {
    try {
      await member.channel.call('commit', id);
      member.revisions = policy.revisions;
    } catch {
      member.child.kill('SIGKILL');
    }
  }

  async function prepare(policy: Policy): Promise<Prepared> {
    const id = ++lastId;
    const outcomes = await Promise.allSettled([...members.values()].map((member) => prepareIn(member, id, policy)));
    const abandon = async (): Promise<void> => {
      await all(({ channel }) => channel.call('abandon', id).catch(() => {}));
    };
    const commit = async (): Promise<void> => {
      active = { id, policy };
      await all((member) => commitIn(member, id, policy));
    };
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure === undefined) return { commit: () => inTurn(commit), abandon };
    await abandon();
    throw failure.reason;
  }

  return {
    prepare: (policy) => inTurn(() => prepare(policy)),
    start: async () => {
      await inTurn(() => Promise.all(Array.from({ length: count }, (_, i) => bringUp(i + 1))));
    },
    listen: () =>
      inTurn(async () => {
        const addresses = await all(({ channel }) => channel.call('listen', undefined));
        address = addresses[0] ?? '';
        return address;
      }),
    isReady: () => [...members.values()].some(({ ready }) => ready),
    status: () =>
      [...members.values()]
        .sort((a, b) => a.worker - b.worker)
        .map(({ worker, child: { pid }, ready, revisions }) => ({ worker, pid, ready, revisions })),
    metrics: async () => {
      await all(async (member) => {
        const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), METRICS_MS).unref());
        const values = await Promise.race([member.channel.call('metrics', undefined).catch(() => undefined), late]);
        // Better a little old than gone, which would look like a restart.
        if (values !== undefined) member.lastMetrics = values;
      });
      return [lostMetrics, ...[...members.values()].map(({ lastMetrics }) => lastMetrics)];
    },
    reload: async () => {
      await all(({ channel }) => channel.call('reload', undefined));
    },
    setStale: (stale) => {
      isStale = stale;
      // A worker that does not hear it must not go on with what is too old.
      void all(({ channel, child }) => channel.call('setStale', stale).catch(() => child.kill('SIGKILL')));
    },
    keysChanged: (issuer, state) => {
      void all(({ channel }) => channel.call('keysChanged', { issuer, state }).catch(() => {}));
    },
    retire: async () => {
      await all(({ channel }) => channel.call('retire', undefined).catch(() => {}));
    },
    stop: async () => {
      stopping = true;
      clearInterval(watch);
      const { timeout_seconds: drainSeconds } = parts.settings.config.postern.drain;
      await all(async ({ channel, child }) => {
        const kill = setTimeout(() => child.kill('SIGKILL'), drainSeconds * 1000 + STOP_MARGIN_MS);
        await channel.call('stop', undefined).catch(() => {});
        await child.exited;
        clearTimeout(kill);
      });
    },
  };
}
