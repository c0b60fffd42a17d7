import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readLimited } from '../lib/read-limited.ts';
import { replaceFile } from '../lib/replace-file.ts';
import type { KeyStore, StoredKeys } from './jwks.ts';
import { MAX_KEY_SET_BYTES } from './key-set.ts';

/** One issuer's keys in a file of `directory`; replaced as a whole, so that a crash leaves the old ones. */
export function createKeyStore(directory: string, issuer: string): KeyStore {
  const file = join(directory, `${createHash('sha256').update(issuer).digest('hex')}.json`);
  return {
    load: async () => {
      const stored = JSON.parse(
        (await readLimited(file, 4 * MAX_KEY_SET_BYTES)).toString('utf8'),
      ) as Partial<StoredKeys> & { issuer?: unknown };
      const { text, fetchedAtMs } = stored;
      const isGood = stored.issuer === issuer && typeof text === 'string' && Number.isSafeInteger(fetchedAtMs);
      return isGood ? { text, fetchedAtMs: fetchedAtMs as number } : undefined;
    },
    save: async (keys) => {
      await mkdir(directory, { recursive: true });
      await replaceFile(file, Buffer.from(JSON.stringify({ issuer, ...keys })), 0o600);
    },
  };
}
