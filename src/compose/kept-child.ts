import type { Settings, WorkerProcess } from '../cli/ports.ts';
import { backoffMs } from '../lib/backoff.ts';
import { type Channel, createChannel, type Handlers } from '../lib/channel.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';

export type KeptChildParts<Theirs extends Handlers> = {
  readonly spawn: () => WorkerProcess;
  /** What it may ask; `heard` tells that it lives. */
  readonly handlers: (heard: () => void) => Handlers;
  /** Makes it ready. */
  readonly prepare: (channel: Channel<Theirs>) => Promise<void>;
  readonly clock: Clock;
  readonly log: Settings['log'];
  /** What is told when it is ready, and when it ended or could not be made ready; another one follows. */
  readonly words: { readonly up: string; readonly down: string };
  readonly onDown: () => void;
};

/** A process that is always there: one that ends, or falls silent, is replaced, with growing delays. */
export type KeptChild<Theirs extends Handlers> = {
  /** Undefined while there is none. */
  readonly channel: () => Channel<Theirs> | undefined;
  /** Resolves when the first one is ready, and rejects when it cannot be made so. */
  readonly start: () => Promise<void>;
  /** Ends it for good; it has `waitMs` for its own `end`. */
  readonly stop: (end: (channel: Channel<Theirs>) => Promise<void>, waitMs: number) => Promise<void>;
};

/** A process that is silent for so long hangs, ms. */
const SILENCE_MS = 30_000;
const WATCH_EVERY_MS = 1000;
const RESTART_BASE_MS = 200;
const RESTART_CAP_MS = 10_000;
const HEALTHY_MS = 30_000;

export function keepChild<Theirs extends Handlers>(parts: KeptChildParts<Theirs>): KeptChild<Theirs> {
  const { clock, log, words } = parts;
  let current: { readonly child: WorkerProcess; readonly channel: Channel<Theirs> } | undefined;
  let ready = false;
  let failures = 0;
  let heardMs = 0;
  let stopping = false;

  async function bringUp(): Promise<void> {
    const child = parts.spawn();
    const bornMs = clock.monotonicMs();
    heardMs = bornMs;
    const heard = (): void => {
      heardMs = clock.monotonicMs();
    };
    const channel = createChannel<Theirs>(child.pipe, parts.handlers(heard));
    const mine = { child, channel };
    current = mine;
    void child.exited.then((how) => {
      if (current !== mine) return;
      current = undefined;
      ready = false;
      if (clock.monotonicMs() - bornMs > HEALTHY_MS) failures = 0;
      again(how);
    });
    try {
      await parts.prepare(channel);
    } catch (error) {
      child.kill('SIGKILL');
      if (current === mine) {
        current = undefined;
        again(error);
      }
      throw error;
    }
    ready = true;
    log.debug({ pid: child.pid }, words.up);
  }

  function again(cause: unknown): void {
    if (stopping) return;
    const delay = backoffMs(failures++, RESTART_BASE_MS, RESTART_CAP_MS, Math.random);
    parts.onDown();
    log.error({ cause: messageOf(cause), again_in_ms: Math.round(delay) }, words.down);
    setTimeout(() => {
      // What went wrong was told by the one above.
      if (!stopping) bringUp().catch(() => {});
    }, delay).unref();
  }

  const watch = setInterval(() => {
    if (ready && clock.monotonicMs() - heardMs > SILENCE_MS) current?.child.kill('SIGKILL');
  }, WATCH_EVERY_MS);
  watch.unref();

  return {
    channel: () => (ready ? current?.channel : undefined),
    start: bringUp,
    stop: async (end, waitMs) => {
      stopping = true;
      clearInterval(watch);
      const last = current;
      if (last === undefined) return;
      const kill = setTimeout(() => last.child.kill('SIGKILL'), waitMs);
      if (ready) await end(last.channel).catch(() => {});
      else last.child.kill('SIGKILL');
      await last.child.exited;
      clearTimeout(kill);
    },
  };
}
