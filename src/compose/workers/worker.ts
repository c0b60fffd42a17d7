import type { Prepared } from '../../bundles/activate.ts';
import type { Settings } from '../../cli/ports.ts';
import type { KeyHolder, KeyState } from '../../identity/shared-jwks.ts';
import { createChannel, type Pipe } from '../../lib/channel.ts';
import { systemClock } from '../../lib/clock.ts';
import { createReload, type Part, startAll } from '../../lib/lifecycle.ts';
import { messageOf } from '../../lib/message.ts';
import { createLogger, type Logger } from '../../telemetry/logger.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { createServing, type Serving } from '../serving.ts';
import { BEAT_EVERY_MS, type PrimaryFunctions, type WorkerFunctions, type WorkerSettings } from './protocol.ts';
import { createReceiver } from './transfer.ts';

type Io = Pick<Settings, 'env'> & { readonly stderr: { readonly write: (text: string) => unknown } };

/** One serving process of several: does what the primary asks. Resolves when it was told to stop and has. */
export function runWorker(pipe: Pipe, io: Io): Promise<void> {
  const received = createReceiver();
  const prepared = new Map<number, Prepared>();
  const keyListeners = new Map<string, (state: KeyState) => void>();
  let running: RunningWorker | undefined;
  const worker = (): RunningWorker => {
    if (running === undefined) throw new Error('the worker was not started');
    return running;
  };

  return new Promise((resolve) => {
    const functions: WorkerFunctions = {
      start: async (settings) => {
        running = await startWorker(settings, io, holder);
      },
      receive: received.begin,
      receivePart: received.add,
      prepare: async (id) => {
        prepared.set(id, await worker().serving.plane.policy.prepare(received.take(id)));
      },
      commit: (id) => {
        const policy = prepared.get(id);
        if (policy === undefined) throw new Error('the policy was not prepared');
        prepared.delete(id);
        return policy.commit();
      },
      abandon: (id) => {
        received.forget(id);
        const policy = prepared.get(id);
        prepared.delete(id);
        return policy?.abandon();
      },
      setStale: (stale) => worker().serving.plane.policy.setStale(stale),
      keysChanged: ({ issuer, state }) => keyListeners.get(issuer)?.(state),
      listen: async () => {
        // Those that were there before anybody fetched any.
        await Promise.all([...worker().serving.plane.keys.values()].map((keys) => keys.refresh()));
        return worker().listen();
      },
      metrics: () => worker().metrics.values(),
      reload: async () => {
        await worker().reload();
      },
      sendOneAway: () => worker().serving.connections.sendOneAway(),
      retire: () => worker().retire(),
      stop: async () => {
        await running?.stop();
        const values = await running?.metrics.values();
        // Behind the answer to this call.
        setImmediate(resolve);
        return values ?? [];
      },
    };
    const primary = createChannel<PrimaryFunctions>(pipe, functions);
    const holder: KeyHolder = {
      stateOf: (issuer) => primary.call('keyStateOf', issuer),
      lookFor: (issuer, kid, alg) => primary.call('lookForKey', { issuer, kid, alg }),
      onChange: (issuer, changed) => void keyListeners.set(issuer, changed),
    };
    setInterval(() => {
      // Whoever does not hear it any more has gone, and takes this process along.
      const [ready, connections] = [running?.serving.isReady(), running?.serving.connections.count()];
      primary.call('beat', { ready: ready ?? false, connections: connections ?? 0 }).catch(() => {});
    }, BEAT_EVERY_MS).unref();
  });
}

type RunningWorker = {
  readonly serving: Serving;
  readonly metrics: ReturnType<typeof createMetrics>;
  readonly listen: () => Promise<string>;
  readonly reload: () => Promise<unknown>;
  readonly retire: () => void;
  readonly stop: () => Promise<void>;
};

async function startWorker(settings: WorkerSettings, { env, stderr }: Io, holder: KeyHolder): Promise<RunningWorker> {
  const { config, instanceId, logging, worker } = settings;
  const plugin = config.plugins.envoy_ext_authz_grpc;
  const log = tagged(createLogger(logging.level, logging.format, stderr), { worker });
  const metrics = createMetrics({
    peerMetrics: plugin['enable-performance-metrics'],
    peerBuckets: plugin['grpc-request-duration-seconds-buckets'],
  });
  let draining = false;
  const serving = createServing({
    ...{ config, log, env, clock: systemClock, metrics, instanceId, worker },
    isDraining: () => draining,
    holder,
  });
  const { plane, tls, decisionLog } = serving;
  metrics.observe({
    isReady: serving.isReady,
    wasmMemoryBytes: () => plane.policy.pin()?.memoryBytes() ?? 0,
    // Told by the process that fetches them.
    keyAges: () => [],
    bundleAges: () => [],
  });
  const failedTo = (what: string) => (part: string, error: unknown) =>
    log.error({ part, cause: messageOf(error) }, `${what} failed`);
  const before: readonly Part[] = [tls.part, decisionLog, plane.policy.part, ...plane.parts];
  const stopBefore = await startAll(before, failedTo('stopping'));
  let stopListening = (): Promise<void> => Promise.resolve();
  return {
    serving,
    metrics,
    listen: async () => {
      stopListening = await startAll([serving.listener], failedTo('stopping'));
      return serving.address();
    },
    reload: createReload(before, failedTo('reloading')),
    retire: () => {
      draining = true;
      serving.readinessChanged();
    },
    stop: async () => {
      await stopListening();
      await stopBefore();
    },
  };
}

/** A logger that adds fields to everything. */
function tagged(log: Logger, tags: object): Logger {
  return {
    debug: (fields, message) => log.debug({ ...tags, ...fields }, message),
    info: (fields, message) => log.info({ ...tags, ...fields }, message),
    warn: (fields, message) => log.warn({ ...tags, ...fields }, message),
    error: (fields, message) => log.error({ ...tags, ...fields }, message),
  };
}
