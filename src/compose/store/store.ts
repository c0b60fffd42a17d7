import { resolve } from 'node:path';
import type { Settings } from '../../cli/ports.ts';
import { parseArchiveAddress } from '../../config/archive-address.ts';
import type { S3Config, StoreConfig } from '../../config/schema.ts';
import type { Filters } from '../../decisions/query/filters.ts';
import type { DecisionQueries } from '../../decisions/query/queries.ts';
import type { Answer, StoreFunctions, StoreOwnerFunctions, StoreSettings } from '../../decisions/store/protocol.ts';
import type { Channel } from '../../lib/channel.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Part } from '../../lib/lifecycle.ts';
import { uuid7 } from '../../lib/uuid7.ts';
import { type ArchiveReport, archiveLag, type StoreCounts, type StoreMetrics } from '../../telemetry/store-metrics.ts';
import { keepChild } from '../kept-child.ts';
import { sdkEnv } from './sdk-env.ts';
import { createStatements } from './statements.ts';

export type StoreParts = Pick<Settings, 'log' | 'logging' | 'spawnStore'> & {
  readonly config: StoreConfig;
  readonly readOnly: boolean;
  readonly clock: Clock;
  readonly metrics: StoreMetrics;
  /** What an archive needs beside its own options; without it there is none. */
  readonly archive?: { readonly s3: S3Config; readonly env: Settings['env'] };
  /** No decision that is kept is older, ms since the epoch; undefined: there is none. Told again and again. */
  readonly onOldest?: (oldestMs: number | undefined) => void;
};

/** Where decisions are kept and asked for: in processes of their own, which are looked after here. */
export type DecisionStore = {
  readonly part: Part;
  /** Resolves when it can be asked. Rejects when it cannot be opened. */
  readonly open: () => Promise<void>;
  readonly queries: DecisionQueries;
  readonly status: () => object;
};

const absent: Answer<never> = { ok: false, kind: 'unavailable', problem: 'the decision store is not there now' };
/** What is sealed at the end is taken in before, ms. */
const STOP_MS = 15_000;

export function createStore(parts: StoreParts): DecisionStore {
  const { config, log, clock, metrics } = parts;
  const address = parseArchiveAddress(config.archive ?? '');
  const { archive } = parts;
  const archives = address !== undefined && archive !== undefined;
  const settings: StoreSettings = {
    path: resolve(config.path),
    retentionHours: config.retention.hours,
    retentionBytes: config.retention.max_bytes,
    memoryBytes: config.memory_bytes,
    timeoutMs: config.query.timeout_ms,
    readOnly: parts.readOnly,
    logging: parts.logging,
    ...(archives ? { archive: { ...address, afterSeconds: config.archive_after_seconds, s3: archive.s3 } } : {}),
  };
  const followers = new Map<string, Following>();
  let report: StoreCounts | undefined;

  const child = keepChild<StoreFunctions>({
    spawn: () => parts.spawnStore('store', config.memory_bytes, archives ? sdkEnv(archive.env) : {}),
    handlers: (heard) =>
      ({
        report: (news) => {
          heard();
          report = news;
          metrics.storeReported(news);
          parts.onOldest?.(news.oldestMs);
        },
        followed: async ({ id, events, left }) => followers.get(id)?.take(events, left),
      }) satisfies StoreOwnerFunctions,
    prepare: async (channel) => {
      await channel.call('start', settings);
      for (const [id, { filters }] of followers) await channel.call('follow', { id, filters });
    },
    ...{ clock, log },
    words: {
      up: 'decisions can be asked for',
      down: 'the decision store ended or cannot be opened; it is started again',
    },
    onDown: metrics.storeRestarted,
  });

  async function ask<T>(question: (store: Channel<StoreFunctions>) => Promise<Answer<T>>): Promise<Answer<T>> {
    const channel = child.channel();
    if (channel === undefined) return absent;
    // It may end before it has answered.
    return question(channel).catch(() => absent);
  }

  /** For what needs no answer; a store that is not there has nothing to do either. */
  const tell = (what: (store: Channel<StoreFunctions>) => Promise<unknown>): void => {
    const channel = child.channel();
    if (channel !== undefined) what(channel).catch(() => {});
  };

  const statements = createStatements({
    config,
    spawn: parts.spawnStore,
    lend: () => ask((store) => store.call('lend', undefined)),
    giveBack: ({ id }, unreadable) => tell((store) => store.call('giveBack', { id, unreadable })),
    onEnded: (problem) => {
      metrics.statementEnded();
      log.warn({ problem }, 'a statement in SQL was ended with its process');
    },
  });

  return {
    part: {
      name: 'decision store',
      // Decisions do not depend on it: what cannot be opened now is tried again.
      start: () => void child.start().catch(() => {}),
      stop: async () => {
        await statements.stop();
        await child.stop((channel) => channel.call('stop', undefined), STOP_MS);
      },
    },
    open: child.start,
    queries: {
      list: (question) => ask((store) => store.call('list', question)),
      show: (id) => ask((store) => store.call('show', id)),
      histogram: (question) => ask((store) => store.call('histogram', question)),
      top: (question) => ask((store) => store.call('top', question)),
      gaps: (time) => ask((store) => store.call('gaps', time)),
      sql: statements.run,
      follow: (filters, take) => {
        const id = uuid7(clock.wallMs());
        followers.set(id, { filters, take });
        tell((store) => store.call('follow', { id, filters }));
        return {
          end: () => {
            followers.delete(id);
            tell((store) => store.call('unfollow', id));
          },
        };
      },
    },
    status: () => ({
      ...{ path: settings.path, open: child.channel() !== undefined },
      ...(report === undefined ? {} : { files: report.files, bytes: report.bytes, wal_bytes: report.walBytes }),
      ...(archives ? { archive: { address: config.archive, ...archiveStatus(report?.archive, clock.wallMs()) } } : {}),
    }),
  };
}

type Following = {
  readonly filters: Filters;
  readonly take: (events: readonly string[], left: number) => Promise<void>;
};

const archiveStatus = (report: ArchiveReport | undefined, nowMs: number): object =>
  report === undefined ? {} : { lag_seconds: archiveLag(report, nowMs), problem: report.problem };
