import { fitting, isSmall } from '../merge.ts';
import { partitionOf, type StoredFile } from '../parquet.ts';
import { createdAt } from '../segment.ts';

/** Files of one hour. */
export type Choice = {
  /** As they are. */
  readonly alone: readonly StoredFile[];
  /** Merged before. */
  readonly together: readonly StoredFile[];
};

/**
 * What is archived next of the files that wait: those of an hour whose oldest was created before that, ms since the epoch.
 * Of many small ones the oldest come first; the others are left for the next time.
 */
export function nextChoice(waiting: readonly StoredFile[], createdBeforeMs: number): Choice | undefined {
  const oldestFirst = [...waiting].sort((a, b) => (a.name < b.name ? -1 : 1));
  const [oldest] = oldestFirst;
  if (oldest === undefined || createdAt(oldest.name) >= createdBeforeMs) return undefined;
  const hour = oldestFirst.filter(({ name }) => partitionOf(name) === partitionOf(oldest.name));
  const small = fitting(hour.filter(isSmall));
  const large = hour.filter((file) => !isSmall(file));
  return small.length > 1 ? { alone: large, together: small } : { alone: [...large, ...small], together: [] };
}
