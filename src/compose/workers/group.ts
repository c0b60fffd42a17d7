import type { Policy, Prepared } from '../../bundles/activate.ts';
import type { ForkWorker } from '../../cli/ports.ts';
import type { KeyState } from '../../identity/shared-jwks.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/message.ts';
import { createOneByOne } from '../../lib/one-by-one.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { type MetricValues, totalsOf } from '../../telemetry/metrics.ts';
import type { PreparePolicy } from '../policy-holder.ts';
import { createEvenOut } from './even-out.ts';
import { createMember, type Member } from './member.ts';
import { BEAT_EVERY_MS, type PrimaryFunctions, type WorkerSettings } from './protocol.ts';

export type WorkerGroupParts = {
  readonly count: number;
  readonly fork: ForkWorker;
  readonly settings: Omit<WorkerSettings, 'worker'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keys: Pick<PrimaryFunctions, 'keyStateOf' | 'lookForKey'>;
  /** A worker that had served was lost. */
  readonly onLost: () => void;
  /** How many can answer may have changed. */
  readonly onChanged: () => void;
};

/** The workers of a server, as one target of policies. */
export type WorkerGroup = {
  /** What is prepared must be committed or abandoned: until then no worker joins. */
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
  /** Replaces all, one after another; each goes when another one has taken its place. Rejects, and leaves the rest, when one cannot. */
  readonly restart: () => Promise<void>;
  readonly setStale: (stale: boolean) => void;
  readonly keysChanged: (issuer: string, state: KeyState) => void;
  readonly retire: () => Promise<void>;
  /** Resolves when none of their processes is left. */
  readonly stop: () => Promise<void>;
};

type PreparedInAll = { readonly [step in keyof Prepared]: () => Promise<void> };

const WATCH_EVERY_MS = 1_000;
const RESTART_BASE_MS = 100;
const RESTART_CAP_MS = 10_000;
/** Who lived so long did not die of its start, ms. */
const HEALTHY_MS = 30_000;
/** For so long one that takes another's place may take to be ready, ms. */
const READY_MS = 30_000;

