/**
 * How often an issuer may be asked for keys that tokens name and that are not there. Names cost nothing, and anybody may
 * send them; an issuer that is down must not be asked by each. Times are on the monotonic clock, ms.
 */
export type LookBudget = {
  /** A token names this key. Returns since when tokens have. */
  readonly name: (kid: string) => number;
  /** Whether to ask for this key now; if so, that is spent. */
  readonly take: (kid: string) => boolean;
  /** The issuer answered. `isLook`: it was asked for a key that was named, not because it was time. */
  readonly answered: (startedAt: number, kids: readonly (string | undefined)[], isLook: boolean) => void;
  readonly failed: (startedAt: number) => void;
  /** How often in a row it has failed. */
  readonly failures: () => number;
};

/** After an attempt that failed, or that was made for a name and did not bring it. */
export const COOL_DOWN_MS = 30_000;
/** Attempts beyond that, for keys that do not look invented. They come back when one was right, or after a while. */
const EXTRA = 5;
const EXTRA_BACK_MS = 600_000;
/** Before an extra attempt after a failure, doubled by each further one. */
const EXTRA_DELAY_MS = 250;
const MAX_NAMES = 128;
/** A key that so many tokens want is a new one rather than one of a flood of invented names. */
const MIN_COUNT = 3;
const MIN_SHARE = 1 / 4;
const NEVER = Number.NEGATIVE_INFINITY;

type Name = { readonly since: number; count: number };

export function createLookBudget(nowMs: () => number): LookBudget {
  /** The names of late, that of longest ago first. */
  const names = new Map<string, Name>();
  let fruitlessAt = NEVER;
  let failedAt = NEVER;
  let endedAt = NEVER;
  let failures = 0;
  let extra = EXTRA;
  let extraAt = NEVER;

  function isCredible(kid: string): boolean {
    const count = names.get(kid)?.count ?? 0;
    let total = 0;
    for (const name of names.values()) total += name.count;
    return count >= MIN_COUNT && count >= total * MIN_SHARE;
  }

  return {
    name: (kid) => {
      const now = nowMs();
      const known = names.get(kid);
      const isLate = known !== undefined && now - known.since < COOL_DOWN_MS;
      const name = isLate ? known : { since: now, count: 0 };
      name.count++;
      names.delete(kid);
      names.set(kid, name);
      const [oldest = kid] = names.keys();
      if (names.size > MAX_NAMES) names.delete(oldest);
      return name.since;
    },
    take: (kid) => {
      const now = nowMs();
      if (now - Math.max(fruitlessAt, failedAt) >= COOL_DOWN_MS) return true;
      if (failures > 0 && now - endedAt < EXTRA_DELAY_MS * 2 ** (failures - 1)) return false;
      if (now - extraAt >= EXTRA_BACK_MS) extra = EXTRA;
      if (extra === 0 || !isCredible(kid)) return false;
      extra--;
      extraAt = now;
      return true;
    },
    answered: (startedAt, kids, isLook) => {
      failures = 0;
      failedAt = NEVER;
      const brought = kids.filter((kid) => kid !== undefined && names.delete(kid));
      if (brought.length > 0) {
        fruitlessAt = NEVER;
        extra = EXTRA;
      } else if (isLook) fruitlessAt = startedAt;
    },
    failed: (startedAt) => {
      failures++;
      failedAt = startedAt;
      endedAt = nowMs();
    },
    failures: () => failures,
  };
}
