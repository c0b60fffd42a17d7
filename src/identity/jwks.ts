import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import type { FetchedKeys, KeyOrigin } from './key-origin.ts';
import { type KeySet, KeySetError, type PublicKey, parseKeySet } from './key-set.ts';
import { COOL_DOWN_MS, createLookBudget } from './look-budget.ts';
import type { KeyState } from './shared-jwks.ts';

/** Where the last good keys outlive the process. */
export type KeyStore = {
  /** Undefined when there are none. */
  readonly load: () => Promise<StoredKeys | undefined>;
  readonly save: (keys: StoredKeys) => Promise<void>;
};
/** `fetchedAtMs`: wall clock, since the epoch. */
export type StoredKeys = { readonly text: string; readonly fetchedAtMs: number };

export type JwksOptions = {
  /** Asked in this order until one has a key set. */
  readonly origins: readonly KeyOrigin[];
  readonly store?: KeyStore | undefined;
  /** Throws KeySetError; parseKeySet unless told otherwise. */
  readonly parse?: ((text: string) => KeySet) | undefined;
  /** How long keys are used after they were fetched last, ms. */
  readonly maxStaleMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onFetched: (ok: boolean, cause?: string) => void;
  /** Keys changed: what was verified with the old ones must be verified again. */
  readonly onChanged: () => void;
};

/** `absent`: the issuer has no such key. `unknown`: it may have one, and could not be asked. */
export type Found = 'there' | 'absent' | 'unknown';

export type Jwks = {
  /** The keys of now; undefined when there are none, or only too old ones. */
  readonly current: () => KeySet | undefined;
  /** A token needs a key that is not there: asks for it, as often as may be, and says what is known then. */
  readonly lookFor: (kid: string | undefined, alg: string) => Promise<Found>;
  /** Fetches now: the origin has said that it has something new. */
  readonly refresh: () => Promise<void>;
  /** Fetches, and goes on fetching. Resolves after the first attempt, or at once when there are stored keys. */
  readonly start: () => Promise<void>;
  readonly stop: () => void;
  /** For processes that share these keys. */
  readonly state: () => KeyState;
  readonly status: () => { readonly keys: number; readonly age_seconds: number | null; readonly error: string | null };
};

const FRESH_MS = 600_000;
const MIN_FRESH_MS = 60_000;
const MAX_FRESH_MS = 86_400_000;
/** Without keys at all everybody waits, and attempts follow each other closely. */
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 4_000;
/** With keys at hand, once after a failure that may have been an accident, then after the cool-down. */
const SECOND_ATTEMPT_MS = 1_000;
/** Refresh at this part of freshness, so that nobody ever waits for it. */
const REFRESH_AT = 0.8;
/** How long a token waits for a key, from when the issuer was asked, and how many wait at once. */
const PATIENCE_MS = 1_000;
const MAX_WAITING = 1_000;

/** A fetch under way: when it is over, and when it is or has taken too long for anybody to wait. */
type Attempt = { readonly done: Promise<void>; readonly patience: Promise<unknown> };

