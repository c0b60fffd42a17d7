import type { Clock } from './clock.ts';

/** For what happens again and again, and is worth doing or telling only so often. */
export type NowAndThen = {
  /** Whether it is time again for this kind of thing; if so, not again before long. */
  readonly isDue: (kind?: string) => boolean;
  /** It is time for anything. */
  readonly reset: () => void;
};

/** Kinds that are remembered; beyond it all are forgotten. */
const MAX_KINDS = 100;

export function createNowAndThen(everyMs: number, clock: Pick<Clock, 'monotonicMs'>): NowAndThen {
  const last = new Map<string, number>();
  return {
    isDue: (kind = '') => {
      const nowMs = clock.monotonicMs();
      const before = last.get(kind);
      if (before !== undefined && nowMs - before < everyMs) return false;
      if (last.size > MAX_KINDS) last.clear();
      last.set(kind, nowMs);
      return true;
    },
    reset: () => last.clear(),
  };
}
