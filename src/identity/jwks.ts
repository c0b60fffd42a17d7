import { backoffMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import type { KeyOrigin } from './key-origin.ts';
import { type KeySet, type PublicKey, parseKeySet } from './key-set.ts';

export type JwksOptions = {
  readonly origin: KeyOrigin;
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
  /** Fetches, and goes on fetching. Resolves after the first attempt. */
  readonly start: () => Promise<void>;
  readonly stop: () => void;
  readonly status: () => { readonly keys: number; readonly age_seconds: number | null; readonly error: string | null };
};

const FRESH_MS = 600_000;
const MIN_FRESH_MS = 60_000;
const MAX_STALE_MS = 86_400_000;
const COOL_DOWN_MS = 30_000;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 30_000;
/** Refresh at this part of freshness, so that nobody ever waits for it. */
const REFRESH_AT = 0.8;

/** One issuer's keys: refreshed in the background, one fetch at a time, the last good ones kept. */
export function createJwks({ origin, clock, random, onFetched, onChanged }: JwksOptions): Jwks {
  const stopping = new AbortController();
  let keys: KeySet | undefined;
  let fetchedAt = 0;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let error: string | null = null;
  let inFlight: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function attempt(): Promise<void> {
    attemptedAt = clock.monotonicMs();
    let freshMs = FRESH_MS;
    try {
      const fetched = await origin(stopping.signal);
      const next = parseKeySet(fetched.text);
      const changed = keys !== undefined && keys.fingerprint !== next.fingerprint;
      freshMs = Math.min(Math.max(fetched.freshMs ?? FRESH_MS, MIN_FRESH_MS), MAX_STALE_MS);
      keys = next;
      fetchedAt = clock.monotonicMs();
      failures = 0;
      error = null;
      if (changed) onChanged();
      onFetched(true);
    } catch (thrown) {
      if (stopping.signal.aborted) return;
      failures++;
      error = messageOf(thrown);
      onFetched(false, error);
    }
    if (stopping.signal.aborted) return;
    clearTimeout(timer);
    const delay =
      failures === 0
        ? freshMs * (REFRESH_AT - 0.1 * random())
        : backoffMs(failures - 1, RETRY_BASE_MS, RETRY_CAP_MS, random);
    timer = setTimeout(() => void refresh(), delay);
    timer.unref();
  }

  function refresh(): Promise<void> {
    inFlight ??= attempt().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  }

  return {
    current: () => (keys !== undefined && clock.monotonicMs() - fetchedAt <= MAX_STALE_MS ? keys : undefined),
    lookAgain: async () => {
      // Counted from the last attempt, also from one that failed: an outage must not turn into a stampede.
      if (inFlight === undefined && clock.monotonicMs() - attemptedAt < COOL_DOWN_MS) return;
      await refresh();
    },
    start: refresh,
    stop: () => {
      stopping.abort();
      clearTimeout(timer);
    },
    status: () => ({
      keys: keys?.keys.length ?? 0,
      age_seconds: keys === undefined ? null : Math.round((clock.monotonicMs() - fetchedAt) / 1000),
      error,
    }),
  };
}

/** The keys that a token's header may mean. */
export const keysFor = (set: KeySet, kid: string | undefined, alg: string): readonly PublicKey[] =>
  set.keys.filter((key) => (kid === undefined || key.kid === kid) && (key.alg === undefined || key.alg === alg));
