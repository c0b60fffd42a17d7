import type { Catalog, View } from '../store/catalog.ts';
import { type Database, literal, type Value, type Values } from '../store/database.ts';
import type { StoredFile } from '../store/parquet.ts';
import type { Filters } from './filters.ts';

/** What questions are asked of. */
export type Asked = {
  readonly catalog: Catalog;
  readonly database: Database;
  readonly timeoutMs: number;
  /** Some file could not be read. Resolves when those that cannot be are out of the catalog; true when there were any. */
  readonly examine: (files: readonly StoredFile[]) => Promise<boolean>;
};

/** A question that is asked of a part of the view, within the time that is left. */
export type Ask = (
  files: readonly StoredFile[],
  segments: readonly string[],
  sql: (source: string) => string,
  values: Values,
) => Promise<readonly (readonly Value[])[]>;

/** Files that may have decisions of that time. */
export const filesWithin = (files: readonly StoredFile[], { since, until }: Filters): readonly StoredFile[] =>
  files.filter(({ min, max }) => (since === undefined || max >= since) && (until === undefined || min < until));

/**
 * Asks of one view, in which each decision is once. When a file turns out to be unreadable it is taken out, and the
 * question is asked again.
 */
export async function askOfView<T>(asked: Asked, task: (view: View, ask: Ask) => Promise<T>): Promise<T> {
  const end = performance.now() + asked.timeoutMs;
  for (let attempt = 0; ; attempt++) {
    const view = asked.catalog.view();
    try {
      return await task(view, (files, segments, sql, values) =>
        asked.database.ask(sql(sourceOf(files, segments)), values, Math.max(1, end - performance.now())),
      );
    } catch (error) {
      if (attempt > 0 || performance.now() >= end || !(await asked.examine(view.files))) throw error;
    } finally {
      view.release();
    }
  }
}

/** Files and segments of the tail as one table; `file` is null for what is in the tail. */
function sourceOf(files: readonly StoredFile[], segments: readonly string[]): string {
  const list = files.map(({ file }) => literal(file)).join(', ');
  const stored = `SELECT * FROM read_parquet([${list}], filename = 'file', hive_partitioning = false) UNION ALL `;
  const inTail = segments.length === 0 ? 'false' : `segment IN (${segments.map(literal).join(', ')})`;
  const tail = `SELECT * EXCLUDE (segment), NULL::VARCHAR AS file FROM tail WHERE ${inTail}`;
  return `(${files.length === 0 ? '' : stored}${tail})`;
}
