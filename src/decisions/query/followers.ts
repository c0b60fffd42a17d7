import { eventText, type Row } from '../store/columns.ts';
import { type Filters, matches } from './filters.ts';

export type Follower = {
  readonly filters: Filters;
  /** Takes events as JSON, and how many were left out before them. Resolves when it can take more. */
  readonly send: (events: readonly string[], left: number) => Promise<void>;
};

/** Those who watch decisions come in. One that is slow loses some, and is told how many; it holds nobody up. */
export type Followers = {
  readonly add: (id: string, follower: Follower) => void;
  readonly remove: (id: string) => void;
  readonly take: (rows: readonly Row[]) => void;
};

const MAX_WAITING_EVENTS = 1000;
const MAX_WAITING_CHARACTERS = 4_194_304;
/** Decisions may be written down a little later than they were made, µs. */
const LATE_US = 10_000_000;

type Watching = Follower & {
  readonly since: number;
  waiting: string[];
  size: number;
  left: number;
  sending: boolean;
};

export function createFollowers(nowMs: () => number): Followers {
  const watching = new Map<string, Watching>();

  async function pump(id: string, follower: Watching): Promise<void> {
    if (follower.sending) return;
    follower.sending = true;
    try {
      while (watching.get(id) === follower && (follower.waiting.length > 0 || follower.left > 0)) {
        const { waiting, left } = follower;
        follower.waiting = [];
        follower.size = 0;
        follower.left = 0;
        await follower.send(waiting, left);
      }
    } catch {
      // Whoever cannot be reached has gone.
      watching.delete(id);
    } finally {
      follower.sending = false;
    }
  }

  return {
    add: (id, follower) => {
      // What is read of an old backlog is no news.
      const since = nowMs() * 1000 - LATE_US;
      watching.set(id, { ...follower, since, waiting: [], size: 0, left: 0, sending: false });
    },
    remove: (id) => void watching.delete(id),
    take: (rows) => {
      for (const [id, follower] of watching) {
        for (const row of rows) {
          if (row.time < follower.since || !matches(row, follower.filters)) continue;
          const text = eventText(row);
          if (follower.waiting.length >= MAX_WAITING_EVENTS || follower.size + text.length > MAX_WAITING_CHARACTERS) {
            follower.left++;
            continue;
          }
          follower.waiting.push(text);
          follower.size += text.length;
        }
        void pump(id, follower);
      }
    },
  };
}
