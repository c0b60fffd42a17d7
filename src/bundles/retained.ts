import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import { createOneByOne } from '../lib/one-by-one.ts';
import { readLimited } from '../lib/read-limited.ts';
import { replaceFile } from '../lib/replace-file.ts';
import type { Origin } from './origin.ts';
import { isGzip } from './unpack.ts';

export type BundleVersion = Origin & { readonly bundle: string; readonly revision: string };
/** When it came, and since when it serves, or did so last (undefined: never), wall clock, ms since the epoch. */
type Version = BundleVersion & { readonly keptMs: number; readonly activatedMs: number | undefined };
type Active = Version & { readonly activatedMs: number };

/** The bundles that recorded decisions were made with. Nothing here rejects: without it, decisions go on. */
export type RetainedBundles = {
  /** Keeps a bundle as it came, which may serve soon. */
  readonly keep: (version: BundleVersion, archive: Uint8Array) => Promise<void>;
  /** The versions with these digests serve from now on, in the place of others of their bundles. */
  readonly activated: (digests: readonly string[]) => Promise<void>;
  /** Removes what no decision of `oldestMs` (wall clock, ms since the epoch) or later can have been made with. */
  readonly sweep: (oldestMs: number) => Promise<void>;
};

export type RetainedOptions = {
  readonly folder: string;
  /** Most that all together may take, bytes; beyond it the oldest go before their time. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly log: { readonly warn: (fields: object, message: string) => void };
};

const ARCHIVE = /^([0-9a-f]{64})\.tar(?:\.gz)?$/;
const VERSION = /^([0-9a-f]{64})\.json$/;
const MAX_VERSION_BYTES = 16_384;
/** A version is marked a moment before it decides. */
const MARGIN_MS = 60_000;
/** What has not served yet may still be about to. */
const STRAY_MS = 3_600_000;

export function createRetained({ folder, maxBytes, clock, log }: RetainedOptions): RetainedBundles {
  const inTurn = createOneByOne();
  const versionFile = (digest: string): string => join(folder, `${digest}.json`);
  let known: Map<string, Version> | undefined;

  async function versions(): Promise<Map<string, Version>> {
    if (known !== undefined) return known;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const read = new Map<string, Version>();
    for (const entry of await readdir(folder)) {
      const digest = VERSION.exec(entry)?.[1];
      const version = digest === undefined ? undefined : await readVersion(join(folder, entry), digest);
      if (version !== undefined) read.set(version.digest, version);
    }
    known = read;
    return read;
  }

  async function write(version: Version): Promise<void> {
    await replaceFile(versionFile(version.digest), Buffer.from(textOf(version)), 0o600);
    (await versions()).set(version.digest, version);
  }

  /** Digests of versions that have to go for the rest to fit, oldest first; what serves stays. */
  function excess(all: ReadonlyMap<string, Version>, archives: Archives): ReadonlySet<string> {
    const serving = withBases(servingSince(Number.POSITIVE_INFINITY, all), all);
    const sizes = new Map([...all.values()].map(({ archive }) => [archive, archives.get(archive)?.bytes ?? 0]));
    let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    const gone = new Set<string>();
    for (const { digest, archive } of oldestFirst(all)) {
      if (bytes <= maxBytes) break;
      if (serving.has(digest)) continue;
      gone.add(digest);
      bytes -= sizes.get(archive) ?? 0;
      sizes.delete(archive);
    }
    return gone;
  }

  async function sweep(oldestMs: number): Promise<void> {
    const all = await versions();
    const archives = await archivesIn(folder);
    const coming = [...all.values()].filter((each) => !hasServed(each) && each.keptMs > clock.wallMs() - STRAY_MS);
    const needed = withBases([...servingSince(oldestMs - MARGIN_MS, all), ...coming], all);
    const kept = new Map([...all].filter(([digest]) => needed.has(digest)));
    const tooMuch = excess(kept, archives);
    for (const digest of tooMuch) kept.delete(digest);
    if (tooMuch.size > 0) {
      const limit = 'postern.store.retention.bundle_bytes';
      log.warn({ versions: tooMuch.size, limit }, 'bundles of recorded decisions are removed, as they take too much');
    }
    for (const digest of all.keys()) if (!kept.has(digest)) await rm(versionFile(digest), { force: true });
    const before = archivesOf(all);
    const after = archivesOf(kept);
    known = kept;
    for (const [digest, { file, changedMs }] of archives) {
      const isOld = before.has(digest) || clock.wallMs() - changedMs > STRAY_MS;
      if (!after.has(digest) && isOld) await rm(file, { force: true });
    }
  }

  const quietly = (what: string, task: () => Promise<void>): Promise<void> =>
    inTurn(task).catch((error: unknown) => log.warn({ cause: messageOf(error) }, what));

  const notKept = 'bundle not kept with the decisions; what it decides cannot be evaluated again later';
  return {
    keep: (version, archive) =>
      quietly(notKept, async () => {
        const before = (await versions()).get(version.digest);
        const ending = isGzip(archive) ? 'tar.gz' : 'tar';
        await replaceFile(join(folder, `${version.archive}.${ending}`), archive, 0o600);
        await write({ ...version, keptMs: clock.wallMs(), activatedMs: before?.activatedMs });
      }),
    activated: (digests) =>
      quietly(notKept, async () => {
        const all = await versions();
        for (const version of digests.map((digest) => all.get(digest))) {
          // Later than any other, also on a clock that was set back.
          const last = Math.max(0, ...[...all.values()].map((each) => each.activatedMs ?? 0));
          if (version !== undefined) await write({ ...version, activatedMs: Math.max(clock.wallMs(), last + 1) });
        }
      }),
    sweep: (oldestMs) => quietly('bundles of decisions that are gone could not be removed', () => sweep(oldestMs)),
  };
}

type Archives = ReadonlyMap<string, { readonly file: string; readonly bytes: number; readonly changedMs: number }>;

/** By digest; what a crash has left unfinished is among them by its name. */
async function archivesIn(folder: string): Promise<Archives> {
  const found = new Map<string, { readonly file: string; readonly bytes: number; readonly changedMs: number }>();
  for (const entry of await readdir(folder)) {
    if (VERSION.test(entry)) continue;
    const file = join(folder, entry);
    const { size, mtimeMs } = await stat(file);
    found.set(ARCHIVE.exec(entry)?.[1] ?? entry, { file, bytes: size, changedMs: mtimeMs });
  }
  return found;
}

const archivesOf = (versions: ReadonlyMap<string, Version>): ReadonlySet<string> =>
  new Set([...versions.values()].map(({ archive }) => archive));

const oldestFirst = (all: ReadonlyMap<string, Version>): readonly Version[] =>
  [...all.values()].sort((a, b) => (a.activatedMs ?? a.keptMs) - (b.activatedMs ?? b.keptMs));

/** What has served at that time or later; in the future: what serves. */
function servingSince(timeMs: number, all: ReadonlyMap<string, Version>): readonly Version[] {
  const serving: Version[] = [];
  const successors = new Map<string, Active>();
  for (const version of [...all.values()].filter(hasServed).sort((a, b) => b.activatedMs - a.activatedMs)) {
    const successor = successors.get(version.bundle);
    if (successor === undefined || successor.activatedMs >= timeMs) serving.push(version);
    successors.set(version.bundle, version);
  }
  return serving;
}

const hasServed = (version: Version): version is Active => version.activatedMs !== undefined;

/** Their digests, with those of what deltas among them change. */
function withBases(some: readonly Version[], all: ReadonlyMap<string, Version>): ReadonlySet<string> {
  const digests = new Set<string>();
  for (const version of some) {
    let at: Version | undefined = version;
    while (at !== undefined && !digests.has(at.digest)) {
      digests.add(at.digest);
      at = at.base === undefined ? undefined : all.get(at.base);
    }
  }
  return digests;
}

function textOf({ bundle, revision, archive, base, keptMs, activatedMs }: Version): string {
  const times = { kept_at: timeOf(keptMs), activated_at: activatedMs === undefined ? null : timeOf(activatedMs) };
  return `${JSON.stringify({ bundle, revision, archive, base, ...times })}\n`;
}

const timeOf = (ms: number): string => new Date(ms).toISOString();

/** Undefined when it is none of ours. */
async function readVersion(file: string, digest: string): Promise<Version | undefined> {
  const text = (await readLimited(file, MAX_VERSION_BYTES)).toString('utf8');
  try {
    const { bundle, revision, archive, base, kept_at, activated_at } = JSON.parse(text) as {
      readonly [key: string]: unknown;
    };
    const keptMs = Date.parse(String(kept_at));
    const activatedMs = activated_at === null ? undefined : Date.parse(String(activated_at));
    if (typeof bundle !== 'string' || typeof revision !== 'string' || typeof archive !== 'string') return undefined;
    if (Number.isNaN(keptMs) || Number.isNaN(activatedMs)) return undefined;
    if (base !== undefined && typeof base !== 'string') return undefined;
    return { digest, bundle, revision, archive, base, keptMs, activatedMs };
  } catch {
    return undefined;
  }
}
