import { readFile } from 'node:fs/promises';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/message.ts';
import { createNowAndThen } from '../../../lib/now-and-then.ts';
import type { Logger } from '../../../telemetry/logger.ts';
import type { ArchiveReport } from '../../../telemetry/store-metrics.ts';
import type { Catalog } from '../catalog.ts';
import { partitionOf, type StoredFile } from '../parquet.ts';
import { createdAt } from '../segment.ts';
import { nextChoice } from './choice.ts';
import type { ArchiveList } from './list.ts';
import { startUploads } from './uploads.ts';

/** Puts an object into the archive, in place of one of the same key. Rejects with an explanation. */
export type PutObject = (key: string, bytes: Uint8Array, signal: AbortSignal) => Promise<void>;

/** Brings Parquet files to a place where others read them, each decision once. */
export type Archive = {
  /**
   * Chooses files that are old enough, merging small ones before: once at most, as this keeps everything else waiting.
   * Must not overlap with other merges.
   */
  readonly choose: () => Promise<void>;
  /** These have expired. */
  readonly forget: (gone: readonly StoredFile[]) => void;
  readonly report: () => ArchiveReport;
  /** Archives what is there, as far as there is time, ms, and ends. */
  readonly stop: (withinMs: number) => Promise<void>;
};

export type ArchiveParts = {
  readonly list: ArchiveList;
  readonly catalog: Catalog;
  readonly put: PutObject;
  /** What all keys begin with, without a slash at its end; it may be empty. */
  readonly prefix: string;
  readonly afterMs: number;
  /** Makes one file of several; undefined when one of them cannot be read. */
  readonly merge: (files: readonly StoredFile[]) => Promise<StoredFile | undefined>;
  /** Segments with decisions that are in no file yet. */
  readonly unstored: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
};

const TELL_EVERY_MS = 60_000;

export function createArchive(parts: ArchiveParts): Archive {
  const { list, catalog, clock, log } = parts;
  const counts = { files: 0, bytes: 0, failures: 0, lost: 0 };
  /** Why the last file could not be archived. */
  let problem: string | null = null;
  const words = createNowAndThen(TELL_EVERY_MS, clock);

  const filesThatAre = (state: 'chosen' | undefined): readonly StoredFile[] =>
    catalog.files().filter(({ name }) => list.stateOf(name) === state);

  async function upload({ name, file }: StoredFile, signal: AbortSignal): Promise<void> {
    const bytes = await readFile(file);
    await parts.put(keyOf(parts.prefix, name), bytes, signal);
    await list.markArchived(name);
    counts.files++;
    counts.bytes += bytes.length;
    if (problem !== null) log.info({}, 'decisions are archived again');
    problem = null;
    words.reset();
  }

  const uploads = startUploads({
    waiting: () => [...filesThatAre('chosen')].sort((a, b) => (a.name < b.name ? -1 : 1)),
    upload,
    onFailure: (file, error) => {
      counts.failures++;
      problem = messageOf(error);
      // It expired meanwhile.
      if (!catalog.files().some(({ name }) => name === file.name)) return lose([file]);
      if (words.isDue()) log.error({ cause: problem }, 'decisions cannot be archived; it is tried again');
    },
  });

  function lose(files: readonly StoredFile[]): void {
    if (files.length === 0) return;
    counts.lost += files.length;
    const decisions = files.reduce((sum, { rows }) => sum + rows, 0);
    log.error({ files: files.length, decisions }, 'decisions had to be removed before they were archived');
  }

  function waitingSinceMs(): number | null {
    const missing = catalog.files().filter(({ name }) => list.stateOf(name) !== 'archived');
    const created = [...missing.map(({ name }) => name), ...parts.unstored()].map(createdAt);
    return created.length === 0 ? null : created.reduce((a, b) => Math.min(a, b));
  }

  /** Whether something was merged, so that there may be more. */
  async function choose(createdBeforeMs: number): Promise<boolean> {
    for (;;) {
      const next = nextChoice(filesThatAre(undefined), createdBeforeMs);
      if (next === undefined) return false;
      const merged = next.together.length === 0 ? undefined : await parts.merge(next.together);
      const chosen = [...next.alone, ...(merged === undefined ? [] : [merged])];
      if (chosen.length > 0) await list.choose(chosen.map(({ name }) => name));
      uploads.wake();
      if (next.together.length > 0) return true;
    }
  }

  return {
    choose: async () => void (await choose(clock.wallMs() - parts.afterMs)),
    forget: (gone) => lose(gone.filter(({ name }) => list.stateOf(name) !== 'archived' && name !== uploads.underWay())),
    report: () => {
      const report = { ...counts, atMs: clock.wallMs(), waitingSinceMs: waitingSinceMs(), problem };
      Object.assign(counts, { files: 0, bytes: 0, failures: 0, lost: 0 });
      return report;
    },
    stop: async (withinMs) => {
      const end = clock.monotonicMs() + withinMs;
      while (clock.monotonicMs() < end && (await choose(Number.POSITIVE_INFINITY)));
      await uploads.finish(Math.max(0, end - clock.monotonicMs()));
    },
  };
}

/** `+` is a space to some who read URLs. */
const keyOf = (prefix: string, name: string): string =>
  [...(prefix === '' ? [] : [prefix]), partitionOf(name), `${name.replace('+', '-')}.parquet`].join('/');
