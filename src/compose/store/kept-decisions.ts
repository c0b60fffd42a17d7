import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DecisionParts } from '../../api/decisions.ts';
import { createRetained, type RetainedBundles } from '../../bundles/retained.ts';
import type { OpenDecisions, Settings } from '../../cli/ports.ts';
import { loadConfig } from '../../config/load.ts';
import { createCursors } from '../../decisions/query/cursor.ts';
import { readCursorKey } from '../../decisions/query/cursor-key.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { Part } from '../../lib/lifecycle.ts';
import { createNowAndThen } from '../../lib/now-and-then.ts';
import { createLogger } from '../../telemetry/logger.ts';
import type { StoreMetrics } from '../../telemetry/store-metrics.ts';
import { createStore } from './store.ts';

/** The store of a server, and what its API needs of it. */
export type KeptDecisions = {
  readonly part: Part;
  readonly api: DecisionParts;
  readonly status: () => object;
  /** The bundles that they were made with. */
  readonly bundles: RetainedBundles;
};

const SWEEP_EVERY_MS = 60_000;

/** Undefined when decisions are not to be kept. */
export function createKeptDecisions(
  settings: Settings,
  metrics: StoreMetrics,
  clock: Clock,
): KeptDecisions | undefined {
  const config = settings.config.postern.store;
  if (config === undefined) return undefined;
  const { log, logging, spawnStore, env } = settings;
  const bundles = createRetained({
    folder: join(config.path, 'bundles'),
    maxBytes: config.retention.bundle_bytes,
    clock,
    log,
  });
  const store = createStore({
    ...{ config, log, logging, spawnStore, clock, metrics, readOnly: false },
    archive: { s3: settings.config.postern.s3, env },
    onOldest: sweeping(bundles, clock),
  });
  return {
    part: store.part,
    api: {
      queries: store.queries,
      cursors: createCursors(readCursorKey(config.path, () => randomBytes(32))),
      wallMs: clock.wallMs,
    },
    status: () => ({ store: store.status() }),
    bundles,
  };
}

/** Not more often than is worth the while. */
function sweeping(bundles: RetainedBundles, clock: Clock): (oldestMs: number | undefined) => void {
  const sweeps = createNowAndThen(SWEEP_EVERY_MS, clock);
  // A start has other things to do.
  sweeps.isDue();
  return (oldestMs) => {
    if (sweeps.isDue()) void bundles.sweep(oldestMs ?? clock.wallMs());
  };
}

const uncounted: StoreMetrics = { storeReported: () => {}, storeRestarted: () => {}, statementEnded: () => {} };

/** What a server that has stopped has left. */
export const openDecisions: OpenDecisions = async (folder, { spawnStore, stderr }) => {
  if (!existsSync(join(folder, 'wal'))) throw new Error(`${folder}: no decisions are kept there`);
  const logging = { level: 'error', format: 'text' } as const;
  // Nobody else waits here.
  const section = { path: folder, query: { timeout_ms: 60_000, max_rows: 100_000 } };
  const loaded = loadConfig({
    ...{ text: JSON.stringify({ postern: { store: section } }), env: {}, set: [], setFile: [] },
    ...{ readText: () => '', isReadable: () => true },
  });
  const config = loaded.ok ? loaded.config.postern.store : undefined;
  if (config === undefined) throw new Error(`${folder}: it cannot be opened`);
  const store = createStore({
    config,
    log: createLogger(logging.level, logging.format, stderr),
    logging,
    spawnStore,
    clock: systemClock,
    metrics: uncounted,
    readOnly: true,
  });
  await store.open();
  return { queries: store.queries, close: async () => store.part.stop?.() };
};