export function createWorkerGroup(parts: WorkerGroupParts): WorkerGroup {
  const { count, clock, log, settings } = parts;
  const members = new Map<number, Member>();
  /** Processes that are not up to date yet, and answer nobody. */
  const joining = new Set<Member>();
  /** Processes that another one has taken the place of, and that finish what is under way. */
  const leaving = new Set<Member>();
  const deaths = new Map<number, number>();
  /** Numbers of workers that were lost, until another one has them. */
  const vacant = new Set<number>();
  let lostMetrics: readonly MetricValues[] = [];
  let active: { readonly id: number; readonly policy: Policy } | undefined;
  let address: string | undefined;
  let stopping = false;
  let [isStale, isRetired] = [false, false];
  let lastId = 0;
  /** A worker joins between two activations: during one, it would miss a half. */
  const inTurn = createOneByOne();
  const oneSum = createOneByOne();
  const all = <T>(task: (member: Member) => Promise<T>): Promise<readonly T[]> => Promise.all(serving().map(task));
  const serving = (): readonly Member[] => [...members.values(), ...leaving];
  const everybody = (): readonly Member[] => [...serving(), ...joining];
  const drainMs = settings.config.postern.drain.timeout_seconds * 1000;

  async function bringUp(worker: number): Promise<Member> {
    const member = createMember({ ...parts, worker });
    joining.add(member);
    void member.exited.then((how) => lost(member, how));
    try {
      await member.start({ ...settings, worker });
      if (active !== undefined) {
        await member.prepare(active.id, active.policy);
        await member.commit(active.id, active.policy);
      }
      const tell = newsFor(member);
      await tell();
      if (address !== undefined) await member.listen();
      await tell();
      if (member.isGone() || stopping) throw new Error('it ended');
      members.set(worker, member);
      return member;
    } catch (error) {
      if (!stopping) member.kill();
      throw error;
    } finally {
      joining.delete(member);
    }
  }

  /** Tells what the others were told before it was one of them, as often as that has changed. */
  function newsFor(member: Member): () => Promise<void> {
    let [stale, retired] = [false, false];
    return async () => {
      while (stale !== isStale || retired !== isRetired) {
        const toRetire = isRetired && !retired;
        [stale, retired] = [isStale, isRetired];
        await member.setStale(stale);
        if (toRetire) await member.retire();
      }
    };
  }

  function lost(member: Member, how: string): void {
    const { worker, pid, bornMs } = member;
    // One that did not get so far is its starter's to replace.
    if (members.get(worker) !== member) return;
    members.delete(worker);
    if (stopping) return;
    parts.onLost();
    parts.onChanged();
    void keepMetrics(member.lastMetrics());
    log.error({ worker, pid, how }, 'a worker was lost; another one takes its place');
    if (clock.monotonicMs() - bornMs > HEALTHY_MS) deaths.delete(worker);
    replace(worker);
  }

  const keepMetrics = (values: readonly MetricValues[]): Promise<void> =>
    oneSum(async () => {
      lostMetrics = await totalsOf([lostMetrics, values]);
    });

  function replace(worker: number): void {
    vacant.add(worker);
    const before = deaths.get(worker) ?? 0;
    deaths.set(worker, before + 1);
    const again = async (): Promise<void> => {
      try {
        await inTurn(async () => {
          vacant.delete(worker);
          // One that was to take its place anyway may have done so.
          if (!stopping && members.size < count) await bringUp(worker);
        });
      } catch (error) {
        if (stopping) return;
        log.error({ worker, cause: messageOf(error) }, 'a worker could not be replaced; it is tried again');
        replace(worker);
      }
    };
    const delayMs = before === 0 ? 0 : backoffMs(before - 1, RESTART_BASE_MS, RESTART_CAP_MS, Math.random);
    setTimeout(() => void again(), delayMs).unref();
  }

  async function restart(): Promise<void> {
    for (const old of [...members.values()]) await inTurn(() => succeed(old));
  }

  /** Another one takes its place first, so that there is no moment with fewer. */
  async function succeed(old: Member): Promise<void> {
    // One that died meanwhile was replaced.
    if (stopping || members.get(old.worker) !== old) return;
    const successor = await bringUp(freeNumber());
    try {
      await untilReady(successor, old);
    } catch (error) {
      members.delete(successor.worker);
      successor.kill();
      throw error;
    }
    if (stopping || members.get(old.worker) !== old) return;
    members.delete(old.worker);
    leaving.add(old);
    log.info({ worker: old.worker, pid: old.pid, by: successor.worker }, 'a worker is replaced, as it was asked for');
    await keepMetrics(await old.stop(drainMs));
    leaving.delete(old);
  }

  /** As ready as the one before: no new one can do more. */
  async function untilReady(successor: Member, old: Member): Promise<void> {
    const untilMs = clock.monotonicMs() + READY_MS;
    while (!stopping && old.isReady() && !successor.isReady()) {
      if (successor.isGone() || clock.monotonicMs() > untilMs) throw new Error('a new worker does not become ready');
      await new Promise((resolve) => setTimeout(resolve, BEAT_EVERY_MS));
    }
  }

  /** Two that are there at the same time must not write to the same file. */
  function freeNumber(): number {
    let worker = 1;
    while (members.has(worker) || vacant.has(worker)) worker++;
    return worker;
  }

  const evenOut = createEvenOut(clock);

  let watchedMs = clock.monotonicMs();
  const watch = setInterval(() => {
    const now = clock.monotonicMs();
    const wasBusy = now - watchedMs > WATCH_EVERY_MS + BEAT_EVERY_MS;
    watchedMs = now;
    // Beats that came meanwhile are not read yet.
    if (wasBusy) return;
    for (const { worker, pid, overdueMs, kill } of everybody()) {
      if (overdueMs() < 0) continue;
      log.error({ worker, pid }, 'a worker hangs and is ended');
      kill();
    }
    evenOut(members.values());
  }, WATCH_EVERY_MS);
  watch.unref();

  async function prepare(policy: Policy): Promise<PreparedInAll> {
    const id = ++lastId;
    const asked = [...members.values()];
    const outcomes = await Promise.allSettled(asked.map((member) => member.prepare(id, policy)));
    const abandon = async (): Promise<void> => {
      await Promise.all(asked.map(({ call }) => call('abandon', id).catch(() => {})));
    };
    const failed = outcomes.findIndex(({ status }) => status === 'rejected');
    const outcome = outcomes[failed];
    if (outcome?.status !== 'rejected') {
      const commit = async (): Promise<void> => {
        active = { id, policy };
        await Promise.all(asked.map((member) => member.commit(id, policy)));
      };
      return { commit, abandon };
    }
    await abandon();
    const member = asked[failed];
    throw member?.isGone() === true ? new Error(`worker ${member.worker} was lost meanwhile`) : outcome.reason;
  }

  /** Holds the turn until the policy is committed or abandoned. */
  const prepareInTurn = (policy: Policy): Promise<Prepared> =>
    new Promise((resolve, reject) => {
      inTurn(async () => {
        const { commit, abandon } = await prepare(policy);
        const { promise: decided, resolve: decide } = Promise.withResolvers<void>();
        resolve({
          commit: () => commit().finally(decide),
          abandon: () => abandon().finally(decide),
        });
        await decided;
      }).catch(reject);
    });

  async function stop(): Promise<void> {
    stopping = true;
    clearInterval(watch);
    const [last, others] = [[...leaving], [...members.values(), ...joining]];
    await Promise.all([...last.map(({ exited }) => exited), ...others.map((member) => member.stop(drainMs))]);
  }

  return {
    prepare: prepareInTurn,
    start: () =>
      inTurn(async () => {
        await Promise.all(Array.from({ length: count }, (_, i) => bringUp(i + 1)));
      }),
    listen: () =>
      inTurn(async () => {
        const addresses = await Promise.all([...members.values()].map((member) => member.listen()));
        address = addresses[0] ?? '';
        return address;
      }),
    isReady: () => [...members.values()].some((member) => member.isReady()),
    status: () =>
      [...members.values()]
        .sort((a, b) => a.worker - b.worker)
        .map(({ worker, pid, isReady, revisions }) => ({ worker, pid, ready: isReady(), revisions: revisions() })),
    metrics: async () => {
      const values = await all((member) => member.metrics());
      return [lostMetrics, ...values];
    },
    reload: async () => {
      await all(({ call }) => call('reload', undefined));
    },
    setStale: (stale) => {
      isStale = stale;
      for (const member of serving()) void member.setStale(stale);
    },
    keysChanged: (issuer, state) => {
      for (const { call } of everybody()) call('keysChanged', { issuer, state }).catch(() => {});
    },
    restart,
    retire: async () => {
      isRetired = true;
      await all((member) => member.retire());
    },
    stop,
  };
}
