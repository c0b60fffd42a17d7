import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSegmentName } from './segment.ts';

type Position = { readonly segment: string; readonly line: number };

/**
 * Whether everybody who reads the write-ahead log has read a segment of so many lines. Each has a file
 * `cursors/NAME.json` with the segment and the line that it has come to; segments are read in the order of their names.
 */
export async function passedBy(folder: string): Promise<(segment: string, lines: number) => boolean> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
  const positions = await Promise.all(names.map((name) => positionIn(join(folder, name))));
  return (segment, lines) =>
    positions.every(
      (position) =>
        position !== undefined &&
        (segment < position.segment || (segment === position.segment && position.line >= lines)),
    );
}

/** Undefined when it cannot be read: then it has passed nothing. */
async function positionIn(file: string): Promise<Position | undefined> {
  try {
    const { segment, line } = JSON.parse(await readFile(file, 'utf8')) as Position;
    return isSegmentName(segment) && Number.isSafeInteger(line) ? { segment, line } : undefined;
  } catch {
    return undefined;
  }
}
