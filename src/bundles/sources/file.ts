import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashInTurns } from '../../lib/in-turns.ts';
import { readLimited } from '../../lib/read-limited.ts';
import { BundleError } from '../error.ts';
import { type BundleFiles, bundleLimits, type Content } from '../unpack.ts';
import { readFolder } from './folder.ts';
import type { BundleSource } from './source.ts';

/** How long a change must stay as it is before it is taken: those who write several files do not write them at once. */
const SETTLE_MS = 1000;
const MAX_ATTEMPTS = 30;

/**
 * A bundle archive, or a folder laid out like one. A version's tag is the digest of its content. A first version is taken
 * as it is, a later one when it has not changed for `settleMs`.
 */
export function createFileSource(path: string, maxBytes: number, settleMs = SETTLE_MS): BundleSource {
  return async (tag, signal) => {
    signal.throwIfAborted();
    let seen = await read(path, maxBytes);
    if (seen.version === tag) return { kind: 'unchanged' };
    for (let attempt = 0; tag !== undefined; attempt++) {
      if (attempt === MAX_ATTEMPTS) throw new BundleError(`${path} keeps changing`);
      await sleep(settleMs, undefined, { signal, ref: false });
      const next = await read(path, maxBytes);
      if (next.version === tag) return { kind: 'unchanged' };
      if (next.version === seen.version) break;
      seen = next;
    }
    return { kind: 'new', tag: seen.version, content: seen.content };
  };
}

type Version = { readonly version: string; readonly content: Content };

async function read(path: string, maxBytes: number): Promise<Version> {
  if ((await stat(path)).isDirectory()) {
    const files = await readFolder(path, maxBytes);
    return { version: await versionOf(files), content: { files } };
  }
  const archive = await readLimited(path, bundleLimits.packed);
  return { version: await versionOf(new Map([['', archive]])), content: { archive } };
}

async function versionOf(files: BundleFiles): Promise<string> {
  const digest = createHash('sha256');
  const parts = [...files].flatMap(([name, bytes]) => [Buffer.from(`${name}\0${bytes.length}\0`), bytes]);
  await hashInTurns(digest, parts);
  return digest.digest('hex');
}
