import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/message.ts';
import { createNowAndThen } from '../../lib/now-and-then.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { StoreCounts } from '../../telemetry/store-metrics.ts';
import type { Followers } from '../query/followers.ts';
import type { Asked } from '../query/source.ts';
import { createRoutes } from '../route.ts';
import type { PutObject } from './archive/archive.ts';
import { createCatalog } from './catalog.ts';
import { openDatabase } from './database.ts';
import { examine } from './examine.ts';
import { createIngest, type Ingest } from './ingest.ts';
import { takeInventory } from './inventory.ts';
import type { Gap } from './line.ts';
import { holdFolder } from './lock.ts';
import type { StoredFile } from './parquet.ts';
import type { StoreSettings } from './protocol.ts';
import { createQuarantine, type Quarantine } from './quarantine.ts';
import { listSegments } from './segment.ts';
import { createTail, type Tail } from './tail.ts';
import { openUpkeep, type Upkeep } from './upkeep.ts';

/** Decisions on disk, kept in order by turns that follow each other. */
export type Store = {
  readonly asked: Asked;
  readonly gaps: () => readonly Gap[];
  readonly report: () => StoreCounts;
  /** Takes in what is sealed, and ends. */
  readonly stop: () => Promise<void>;
};

export type StoreParts = {
  readonly settings: StoreSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly followers: Followers;
  /** Where there is an archive. */
  readonly putObject?: PutObject | undefined;
};

const TURN_EVERY_MS = 200;
const TURN_MS = 1000;
const UPKEEP_EVERY_MS = 5000;
/** Both together are less than what the process has for its end, ms. */
const STOP_MS = 10_000;
const ARCHIVE_STOP_MS = 4000;
const KEPT_ERRORS_MS = 10_000;

export const foldersOf = (path: string) => {
  const root = resolve(path);
  const names = ['wal', 'parquet', 'tmp', 'quarantine', 'cursors'] as const;
  return Object.fromEntries(names.map((name) => [name, join(root, name)])) as {
    readonly [name in (typeof names)[number]]: string;
  };
};

/** Opens the folder and brings it in order. Rejects when it cannot be used. */
export async function openStore(parts: StoreParts): Promise<Store> {
  const { settings, clock, log } = parts;
  const { readOnly } = settings;
  const folders = foldersOf(settings.path);
  for (const folder of readOnly ? [] : Object.values(folders)) await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = readOnly ? undefined : await holdFolder(resolve(settings.path));
  if (!readOnly) {
    await rm(folders.tmp, { recursive: true, force: true });
    await mkdir(folders.tmp, { mode: 0o700 });
  }
  const counts = { ingested: 0, unreadableLines: 0, quarantined: 0, gaps: 0 };
  const onError = createErrorLog(log, clock);
  const quarantine = readOnly
    ? nothingTaken
    : createQuarantine({
        folder: folders.quarantine,
        now: clock.wallMs,
        onTaken: (file, reason) => {
          counts.quarantined++;
          log.error({ file, reason }, 'a file of the decision store cannot be read and was put into quarantine');
        },
      });
  const database = await openDatabase({
    memoryBytes: settings.memoryBytes,
    spillFolder: readOnly ? '' : join(folders.tmp, 'spill'),
  });
  const catalog = createCatalog((error) => onError('clearing up', error));
  const inventory = await takeInventory({
    database,
    folder: folders.parquet,
    onUnreadable: (file, reason) => quarantine.take(file, reason),
    tidy: !readOnly,
  });
  catalog.replace({ added: inventory.files });
  const ingested = new Set(inventory.ingested);
  const tail = createTail({
    database,
    routes: createRoutes({ clock }),
    onRows: parts.followers.take,
    onSegment: catalog.addSegment,
  });
  const ingest = createIngest({
    ...{ folders, database, catalog, tail, quarantine, clock, ingested, onError },
    onIngested: (segment) => {
      counts.ingested += segment.rows;
      counts.unreadableLines += segment.unreadableLines + Number(segment.torn > 0);
      counts.gaps += segment.gaps.reduce((sum, { count }) => sum + count, 0);
      if (segment.torn > 0) log.warn({ segment: segment.name, bytes: segment.torn }, 'a segment ends in a torn line');
    },
  });
  const asked: Asked = {
    ...{ catalog, database, timeoutMs: settings.timeoutMs },
    examine: (files) => examine({ database, catalog, quarantine }, files),
  };
  const upkeep = readOnly
    ? undefined
    : await openUpkeep({
        ...{ settings, clock, log, catalog, database, folders, tail, ingested, quarantine },
        putObject: parts.putObject,
      });
  const turns = upkeep && createTurns({ ingest, upkeep, clock, onError });
  if (turns === undefined) await readAll(folders.wal, ingested, tail);
  else await turns.first();

  return {
    asked,
    gaps: () => [
      ...catalog.files().flatMap((file) => file.gaps),
      ...tail.segments().flatMap((segment) => tail.get(segment)?.gaps ?? []),
    ],
    report: () => {
      const files = catalog.files();
      const report = {
        ...counts,
        files: files.length,
        bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
        walBytes: ingest.walBytes(),
        archive: upkeep?.archive?.report(),
        oldestMs: oldestOf(files, ingest.oldestMs()),
      };
      Object.assign(counts, { ingested: 0, unreadableLines: 0, quarantined: 0, gaps: 0 });
      return report;
    },
    stop: async () => {
      await turns?.stop();
      await upkeep?.archive?.stop(ARCHIVE_STOP_MS).catch((error: unknown) => onError('archiving', error));
      await catalog.cleared();
      database.close();
      lock?.release();
    },
  };
}

