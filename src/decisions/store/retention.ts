import { rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Catalog } from './catalog.ts';
import { removeFiles } from './merge.ts';
import type { StoredFile } from './parquet.ts';

const HOUR_US = 3_600_000_000;

/** Files that go: those whose youngest decision is too old, and the oldest while all together are too large. */
export function expired(
  files: readonly StoredFile[],
  limits: { readonly hours: number; readonly maxBytes: number },
  nowUs: number,
): readonly StoredFile[] {
  const oldestFirst = [...files].sort((a, b) => a.max - b.max);
  let bytes = oldestFirst.reduce((sum, file) => sum + file.bytes, 0);
  return oldestFirst.filter((file) => {
    const goes = file.max < nowUs - limits.hours * HOUR_US || bytes > limits.maxBytes;
    if (goes) bytes -= file.bytes;
    return goes;
  });
}

export function removeExpired(catalog: Catalog, gone: readonly StoredFile[]): void {
  if (gone.length === 0) return;
  catalog.replace({
    files: gone,
    clear: async () => {
      await removeFiles(gone);
      for (const folder of new Set(gone.map(({ file }) => dirname(file)))) {
        // Empty hours and dates go along; others refuse.
        await rmdir(folder).catch(() => {});
        await rmdir(dirname(folder)).catch(() => {});
      }
    },
  });
}
