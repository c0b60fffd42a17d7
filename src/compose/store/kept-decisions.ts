import { randomBytes } from 'node:crypto';
import type { DecisionParts } from '../../api/decisions.ts';
import type { Settings } from '../../cli/ports.ts';
import { createCursors } from '../../decisions/query/cursor.ts';
import { readCursorKey } from '../../decisions/query/cursor-key.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Part } from '../../lib/lifecycle.ts';
import type { StoreMetrics } from '../../telemetry/store-metrics.ts';
import { createStore } from './store.ts';

/** The store of a server, and what its API needs of it. */
export type KeptDecisions = {
  readonly part: Part;
  readonly api: DecisionParts;
  readonly status: () => object;
};

/** Undefined when decisions are not to be kept. */
export function createKeptDecisions(
  settings: Settings,
  metrics: StoreMetrics,
  clock: Clock,
): KeptDecisions | undefined {
  const config = settings.config.postern.store;
  if (config === undefined) return undefined;
  const { log, logging, spawnStore } = settings;
  const store = createStore({ config, log, logging, spawnStore, clock, metrics, readOnly: false });
  return {
    part: store.part,
    api: {
      queries: store.queries,
      cursors: createCursors(readCursorKey(config.path, () => randomBytes(32))),
      wallMs: clock.wallMs,
    },
    status: () => ({ store: store.status() }),
  };
}
