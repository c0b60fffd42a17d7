import { open, rename, stat } from 'node:fs/promises';
import { syncFolder } from '../../lib/sync-folder.ts';
import { livenessOf } from './liveness.ts';
import { openFile, type SegmentFile, sealedFile, tokenOf } from './segment.ts';

/** A segment that nobody has written to for so long, and whose process says nothing of itself, is given up, ms. */
const ABANDONED_MS = 15_000;

/** Whether nobody writes to an open segment any more. */
export async function isAbandoned(folder: string, { name, file }: SegmentFile, wallMs: number): Promise<boolean> {
  const liveness = await livenessOf(folder, tokenOf(name));
  if (liveness === 'alive') return false;
  return liveness === 'gone' || wallMs - (await stat(file)).mtimeMs >= ABANDONED_MS;
}

/** Seals a segment in place of the process that wrote it. `bytes`: what its complete lines take; `isTorn`: there is more. */
export async function sealAbandoned(folder: string, name: string, bytes: number, isTorn: boolean): Promise<void> {
  const handle = await open(openFile(folder, name), 'r+');
  try {
    if (isTorn) await handle.truncate(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(openFile(folder, name), sealedFile(folder, name));
  await syncFolder(folder);
}
