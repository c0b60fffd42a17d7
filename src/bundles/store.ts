import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { digestInTurns } from '../lib/in-turns.ts';
import { createOneByOne } from '../lib/one-by-one.ts';
import { readLimited } from '../lib/read-limited.ts';
import { replaceFile } from '../lib/replace-file.ts';
import { BundleError } from './error.ts';
import { bundleLimits } from './unpack.ts';

/** A bundle as it was downloaded, and the tag that its source gave to it. */
export type StoredBundle = { readonly archive: Buffer; readonly tag: string };
/** `confirmedMs`: when its source last said that it is current, wall clock, ms since the epoch. */
export type KeptBundle = StoredBundle & { readonly confirmedMs: number };

/** The last good version of each bundle, for a start while its server is down. */
export type BundleStore = {
  /** Undefined when nothing is stored. Rejects when what is there is not what was stored. */
  readonly load: (name: string) => Promise<KeptBundle | undefined>;
  readonly save: (name: string, bundle: StoredBundle) => Promise<void>;
  /** Its source says that it is still current. Rejects when nothing is stored. */
  readonly confirm: (name: string) => Promise<void>;
};

type Index = { readonly name: string; readonly digest: string; readonly tag: string };

const MAX_INDEX_BYTES = 16_384;
const INDEX = /^[0-9a-f]{64}\.json$/;

/**
 * Keeps archives in `directory` under the digest of their content, and beside them a file per bundle that says which one
 * is its. Files are replaced as a whole, so that a crash leaves the old ones.
 */
export function createBundleStore(directory: string): BundleStore {
  const indexFile = (name: string): string =>
    join(directory, `${createHash('sha256').update(name).digest('hex')}.json`);
  const archiveFile = (digest: string): string => join(directory, `${digest}.tar.gz`);

  /** An archive must not be swept away before its bundle's file names it. */
  const inTurn = createOneByOne();

  const write = (file: string, content: Uint8Array): Promise<void> => replaceFile(file, content, 0o600);

  async function readIndex(file: string): Promise<Index | undefined> {
    let text: string;
    try {
      text = (await readLimited(file, MAX_INDEX_BYTES)).toString('utf8');
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === 'ENOENT') return undefined;
      throw error;
    }
    const { name, digest, tag } = parsed(text);
    if (typeof name !== 'string' || typeof digest !== 'string' || typeof tag !== 'string') return undefined;
    return /^[0-9a-f]{64}$/.test(digest) ? { name, digest, tag } : undefined;
  }

  /** Archives that no bundle refers to any more. */
  async function sweep(): Promise<void> {
    const files = await readdir(directory);
    const indexes = await Promise.all(
      files.filter((file) => INDEX.test(file)).map((f) => readIndex(join(directory, f))),
    );
    const used = new Set(indexes.flatMap((index) => (index === undefined ? [] : [`${index.digest}.tar.gz`])));
    const unused = files.filter((file) => /^[0-9a-f]{64}\.tar\.gz$/.test(file) && !used.has(file));
    await Promise.all(unused.map((file) => rm(join(directory, file), { force: true })));
  }

  return {
    load: async (name) => {
      const index = await readIndex(indexFile(name));
      if (index === undefined || index.name !== name) return undefined;
      const archive = await readLimited(archiveFile(index.digest), bundleLimits.packed);
      if ((await digestInTurns(archive)) !== index.digest) {
        throw new BundleError('the stored bundle is not what was stored; somebody has changed its file');
      }
      return { archive, tag: index.tag, confirmedMs: (await stat(indexFile(name))).mtimeMs };
    },
    save: (name, { archive, tag }) =>
      inTurn(async () => {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        const digest = await digestInTurns(archive);
        await write(archiveFile(digest), archive);
        await write(indexFile(name), Buffer.from(JSON.stringify({ name, digest, tag } satisfies Index)));
        await sweep();
      }),
    confirm: (name) => {
      const now = new Date();
      return utimes(indexFile(name), now, now);
    },
  };
}

function parsed(text: string): { readonly [key: string]: unknown } {
  try {
    return Object(JSON.parse(text)) as { readonly [key: string]: unknown };
  } catch {
    return {};
  }
}
