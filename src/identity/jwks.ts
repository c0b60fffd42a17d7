import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import type { FetchedKeys, KeyOrigin } from './key-origin.ts';
import { type KeySet, KeySetError, type PublicKey, parseKeySet } from './key-set.ts';
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

export type Jwks = {
  /** The keys of now; undefined when there are none, or only too old ones. */
  readonly current: () => KeySet | undefined;
  /** A token names a key that is not there: looks for it, unless that was done a moment ago. */
  readonly lookAgain: () => Promise<void>;
  /** Whether the origin answered when it was asked last, so that a key that is not there does not exist. */
  readonly isCurrent: () => boolean;
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
const COOL_DOWN_MS = 30_000;
/** Without keys at all, attempts follow each other closely. */
const RETRY_BASE_MS = 500;
/** With keys at hand, once after a failure that may have been an accident, then after the cool-down. */
const SECOND_ATTEMPT_MS = 1_000;
const RETRY_CAP_MS = 30_000;
/** Refresh at this part of freshness, so that nobody ever waits for it. */
const REFRESH_AT = 0.8;

/** One issuer's keys: refreshed in the background, one fetch at a time, the last good ones kept. */
export function createJwks(options: JwksOptions): Jwks {
  const { origins, store, parse = parseKeySet, maxStaleMs, clock, random, onFetched, onChanged } = options;
  const stopping = new AbortController();
  let keys: KeySet | undefined;
  let fetchedAt = 0;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let lookedSinceSuccess = false;
  let error: string | null = null;
  let inFlight: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function attempt(): Promise<void> {
    attemptedAt = clock.monotonicMs();
    let freshMs = FRESH_MS;
    try {
      const { fetched, next } = await fetchFirst(origins, parse, current()?.sequence, stopping.signal);
      const changed = keys !== undefined && keys.fingerprint !== next.fingerprint;
      freshMs = Math.min(Math.max(fetched.freshMs ?? FRESH_MS, MIN_FRESH_MS), MAX_FRESH_MS);
      keys = next;
      fetchedAt = clock.monotonicMs();
      failures = 0;
      lookedSinceSuccess = false;
      error = null;
      if (changed) onChanged();
      onFetched(true);
      // What cannot be stored is fetched again after a start; nothing else depends on it.
      await store?.save({ text: fetched.text, fetchedAtMs: clock.wallMs() }).catch(() => {});
    } catch (thrown) {
      if (stopping.signal.aborted) return;
      failures++;
      error = messageOf(thrown);
      onFetched(false, error);
    }
    if (stopping.signal.aborted) return;
    clearTimeout(timer);
    timer = setTimeout(() => void refresh(), delayOf(freshMs));
    timer.unref();
  }

  function delayOf(freshMs: number): number {
    if (failures === 0) return freshMs * (REFRESH_AT - 0.1 * random());
    if (current() === undefined) return backoffMs(failures - 1, RETRY_BASE_MS, RETRY_CAP_MS, random);
    return failures === 1 ? SECOND_ATTEMPT_MS : COOL_DOWN_MS * (1 + 0.1 * random());
  }

  const current = (): KeySet | undefined =>
    keys !== undefined && clock.monotonicMs() - fetchedAt <= maxStaleMs ? keys : undefined;

  function refresh(): Promise<void> {
    inFlight ??= attempt().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
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
    refresh: async () => {
      // One that is under way may have seen what was there before.
      await inFlight;
      await refresh();
    },
    isCurrent: () => error === null,
    lookAgain: async () => {
      // Counted from the last attempt, also from one that failed: an outage must not turn into a stampede. Only a key
      // that is new since a good answer is looked for at once.
      const isCool = clock.monotonicMs() - attemptedAt >= COOL_DOWN_MS;
      const isUnderWay = inFlight !== undefined;
      if (!isUnderWay && !isCool && (lookedSinceSuccess || error !== null)) return;
      // A first answer, or one that others waited for, has not been asked about this key.
      const isLook = !isUnderWay && current() !== undefined;
      await refresh();
      if (isLook) lookedSinceSuccess = true;
    },
    start: async () => {
      const restored = await restore();
      const first = refresh();
      if (!restored) await first;
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