function oldestOf(files: readonly StoredFile[], inWalMs: number | undefined): number | undefined {
  const oldest = files.reduce((least, { min }) => Math.min(least, min / 1000), inWalMs ?? Number.POSITIVE_INFINITY);
  return Number.isFinite(oldest) ? oldest : undefined;
}

const nothingTaken: Quarantine = { take: async () => {}, takeLines: async () => {}, removeBefore: async () => {} };

/** For reading only: everything that is in no file yet. */
async function readAll(folder: string, ingested: ReadonlySet<string>, tail: Tail): Promise<void> {
  for (const segment of await listSegments(folder)) {
    if (ingested.has(segment.name)) continue;
    while (await tail.read(segment));
  }
}

function createTurns(parts: {
  readonly ingest: Ingest;
  readonly upkeep: Upkeep;
  readonly clock: Clock;
  readonly onError: (what: string, error: unknown) => void;
}): { readonly first: () => Promise<void>; readonly stop: () => Promise<void> } {
  const { ingest, upkeep, clock, onError } = parts;
  let stopping = false;
  let wake: (() => void) | undefined;
  let running: Promise<void> = Promise.resolve();
  let upkeptAt = Number.NEGATIVE_INFINITY;

  async function turn(forMs: number): Promise<void> {
    await ingest.turn(forMs).catch((error: unknown) => onError('reading the write-ahead log', error));
    if (clock.monotonicMs() - upkeptAt < UPKEEP_EVERY_MS) return;
    upkeptAt = clock.monotonicMs();
    await upkeep.once().catch((error: unknown) => onError('keeping order', error));
  }

  async function run(): Promise<void> {
    while (!stopping) {
      await turn(TURN_MS);
      await new Promise<void>((done) => {
        wake = done;
        setTimeout(done, TURN_EVERY_MS);
      });
    }
  }

  return {
    first: async () => {
      await turn(TURN_MS);
      running = run();
    },
    stop: async () => {
      stopping = true;
      wake?.();
      await running;
      // What was sealed when those who wrote it stopped.
      await ingest.turn(STOP_MS).catch((error: unknown) => onError('reading the write-ahead log', error));
    },
  };
}

/** The same trouble is told once in a while only. */
function createErrorLog(log: Logger, clock: Clock): (what: string, error: unknown) => void {
  const words = createNowAndThen(KEPT_ERRORS_MS, clock);
  return (what, error) => {
    const cause = messageOf(error);
    if (!words.isDue(cause.slice(0, 60))) return;
    log.error({ what, cause }, 'the decision store has trouble; it tries again');
  };
}
