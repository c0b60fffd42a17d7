/** How fast calls are served, and whether that is as fast as it goes. */
export type Pace = {
  /** A turn of the event loop is over: it took `tookMs` and served so many calls. */
  readonly turned: (atMs: number, tookMs: number, served: number) => void;
  /** Time from one call that is served to the next under load, ms; what is refused meanwhile is in it. */
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
/** A turn counts as this many times what is usual at most: where it was held up, its calls were not what took long. */
const MOST = 4;
/** A shorter time says little about utilization: one collection of garbage may fill it, ms. */
const LOOK_EVERY_MS = 500;

export function createPace({ utilization, busyShare }: PaceOptions): Pace {
  let perCallMs = FIRST_GUESS_MS;
  let isSaturated = false;
  let lookedMs = Number.NEGATIVE_INFINITY;
  return {
    turned: (atMs, tookMs, served) => {
      if (served > 0) {
        const each = Math.min(tookMs / served, perCallMs * MOST);
        perCallMs += (each - perCallMs) * Math.min(1, served / REMEMBERED);
      }
      if (atMs - lookedMs < LOOK_EVERY_MS) return;
      lookedMs = atMs;
      isSaturated = busyShare() >= utilization;
    },
    perCallMs: () => perCallMs,
    isSaturated: () => isSaturated,
  };
}
