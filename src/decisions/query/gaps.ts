import type { Gap } from '../store/line.ts';

/** Decisions that were not written down. `from` and `to` of a gap are times (RFC 3339). */
export type GapsAnswer = { readonly count: number; readonly truncated: boolean; readonly gaps: readonly Gap[] };

const MAX_LISTED = 1000;

/** Gaps that touch the time; each process and first number once. Times in µs since the epoch. */
export function gapsWithin(all: readonly Gap[], since: number | undefined, until: number | undefined): GapsAnswer {
  const within = all.filter((gap) => {
    const [from, to] = [Date.parse(gap.from) * 1000, Date.parse(gap.to) * 1000];
    // Without times it is told rather than hidden.
    return !(since !== undefined && to < since) && !(until !== undefined && from >= until);
  });
  const sorted = within.sort((a, b) => (a.from < b.from ? 1 : -1));
  return {
    count: sorted.reduce((sum, { count }) => sum + count, 0),
    truncated: sorted.length > MAX_LISTED,
    gaps: sorted.slice(0, MAX_LISTED),
  };
}
