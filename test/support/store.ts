import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { SpawnStore } from '../../src/cli/ports.ts';
import { createStore, type DecisionStore } from '../../src/compose/store/store.ts';
import { loadConfig } from '../../src/config/load.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { eventually, root } from './process.ts';
import type { Scope } from './scope.ts';
import type { Tree } from './servers.ts';

/** As main.ts does it. */
export const spawnStore =
  (pids: number[] = []): SpawnStore =>
  (role, memoryBytes) => {
    const child = fork(join(root, 'src/store-main.ts'), [role, String(memoryBytes)], {
      serialization: 'advanced',
      env: {},
      execArgv: [],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    if (role === 'store') pids.push(child.pid ?? 0);
    return {
      pid: child.pid ?? 0,
      pipe: {
        send: (message) => child.connected && child.send(message as object),
        onMessage: (listener) => child.on('message', listener),
        onClose: (listener) => child.once('disconnect', listener),
      },
      kill: (signal) => void child.kill(signal),
      exited: new Promise((resolve) => child.once('exit', (code, signal) => resolve(String(signal ?? code)))),
    };
  };

export type TestStore = DecisionStore & {
  /** Of the processes that were started to keep decisions. */
  readonly pids: readonly number[];
  readonly metrics: Metrics;
  readonly stop: () => Promise<void>;
};

/** A store in processes of its own, as the server has it, stopped when the test is over. */
export async function startStore(
  scope: Scope,
  folder: string,
  config: Tree = {},
  readOnly = false,
): Promise<TestStore> {
  const loaded = loadConfig({
    text: JSON.stringify({ postern: { store: { path: folder, ...config } } }),
    env: {},
    set: [],
    setFile: [],
    readText: () => '',
    isReadable: () => true,
  });
  if (!loaded.ok || loaded.config.postern.store === undefined) throw new Error(JSON.stringify(loaded));
  const metrics = createMetrics({ peerMetrics: false, peerBuckets: [] });
  const pids: number[] = [];
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const store = createStore({
    config: loaded.config.postern.store,
    readOnly,
    clock: systemClock,
    metrics,
    log: silent,
    logging: { level: 'error', format: 'json' },
    spawnStore: spawnStore(pids),
  });
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (!stopped) await store.part.stop?.();
    stopped = true;
  };
  scope.after(stop);
  await store.open();
  return { ...store, pids, metrics, stop };
}

/** Every event that matches, over all pages. */
export async function listAll(store: DecisionStore, filters = {}): Promise<readonly Tree[]> {
  const events: Tree[] = [];
  let after: { readonly time: number; readonly id: string } | undefined;
  do {
    const page = await eventually(async () => {
      const answer = await store.queries.list({ filters, limit: 1000, ...(after === undefined ? {} : { after }) });
      return answer.ok ? answer.value : undefined;
    });
    events.push(...page.events.map((text) => JSON.parse(text) as Tree));
    after = page.last;
  } while (after !== undefined);
  return events;
}
