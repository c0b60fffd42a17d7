import { messageOf } from '../lib/message.ts';
import { type Activation, type ActivationParts, createActivation, type Policy, type Prepared } from './activate.ts';
import { type BundleStatus, clearError, setError } from './bundle-status.ts';
import { BundleError } from './error.ts';
import { createFreshness } from './freshness.ts';
import type { Look, Looked } from './poll.ts';
import { createPolled, type PolledOptions } from './polled.ts';
import { readInThread } from './reader.ts';
import { createFileSource } from './sources/file.ts';
import type { ServiceClient } from './sources/service-client.ts';
import { type BundleSource, type Fetched, SourceError } from './sources/source.ts';
import type { BundleStore } from './store.ts';
import { type Verification, verificationOf } from './verification.ts';

type Log = {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
};

export type BundlesOptions = PolledOptions & {
  /** Bundles that may go back to an older signed version. */
  readonly allowRollback: readonly string[];
  /** How long a polled bundle is served after its source last said that it is current, ms; undefined: for ever. */
  readonly maxAgeMs: number | undefined;
  /** What served under these names under another configuration. */
  readonly signedBefore?: ActivationParts['signedBefore'];
  readonly retained?: ActivationParts['retained'];
  /** For the bundles that are to be kept (`persist`). */
  readonly store: BundleStore;
  /** Bundles from the command line: read once, and needed for a start. */
  readonly files: readonly { readonly name: string; readonly path: string }[];
  readonly log: Log;
  readonly prepare: (policy: Policy) => Promise<Prepared>;
  readonly onActivated: (bundle: string, atMs: number) => void;
  readonly onFailed: (bundle: string) => void;
  /** After each look, whatever came of it. */
  readonly onLooked: (status: BundleStatus) => void;
  /** Whether what serves is older than it may be has changed. */
  readonly onStale: (stale: boolean) => void;
};

export type Bundles = {
  /** Rejects when a bundle from the command line cannot be served; one that is polled may come later. */
  readonly start: () => Promise<void>;
  /** Looks for all bundles now, or for one. Resolves after that, whatever came of it: the status tells. */
  readonly poke: (name?: string) => Promise<void>;
  readonly signedVersion: Activation['signedVersion'];
  /** What a service is asked with. */
  readonly clientOf: (service: string) => ServiceClient;
  readonly stop: () => Promise<void>;
  readonly status: () => { readonly [name: string]: BundleStatus };
  /** Seconds since the source of each polled bundle last said that it is current; Infinity where it never did. */
  readonly ages: () => readonly (readonly [bundle: string, seconds: number])[];
};

/** Of a bundle that is given as a file, unpacked. */
export const FILE_LIMIT_BYTES = 209_715_200;
const FIRST_LOOK_MS = 2000;
const nanoseconds = (ms: number): number => Math.round(ms * 1e6);

type Rules = {
  readonly maxBytes: number;
  readonly verification: Verification | undefined;
  /** Whether it is kept for a start without its source. */
  readonly persist: boolean;
};

