import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../../lib/replace-file.ts';
import { isSegmentName } from './segment.ts';

/*
 * How far those have come who read the write-ahead log beside the store: each has a file `cursors/NAME.json`, made before
 * it reads anything. Several processes write segments at the same time, so that no single place says what was read:
 * there is one for each segment.
 */

/** Bytes of each segment that are done with; of one that is not named, none. */
export type Positions = ReadonlyMap<string, number>;

const fileOf = (folder: string, reader: string): string => join(folder, `${reader}.json`);

/** Whether everybody who reads the write-ahead log is done with a segment of so many bytes. */
export async function passedBy(folder: string): Promise<(segment: string, bytes: number) => boolean> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
  const readers = await Promise.all(names.map((name) => positionsIn(join(folder, name))));
  return (segment, bytes) => readers.every((positions) => (positions?.get(segment) ?? -1) >= bytes);
}

/** Where a reader goes on; from the beginning, where what it has written cannot be read. */
export const readPositions = async (folder: string, reader: string): Promise<Positions> =>
  (await positionsIn(fileOf(folder, reader))) ?? new Map<string, number>();

/** Resolves when it is on the disk. */
export async function writePositions(folder: string, reader: string, positions: Positions): Promise<void> {
  const text = `${JSON.stringify({ segments: Object.fromEntries(positions) })}\n`;
  await replaceFile(fileOf(folder, reader), Buffer.from(text), 0o600);
}

/** From now on nothing is removed that this reader is not done with. Not while it writes. */
export async function addReader(folder: string, reader: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Of a process that was killed while it wrote.
  for (const name of await readdir(folder)) {
    if (name.startsWith(`${reader}.json.`)) await rm(join(folder, name), { force: true });
  }
  if ((await positionsIn(fileOf(folder, reader))) === undefined) await writePositions(folder, reader, new Map());
}

/** Nothing waits for this reader any more. */
export const removeReader = (folder: string, reader: string): Promise<void> =>
  rm(fileOf(folder, reader), { force: true });

/** Undefined when it cannot be read: then it is done with nothing. */
async function positionsIn(file: string): Promise<Positions | undefined> {
  try {
    const { segments } = JSON.parse(await readFile(file, 'utf8')) as { readonly segments: object };
    const entries = Object.entries(segments) as [string, unknown][];
    const isSound = (entry: [string, unknown]): entry is [string, number] =>
      isSegmentName(entry[0]) && Number.isSafeInteger(entry[1]);
    return entries.every(isSound) ? new Map(entries) : undefined;
  } catch {
    return undefined;
  }
}
