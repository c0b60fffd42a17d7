/*
 * What the table shows, and what the file of results holds.
 */

export type Unit = 'µs' | 'ms' | 'MiB' | '/s' | 'decisions' | '';

/** Something to be reached by the ratio, or by the (last) figure. */
export type Goal = { readonly of: 'ratio' | 'figure' } & ({ readonly most: number } | { readonly least: number });

export type Row = {
  /** What was measured. */
  readonly name: string;
  /** Medians over the rounds: one figure, or several, such as p50, p99 and p99.9. */
  readonly figures: readonly number[];
  readonly unit: Unit;
  /** Times something else that the same run measured: the median of the rounds' ratios. */
  readonly ratio?: { readonly to: string; readonly value: number };
  readonly goal?: Goal;
  /** Where the figures, or what they are compared with, are not of this run. */
  readonly recorded?: string;
  /** Figures of each round, to see how much they differ. */
  readonly rounds?: readonly number[];
};

export type Section = { readonly title: string; readonly rows: readonly Row[] };

export type Machine = {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly node: string;
  readonly system: string;
};

export type Results = {
  readonly date: string;
  readonly commit: string;
  readonly isQuick: boolean;
  readonly machine: Machine;
  readonly sections: readonly Section[];
};