/** Where policy comes from: every source is looked at, and what is good is activated. Throws BundleError. */
export function createBundles(options: BundlesOptions): Bundles {
  const { config, files, clock, log, store } = options;
  const statuses = new Map<string, BundleStatus>();
  const tags = new Map<string, string>();
  const names = [...files.map(({ name }) => name), ...Object.keys(config)];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new BundleError(`two bundles are called ${twice}`);
  const activation = createActivation({
    names,
    read: readInThread,
    prepare: options.prepare,
    nowMs: clock.monotonicMs,
    signedBefore: options.signedBefore,
    retained: options.retained,
  });
  const freshness = createFreshness({ names: Object.keys(config), ...options });
  const now = (): string => new Date(clock.wallMs()).toISOString();
  const statusOf = (name: string): BundleStatus => {
    const status = statuses.get(name) ?? { name };
    statuses.set(name, status);
    return status;
  };
  for (const name of names) statusOf(name);

  function setActive(name: string, revision: string): void {
    const status = statusOf(name);
    status.active_revision = revision;
    status.last_successful_activation = now();
    options.onActivated(name, clock.wallMs());
    log.info({ bundle: name, revision }, 'bundle activated');
  }

  async function take(name: string, found: Fetched & { kind: 'new' }, rules: Rules): Promise<void> {
    const { persist, ...reading } = rules;
    const allowRollback = options.allowRollback.includes(name);
    const offer = { ...reading, allowRollback, content: found.content, nowMs: clock.wallMs() };
    const status = statusOf(name);
    if ('archive' in found.content) status.size = found.content.archive.length;
    const { fresh, kind, took } = await activation.offer(name, offer);
    status.type = kind;
    status.metrics = {
      ...status.metrics,
      timer_rego_load_bundles_ns: nanoseconds(took.readMs),
      ...(took.prepareMs === undefined ? {} : { timer_rego_module_compile_ns: nanoseconds(took.prepareMs) }),
    };
    // Only now: a version that could not be activated is asked for again.
    tags.set(name, found.tag);
    for (const [each, revision] of fresh) setActive(each, revision);
    if (fresh.size === 0) log.info({ bundle: name }, 'bundle read; other bundles are still to come');
    // A delta is nothing without what it changes.
    if (!persist || kind === 'delta' || !('archive' in found.content)) return;
    await store.save(name, { archive: found.content.archive, tag: found.tag }).catch((error: unknown) => {
      log.warn({ bundle: name, cause: messageOf(error) }, 'bundle not kept for the next start');
    });
  }

  function refused(name: string, error: unknown): void {
    const status = statusOf(name);
    const message = messageOf(error);
    if (status.message !== message)
      log.warn({ bundle: name, cause: message }, 'bundle refused; what was active before stays active');
    setError(status, now(), message, error instanceof SourceError ? error.status : undefined);
    options.onFailed(name);
  }

  function lookAt(name: string, source: BundleSource, rules: Rules): Look {
    const status = statusOf(name);
    return async (signal, mayWait): Promise<Looked> => {
      status.last_request = now();
      const beganMs = clock.monotonicMs();
      try {
        const fetched = await source(tags.get(name), signal, mayWait).finally(() => {
          status.metrics = { timer_bundle_request_ns: nanoseconds(clock.monotonicMs() - beganMs) };
        });
        status.last_successful_request = now();
        if (fetched.kind === 'new') {
          status.last_successful_download = now();
          await take(name, fetched, rules);
        }
        freshness.confirmed(name);
        if (rules.persist) await store.confirm(name).catch(() => {});
        clearError(status);
        return { changed: fetched.kind === 'new', waits: fetched.waits === true };
      } catch (error) {
        if (!signal.aborted) refused(name, error);
        throw error;
      } finally {
        if (!signal.aborted) options.onLooked(status);
      }
    };
  }

  /** What was kept is read as if it had just come: verified, and held against what is active. */
  async function restore(name: string, rules: Rules): Promise<void> {
    try {
      const stored = await store.load(name);
      if (stored === undefined) return;
      await take(name, { kind: 'new', content: stored, tag: stored.tag }, { ...rules, persist: false });
      freshness.confirmed(name, clock.wallMs() - stored.confirmedMs);
      log.info({ bundle: name }, 'bundle of an earlier run');
    } catch (error) {
      refused(name, error);
    }
    options.onLooked(statusOf(name));
  }

  const rulesOf = (name: string): Rules => ({
    maxBytes: config[name]?.size_limit_bytes ?? FILE_LIMIT_BYTES,
    verification: verificationOf(options.keys, config[name]?.signing),
    persist: config[name]?.persist ?? false,
  });
  const given = files.map(({ name, path }) => lookAt(name, createFileSource(path, FILE_LIMIT_BYTES), rulesOf(name)));
  const polled = createPolled(options, (name, source) => lookAt(name, source, rulesOf(name)));

  return {
    start: async () => {
      const never = new AbortController().signal;
      for (const look of given) await look(never, false);
      for (const name of Object.keys(config)) if (rulesOf(name).persist) await restore(name, rulesOf(name));
      freshness.start();
      // A server that is quick to answer should not make the first requests wait for the second poll.
      const first = polled.start();
      const patience = new Promise((resolve) => setTimeout(resolve, FIRST_LOOK_MS).unref());
      await Promise.race([first, patience]);
    },
    poke: polled.poke,
    signedVersion: activation.signedVersion,
    clientOf: polled.clientOf,
    stop: async () => {
      freshness.stop();
      await polled.stop();
    },
    status: () => Object.fromEntries([...statuses].map(([name, status]) => [name, { ...status }])),
    ages: freshness.ages,
  };
}
