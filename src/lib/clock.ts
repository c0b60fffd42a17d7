/** Where time comes from. A parameter everywhere, so that tests can move it. */
export type Clock = {
  /** Wall clock, ms since the epoch. */
  readonly wallMs: () => number;
  /** Monotonic clock, ms with a fraction; for durations and deadlines. */
  readonly monotonicMs: () => number;
};

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
