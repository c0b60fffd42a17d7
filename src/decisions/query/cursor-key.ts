import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const KEY_BYTES = 32;

/** The key that cursors are made with, the same after a restart. Where it cannot be kept, it is good until then. */
export function readCursorKey(folder: string, random: () => Uint8Array): Uint8Array {
  const file = join(folder, 'cursor.key');
  try {
    const key = readFileSync(file);
    if (key.length === KEY_BYTES) return key;
  } catch {
    // Made below.
  }
  const key = random();
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(file, key, { mode: 0o600 });
  } catch {
    // A folder that cannot be written to is the store's trouble, which tells.
  }
  return key;
}
