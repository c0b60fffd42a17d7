import { createGeo } from '../check/geo.ts';
import type { Geo } from '../check/geo-record.ts';
import type { Part } from '../lib/lifecycle.ts';
import { messageOf } from '../lib/message.ts';
import { type Mmdb, openMmdb } from '../lib/mmdb.ts';
import { type WatchedFile, watchFile } from '../lib/watched-file.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export type Geoip = {
  /** Reads the databases and follows their files; to be started before whoever asks. */
  readonly part: Part;
  /** Null when nothing is known of the address. */
  readonly geoOf: (address: string | null) => Geo | null;
};

type Reports = { readonly log: Logger; readonly metrics: Metrics };
type Database = Mmdb & { readonly file: string };

/** The largest databases that are sold have about half of it. */
const MAX_FILE_BYTES = 536_870_912;

/** Geography from these files, in their order. */
export function createGeoip(files: readonly string[], everyMs: number, { log, metrics }: Reports): Geoip {
  const loaded = new Map<string, Database>();
  let databases: readonly Database[] = [];
  /** Databases with a failure that was logged. */
  const reported = new WeakSet<Database>();

  function take(database: Database): void {
    const { file, type, builtMs } = database;
    loaded.set(file, database);
    databases = files.flatMap((name) => loaded.get(name) ?? []);
    metrics.geoipLoaded(file, builtMs);
    log.info({ file, type, built: new Date(builtMs).toISOString() }, 'geo database loaded');
  }
  function watch(file: string): WatchedFile {
    let lastFailure: string | undefined;
    return watchFile<Database>({
      file,
      maxBytes: MAX_FILE_BYTES,
      everyMs,
      open: (content) => ({ ...openMmdb(content), file }),
      onChange: (database) => {
        lastFailure = undefined;
        take(database);
      },
      onFailure: (error) => {
        metrics.geoipReloadFailed(file);
        const cause = messageOf(error);
        if (cause !== lastFailure)
          log.error({ file, cause }, 'geo database not reloaded; the one before keeps serving');
        lastFailure = cause;
      },
    });
  }
  const watched = files.map((file) => ({ file, ...watch(file) }));
  return {
    part: {
      name: 'geoip',
      start: async () => {
        for (const { file, start } of watched) {
          await start().catch((error: unknown) => {
            const advice = 'get the database again or take it out';
            throw new Error(`postern.context.geoip: ${file} cannot be used: ${messageOf(error)}; ${advice}`);
          });
        }
      },
      stop: () => {
        for (const { stop } of watched) stop();
      },
    },
    geoOf: createGeo<Database>({
      databases: () => databases,
      onFailure: (database, error) => {
        metrics.geoipLookupFailed(database.file);
        if (reported.has(database)) return;
        reported.add(database);
        log.error({ file: database.file, cause: messageOf(error) }, 'a record of the geo database cannot be read');
      },
    }),
  };
}
