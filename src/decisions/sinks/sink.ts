/** Where finished lines go. One write is under way at a time. */
export type Sink = {
  /** For messages and metrics. */
  readonly name: string;
  /**
   * Takes lines (JSON without a line end) and resolves once they are handed over, with how many of them, from the
   * first on, were written; the others are offered again later. Rejects when the lines are lost.
   */
  readonly write: (lines: readonly string[]) => Promise<number>;
  readonly close: () => Promise<void>;
};