/** One issuer's keys: refreshed in the background, one fetch at a time, the last good ones kept. */
export function createJwks(options: JwksOptions): Jwks {
  const { origins, store, parse = parseKeySet, maxStaleMs, clock, random, onFetched, onChanged } = options;
  const stopping = new AbortController();
  const budget = createLookBudget(clock.monotonicMs);
  let keys: KeySet | undefined;
  let fetchedAt = 0;
  /** When the last good answer was asked for. */
  let askedAt = Number.NEGATIVE_INFINITY;
  let error: string | null = null;
  let inFlight: Attempt | undefined;
  let waiting = 0;
  let timer: NodeJS.Timeout | undefined;

  async function attempt(isLook: boolean): Promise<void> {
    const startedAt = clock.monotonicMs();
    let freshMs = FRESH_MS;
    try {
      const { fetched, next } = await fetchFirst(origins, parse, current()?.sequence, stopping.signal);
      const changed = keys !== undefined && keys.fingerprint !== next.fingerprint;
      freshMs = Math.min(Math.max(fetched.freshMs ?? FRESH_MS, MIN_FRESH_MS), MAX_FRESH_MS, maxStaleMs);
      keys = next;
      fetchedAt = clock.monotonicMs();
      askedAt = startedAt;
      error = null;
      budget.answered(
        startedAt,
        next.keys.map(({ kid }) => kid),
        isLook,
      );
      if (changed) onChanged();
      onFetched(true);
      // What cannot be stored is fetched again after a start; nothing else depends on it.
      await store?.save({ text: fetched.text, fetchedAtMs: clock.wallMs() }).catch(() => {});
    } catch (thrown) {
      if (stopping.signal.aborted) return;
      budget.failed(startedAt);
      error = messageOf(thrown);
      onFetched(false, error);
    }
    if (stopping.signal.aborted) return;
    clearTimeout(timer);
    timer = setTimeout(() => void refresh(), delayOf(freshMs));
    timer.unref();
  }

  function delayOf(freshMs: number): number {
    const failures = budget.failures();
    if (failures === 0) return freshMs * (REFRESH_AT - 0.1 * random());
    if (current() === undefined) return backoffMs(failures - 1, RETRY_BASE_MS, RETRY_CAP_MS, random);
    return failures === 1 ? SECOND_ATTEMPT_MS : COOL_DOWN_MS * (1 + 0.1 * random());
  }

  const current = (): KeySet | undefined =>
    keys !== undefined && clock.monotonicMs() - fetchedAt <= maxStaleMs ? keys : undefined;

  /** `isLook`: for a key that a token named. */
  function refresh(isLook = false): Attempt {
    if (inFlight !== undefined) return inFlight;
    const done = attempt(isLook).finally(() => {
      inFlight = undefined;
    });
    inFlight = { done, patience: Promise.race([done, sleep(PATIENCE_MS, undefined, { ref: false })]) };
    return inFlight;
  }

  /** Waits for an attempt, though not for one that takes its time. Whether it is over. */
  async function outlast({ patience }: Attempt): Promise<boolean> {
    if (waiting >= MAX_WAITING) return false;
    waiting++;
    await patience;
    waiting--;
    return inFlight === undefined;
  }

  const has = (kid: string | undefined, alg: string): boolean => {
    const set = current();
    return set !== undefined && keysFor(set, kid, alg).length > 0;
  };

  async function lookFor(kid: string | undefined, alg: string): Promise<Found> {
    const name = kid ?? '';
    const namedSince = budget.name(name);
    // Twice: an attempt that was under way may have been answered before the key was made.
    for (let round = 0; round < 2; round++) {
      if (error === null && askedAt > namedSince) return 'absent';
      // Without keys at all, attempts follow each other as closely as they may.
      if (inFlight === undefined && (current() === undefined || !budget.take(name))) break;
      const isOver = await outlast(refresh(true));
      if (has(kid, alg)) return 'there';
      if (!isOver) return 'unknown';
    }
    return error === null && inFlight === undefined && current() !== undefined ? 'absent' : 'unknown';
  }

  /** Whether there were keys to go on with. Those of a time that has not come are as good as fetched now. */
  async function restore(): Promise<boolean> {
    const stored = await store?.load().catch(() => undefined);
    if (stored === undefined) return false;
    const ageMs = Math.max(0, clock.wallMs() - stored.fetchedAtMs);
    try {
      if (ageMs > maxStaleMs) return false;
      keys = parse(stored.text);
      fetchedAt = clock.monotonicMs() - ageMs;
      return true;
    } catch {
      return false;
    }
  }

  return {
    current,
    lookFor,
    refresh: async () => {
      // One that is under way may have seen what was there before.
      await inFlight?.done;
      await refresh().done;
    },
    start: async () => {
      const restored = await restore();
      const first = refresh();
      if (!restored) await first.done;
    },
    stop: () => {
      stopping.abort();
      clearTimeout(timer);
    },
    state: () => ({ text: keys?.fingerprint ?? null, ageMs: clock.monotonicMs() - fetchedAt, error }),
    status: () => ({
      keys: keys?.keys.length ?? 0,
      age_seconds: keys === undefined ? null : Math.round((clock.monotonicMs() - fetchedAt) / 1000),
      error,
    }),
  };
}

/** The key set of the first origin that has one, no older one than before. Rejects with every origin's error. */
async function fetchFirst(
  origins: readonly KeyOrigin[],
  parse: (text: string) => KeySet,
  atLeast: number | undefined,
  signal: AbortSignal,
): Promise<{ readonly fetched: FetchedKeys; readonly next: KeySet }> {
  const problems: string[] = [];
  for (const origin of origins) {
    try {
      const fetched = await origin(signal);
      const next = parse(fetched.text);
      // What was withdrawn must not come back with an old copy.
      if (atLeast !== undefined && next.sequence !== undefined && next.sequence < atLeast) {
        throw new KeySetError('an older bundle than the one at hand');
      }
      return { fetched, next };
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  throw new KeySetError(problems.join('; '));
}

/** The keys that a token's header may mean. */
export const keysFor = (set: KeySet, kid: string | undefined, alg: string): readonly PublicKey[] =>
  set.keys.filter((key) => (kid === undefined || key.kid === kid) && (key.alg === undefined || key.alg === alg));
