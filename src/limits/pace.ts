/** How fast calls are served, and whether that is as fast as it goes. */
export type Pace = {
  /** So many calls that had waited were served in this time, without what was read or refused meanwhile. */
  readonly served: (atMs: number, tookMs: number, count: number) => void;
  /** What a call takes, ms. */
  readonly perCallMs: () => number;
  readonly isSaturated: () => boolean;
};

export type PaceOptions = {
  readonly utilization: number;
  /** Share of time that the event loop was busy since it was last asked, 0 to 1. */
  readonly busyShare: () => number;
};

/** Before anything was measured, ms. */
const FIRST_GUESS_MS = 0.1;
/** About so many calls decide what the pace is. */
const REMEMBERED = 50;
/** A sample counts as this many times what is usual at most: where the event loop was held up, the calls were not what took long. */
const MOST = 4;
/** A shorter time says little about utilization: one collection of garbage may fill it, ms. */
const LOOK_EVERY_MS = 500;

export function createPace({ utilization, busyShare }: PaceOptions): Pace {
  let perCallMs = FIRST_GUESS_MS;
  let isSaturated = false;
  let lookedMs = Number.NEGATIVE_INFINITY;
  return {
    served: (atMs, tookMs, count) => {
      if (count > 0) {
        const each = Math.min(tookMs / count, perCallMs * MOST);
        perCallMs += (each - perCallMs) * Math.min(1, count / REMEMBERED);
      }
      if (atMs - lookedMs < LOOK_EVERY_MS) return;
      lookedMs = atMs;
      isSaturated = busyShare() >= utilization;
    },
    perCallMs: () => perCallMs,
    isSaturated: () => isSaturated,
  };
}
