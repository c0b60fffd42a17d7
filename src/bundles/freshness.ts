import type { Clock } from '../lib/clock.ts';

export type FreshnessOptions = {
  readonly names: readonly string[];
  readonly clock: Clock;
  readonly maxAgeMs: number | undefined;
  readonly onStale: (stale: boolean) => void;
  readonly log: { readonly error: (fields: object, message: string) => void };
};

/** How long ago the sources of bundles said that these are current. A source that is held back cannot freeze policy. */
export type Freshness = {
  /** Just now, or `agoMs` before. */
  readonly confirmed: (name: string, agoMs?: number) => void;
  readonly ages: () => readonly (readonly [bundle: string, seconds: number])[];
  readonly start: () => void;
  readonly stop: () => void;
};

const LOOK_EVERY_MS = 1_000;

export function createFreshness({ names, clock, maxAgeMs, onStale, log }: FreshnessOptions): Freshness {
  const at = new Map<string, number>();
  let stale = false;
  let timer: NodeJS.Timeout | undefined;
  const ageMs = (name: string): number => clock.monotonicMs() - (at.get(name) ?? Number.NEGATIVE_INFINITY);

  function look(): void {
    // One that never came is not old: without it nothing serves.
    const old = names.filter((name) => at.has(name) && ageMs(name) > (maxAgeMs ?? Number.POSITIVE_INFINITY));
    if (old.length > 0 === stale) return;
    stale = old.length > 0;
    if (stale) {
      const fields = { bundles: old, max_age_seconds: (maxAgeMs ?? 0) / 1000 };
      log.error(fields, 'bundles are older than they may be; every request is answered 503');
    }
    onStale(stale);
  }

  return {
    confirmed: (name, agoMs = 0) => {
      at.set(name, clock.monotonicMs() - Math.max(0, agoMs));
      if (maxAgeMs !== undefined) look();
    },
    ages: () => names.map((name) => [name, ageMs(name) / 1000]),
    start: () => {
      if (maxAgeMs === undefined) return;
      timer = setInterval(look, LOOK_EVERY_MS);
      timer.unref();
    },
    stop: () => clearInterval(timer),
  };
}
