import type { BundleConfig, S3Config, ServiceConfig } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import { createActivation, type Policy } from './activate.ts';
import { readBundle } from './bundle.ts';
import { BundleError } from './error.ts';
import { createPoll } from './poll.ts';
import { createFileSource } from './sources/file.ts';
import { createHttpSource } from './sources/http.ts';
import { createOciSource } from './sources/oci.ts';
import { createS3Source } from './sources/s3.ts';
import type { BundleSource } from './sources/source.ts';
import { filesOf } from './unpack.ts';

type Log = {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
};

export type BundlesOptions<Prepared> = {
  readonly config: { readonly [name: string]: BundleConfig };
  readonly services: { readonly [name: string]: ServiceConfig };
  readonly s3: S3Config;
  readonly env: { readonly [name: string]: string | undefined };
  /** Bundles from the command line: read once, and needed for a start. */
  readonly files: readonly { readonly name: string; readonly path: string }[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly prepare: (policy: Policy) => Promise<Prepared>;
  readonly commit: (prepared: Prepared) => void;
  readonly onActivated: (bundle: string, atMs: number) => void;
  readonly onFailed: (bundle: string) => void;
};

/** In the words of OPA's status API (https://www.openpolicyagent.org/docs/management-status). */
type BundleStatus = {
  readonly name: string;
  active_revision?: string;
  last_request?: string;
  last_successful_request?: string;
  last_successful_download?: string;
  last_successful_activation?: string;
  code?: string;
  message?: string;
};

export type Bundles = {
  /** Rejects when a bundle from the command line cannot be served; one that is polled may come later. */
  readonly start: () => Promise<void>;
  readonly stop: () => void;
  readonly status: () => { readonly [name: string]: BundleStatus };
};

/** Of a bundle that is given as a file, unpacked. */
export const FILE_LIMIT_BYTES = 209_715_200;
const FIRST_LOOK_MS = 2000;

/** Where policy comes from: every source is looked at, and what is good is activated. Throws BundleError. */
export function createBundles<Prepared>(options: BundlesOptions<Prepared>): Bundles {
  const { config, files, clock, random, log } = options;
  const statuses = new Map<string, BundleStatus>();
  const names = [...files.map(({ name }) => name), ...Object.keys(config)];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new BundleError(`two bundles are called ${twice}`);
  const activation = createActivation(names, options.prepare, options.commit);
  const now = (): string => new Date(clock.wallMs()).toISOString();

  function setActive(name: string, revision: string): void {
    const status = statuses.get(name);
    if (status === undefined) return;
    status.active_revision = revision;
    status.last_successful_activation = now();
    options.onActivated(name, clock.wallMs());
    log.info({ bundle: name, revision }, 'bundle activated');
  }

  function lookAt(name: string, source: BundleSource, maxBytes: number): (signal: AbortSignal) => Promise<void> {
    const status: BundleStatus = { name };
    statuses.set(name, status);
    let tag: string | undefined;
    return async (signal) => {
      status.last_request = now();
      try {
        const fetched = await source(tag, signal);
        status.last_successful_request = now();
        if (fetched.kind === 'new') {
          status.last_successful_download = now();
          const activated = await activation.offer(name, readBundle(await filesOf(fetched.content, maxBytes)));
          // Only now: a version that could not be activated is asked for again.
          tag = fetched.tag;
          for (const [each, revision] of activated) setActive(each, revision);
          if (activated.size === 0) log.info({ bundle: name }, 'bundle read; other bundles are still to come');
        }
        delete status.code;
        delete status.message;
      } catch (error) {
        if (signal.aborted) return;
        const message = messageOf(error);
        if (status.message !== message)
          log.warn({ bundle: name, cause: message }, 'bundle refused; what was active before stays active');
        status.code = 'bundle_error';
        status.message = message;
        options.onFailed(name);
        throw error;
      }
    };
  }

  const given = files.map(({ name, path }) => lookAt(name, createFileSource(path, FILE_LIMIT_BYTES), FILE_LIMIT_BYTES));
  const polls = Object.entries(config).map(([name, bundle]) =>
    createPoll({
      look: lookAt(name, sourceOf(name, bundle, options), bundle.size_limit_bytes),
      minDelayMs: bundle.polling.min_delay_seconds * 1000,
      maxDelayMs: bundle.polling.max_delay_seconds * 1000,
      random,
    }),
  );

  return {
    start: async () => {
      const never = new AbortController().signal;
      for (const look of given) await look(never);
      // A server that is quick to answer should not make the first requests wait for the second poll.
      const first = Promise.all(polls.map((poll) => poll.start()));
      const patience = new Promise((resolve) => setTimeout(resolve, FIRST_LOOK_MS).unref());
      await Promise.race([first, patience]);
    },
    stop: () => {
      for (const poll of polls) poll.stop();
    },
    status: () => Object.fromEntries([...statuses].map(([name, status]) => [name, { ...status }])),
  };
}

function sourceOf(
  name: string,
  bundle: BundleConfig,
  { services, s3, env }: Pick<BundlesOptions<unknown>, 'services' | 's3' | 'env'>,
): BundleSource {
  const { resource = `bundles/${name}`, size_limit_bytes: maxBytes } = bundle;
  if (resource.startsWith('file://')) return createFileSource(resource.slice('file://'.length), maxBytes);
  if (resource.startsWith('s3://')) return createS3Source(resource, s3);
  const service = bundle.service === undefined ? Object.values(services)[0] : services[bundle.service];
  if (/^https?:\/\//.test(resource)) {
    return createHttpSource(resource, bundle.service === undefined ? undefined : service, env);
  }
  if (service === undefined) throw new BundleError(`${name}: no service`);
  if (service.type === 'oci') return createOciSource(resource, service, { env });
  return createHttpSource(`${service.url.replace(/\/+$/, '')}/${resource.replace(/^\/+/, '')}`, service, env);
}
