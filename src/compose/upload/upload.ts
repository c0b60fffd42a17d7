import { join, resolve } from 'node:path';
import type { Settings } from '../../cli/ports.ts';
import type { Config } from '../../config/schema.ts';
import { walConfig } from '../../config/store.ts';
import { addReader, removeReader } from '../../decisions/store/cursors.ts';
import { READER } from '../../decisions/upload/outbox.ts';
import type { UploadFunctions, UploadOwnerFunctions, UploadSettings } from '../../decisions/upload/protocol.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Part } from '../../lib/lifecycle.ts';
import { messageOf } from '../../lib/message.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { UploadProblem } from '../../telemetry/upload-metrics.ts';
import { keepChild } from '../kept-child.ts';

/** Decisions on their way to `decision_logs.service`. */
export type Upload = {
  /** Before the store, which keeps what is not sent. */
  readonly keep: Part;
  /** After the store, and before whatever makes decisions. */
  readonly send: Part;
  /** Somebody has asked for a look at bundles. */
  readonly looked: () => void;
  /** As OPA's status has it; empty while nothing is wrong. */
  readonly status: () => object;
};

/** How long it may take to send the rest at the end, ms. */
const LAST_MS = 5000;
const GRACE_MS = 2000;

/** In a process of its own, which is looked after here. Undefined when decisions are not sent. */
export function createUpload(
  settings: Pick<Settings, 'config' | 'log' | 'logging' | 'spawnStore' | 'env'>,
  metrics: Pick<Metrics, 'upload'>,
  clock: Clock,
): Upload | undefined {
  const { config, log, spawnStore, env } = settings;
  const served = settingsOf(settings);
  if (served === undefined) return undefined;
  const counted = metrics.upload(clock.wallMs);
  let problem: UploadProblem | undefined;

  const child = keepChild<UploadFunctions>({
    spawn: () => spawnStore('upload', 0, env),
    handlers: (heard) =>
      ({
        report: (counts) => {
          heard();
          problem = counts.problem;
          counted.reported(counts);
        },
      }) satisfies UploadOwnerFunctions,
    prepare: (channel) => channel.call('start', served),
    ...{ clock, log },
    words: {
      up: 'decisions are sent',
      down: 'the process that sends decisions ended or cannot begin; it is started again',
    },
    onDown: counted.restarted,
  });

  return {
    keep: { name: 'decisions to send', start: () => keepIn(served.path) },
    send: {
      name: 'decision upload',
      // Decisions do not depend on it: what cannot be begun now is tried again.
      start: () => void child.start().catch(() => {}),
      stop: () => child.stop((channel) => channel.call('stop', LAST_MS), LAST_MS + GRACE_MS),
    },
    looked: () => {
      if (config.decision_logs.reporting.trigger !== 'manual') return;
      child
        .channel()
        ?.call('flush', undefined)
        .catch(() => {});
    },
    status: () => (problem === undefined ? {} : { decision_logs: statusOf(problem) }),
  };
}

async function keepIn(path: string): Promise<void> {
  try {
    await addReader(join(path, 'cursors'), READER);
  } catch (error) {
    throw new Error(
      `decisions for decision_logs.service are kept in ${path} until they are sent, which cannot be written to (${messageOf(error)}); persistence_directory, or postern.store.path, says where`,
    );
  }
}

/** Where decisions are not sent any more, nothing is kept for that. */
export function forgetUpload({ postern }: Config): Part {
  return {
    name: 'decisions to send',
    start: () => (postern.store === undefined ? undefined : removeReader(join(postern.store.path, 'cursors'), READER)),
  };
}

function settingsOf({ config, logging }: Pick<Settings, 'config' | 'logging'>): UploadSettings | undefined {
  const { decision_logs: logs, services, keys, postern } = config;
  const { service: serviceName = '' } = logs;
  const [kept, service] = [walConfig(config), services[serviceName]];
  if (kept === undefined || service === undefined) return undefined;
  const resource = logs.partition_name === '' ? logs.resource : `/logs/${logs.partition_name}`;
  return {
    path: resolve(kept.path),
    alone: postern.store === undefined,
    limits: { hours: kept.retention.hours, bytes: kept.retention.max_bytes },
    reporting: logs.reporting,
    logging,
    serviceName,
    service,
    keys,
    url: `${service.url.replace(/\/+$/, '')}/${resource.replace(/^\/+/, '')}`,
  };
}

const statusOf = ({ message, status }: UploadProblem): object => ({
  code: 'decision_log_error',
  message,
  ...(status === undefined ? {} : { http_code: status }),
});
