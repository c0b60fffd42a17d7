import { join, resolve } from 'node:path';
import { type Channel, createChannel, type Pipe } from '../../lib/channel.ts';
import { systemClock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/message.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { createFollowers } from '../query/followers.ts';
import { gapsWithin } from '../query/gaps.ts';
import { histogram } from '../query/histogram.ts';
import { list, show } from '../query/list.ts';
import { top } from '../query/top.ts';
import { runStatement } from '../sql/run.ts';
import type { PutObject } from './archive/archive.ts';
import { TooSlow } from './database.ts';
import { createLending } from './lending.ts';
import {
  type Answer,
  type ArchiveSettings,
  REPORT_EVERY_MS,
  type SqlFunctions,
  type StoreFunctions,
  type StoreOwnerFunctions,
} from './protocol.ts';
import { openStore, type Store } from './store.ts';

/** Questions under way at once; others wait. */
const MAX_ASKED = 3;
const MAX_WAITING = 32;

/** The process that keeps decisions. Resolves when it was told to stop and has. */
export function runStore(
  pipe: Pipe,
  io: {
    readonly stderr: { readonly write: (text: string) => unknown };
    readonly archiveTo: (archive: ArchiveSettings) => PutObject;
  },
): Promise<void> {
  let store: Store | undefined;
  let lending: ReturnType<typeof createLending> | undefined;
  const gate = createGate();
  const followers = createFollowers(systemClock.wallMs);

  async function answer<T>(task: (store: Store) => Promise<T>): Promise<Answer<T>> {
    const opened = store;
    if (opened === undefined) return unavailable('the store is not open yet');
    if (!gate.hasRoom()) return unavailable('too many questions at once');
    try {
      return { ok: true, value: await gate.pass(() => task(opened)) };
    } catch (error) {
      if (error instanceof TooSlow) return unavailable('it takes too long; ask for less time or for less');
      return unavailable(
        /^Out of Memory/i.test(messageOf(error)) ? 'it takes too much memory' : 'it could not be read',
      );
    }
  }

  return new Promise((done) => {
    const functions: StoreFunctions = {
      start: async (settings) => {
        const log = createLogger(settings.logging.level, settings.logging.format, io.stderr);
        const putObject = settings.archive && io.archiveTo(settings.archive);
        const opened = await openStore({ settings, clock: systemClock, log, followers, putObject });
        lending = createLending(opened.asked, settings.readOnly ? undefined : join(resolve(settings.path), 'tmp'));
        store = opened;
        setInterval(() => {
          // Whoever does not hear it any more has gone, and takes this process along.
          owner.call('report', opened.report()).catch(() => {});
        }, REPORT_EVERY_MS).unref();
      },
      list: (question) => answer(({ asked }) => list(asked, question)),
      show: (id) => answer(({ asked }) => show(asked, id)),
      histogram: (question) => answer(({ asked }) => histogram(asked, question)),
      top: (question) => answer(({ asked }) => top(asked, question)),
      gaps: ({ since, until }) => answer(async ({ gaps }) => gapsWithin(gaps(), since, until)),
      lend: () =>
        answer(async () => {
          if (lending === undefined) throw new Error('nothing to lend');
          return lending.lend();
        }),
      giveBack: (loan) => lending?.giveBack(loan.id, loan.unreadable),
      follow: ({ id, filters }) =>
        followers.add(id, { filters, send: (events, left) => owner.call('followed', { id, events, left }) }),
      unfollow: followers.remove,
      stop: async () => {
        await store?.stop();
        // Behind the answer to this call.
        setImmediate(done);
      },
    };
    const owner: Channel<StoreOwnerFunctions> = createChannel<StoreOwnerFunctions>(pipe, functions);
  });
}

const unavailable = (problem: string): Answer<never> => ({ ok: false, kind: 'unavailable', problem });

/** The process that runs statements. It may be ended at any time. */
export function runSql(pipe: Pipe): void {
  createChannel(pipe, { ready: () => {}, run: runStatement } satisfies SqlFunctions);
}

function createGate(): { readonly hasRoom: () => boolean; readonly pass: <T>(task: () => Promise<T>) => Promise<T> } {
  let inside = 0;
  const waiting: (() => void)[] = [];
  return {
    hasRoom: () => waiting.length < MAX_WAITING,
    pass: async (task) => {
      if (inside >= MAX_ASKED) await new Promise<void>((next) => waiting.push(next));
      else inside++;
      try {
        return await task();
      } finally {
        const next = waiting.shift();
        if (next === undefined) inside--;
        else next();
      }
    },
  };
}
