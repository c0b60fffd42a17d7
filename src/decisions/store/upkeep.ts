import { join, resolve } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { type Archive, createArchive, type PutObject } from './archive/archive.ts';
import { openArchiveList } from './archive/list.ts';
import type { Catalog } from './catalog.ts';
import type { Database } from './database.ts';
import { examine } from './examine.ts';
import { removeMarkers } from './liveness.ts';
import { mergeable, mergeFiles } from './merge.ts';
import type { Folders, StoredFile } from './parquet.ts';
import type { StoreSettings } from './protocol.ts';
import type { Quarantine } from './quarantine.ts';
import { expired, removeExpired } from './retention.ts';
import type { Tail } from './tail.ts';

export type UpkeepParts = {
  readonly settings: StoreSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly catalog: Catalog;
  readonly database: Database;
  readonly folders: Folders & { readonly wal: string };
  readonly tail: Tail;
  readonly ingested: ReadonlySet<string>;
  readonly quarantine: Quarantine;
  readonly putObject: PutObject | undefined;
};

export type Upkeep = {
  /** Removes what is too old or too much, merges small files, and chooses those for the archive. */
  readonly once: () => Promise<void>;
  /** Undefined when there is none. */
  readonly archive: Archive | undefined;
};

const HOUR_MS = 3_600_000;

export async function openUpkeep(parts: UpkeepParts): Promise<Upkeep> {
  const { settings, clock, log, catalog, database, folders, tail, ingested, quarantine } = parts;

  async function merge(files: readonly StoredFile[]): Promise<StoredFile | undefined> {
    try {
      return await mergeFiles({ database, catalog, folders }, files, (segment) => ingested.has(segment));
    } catch (error) {
      if (await examine({ database, catalog, quarantine }, files)) return undefined;
      throw error;
    }
  }

  const list = await openArchiveList({
    file: join(resolve(settings.path), 'archive.json'),
    present: catalog.files().map(({ name }) => name),
    onUnreadable: (cause) =>
      log.error({ cause }, 'what is in the archive cannot be read; all files are archived again, under the same names'),
  });
  const archive =
    settings.archive === undefined || parts.putObject === undefined
      ? undefined
      : createArchive({
          ...{ list, catalog, merge, clock, log },
          put: parts.putObject,
          prefix: settings.archive.prefix,
          afterMs: settings.archive.afterSeconds * 1000,
          unstored: () => tail.segments().filter((segment) => (tail.get(segment)?.rows ?? 0) > 0),
        });

  return {
    archive,
    once: async () => {
      const limits = { hours: settings.retentionHours, maxBytes: settings.retentionBytes };
      const gone = expired(catalog.files(), limits, clock.wallMs() * 1000);
      removeExpired(catalog, gone);
      archive?.forget(gone);
      await removeMarkers(folders.wal);
      await quarantine.removeBefore(clock.wallMs() - settings.retentionHours * HOUR_MS);
      await list.keepOnly(new Set(catalog.files().map(({ name }) => name)));
      await archive?.choose();
      const mergeables = catalog.files().filter(({ name }) => list.stateOf(name) === undefined);
      const chosen = mergeable(mergeables, clock.wallMs());
      if (chosen !== undefined) await merge(chosen);
    },
  };
}
