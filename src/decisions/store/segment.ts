import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** ms of its creation, the token of its process, its number there. */
const SEGMENT = /^([0-9]{13})-([0-9a-f]{8})-[0-9]{6}$/;
/** A file of decisions: of one segment, or of several, then with digits that tell it from that of the first. */
const STORED = /^[0-9]{13}-[0-9a-f]{8}-[0-9]{6}(?:\+[0-9a-f]{12})?$/;
const FILE = /^([0-9]{13}-[0-9a-f]{8}-[0-9]{6})\.ndjson(\.open)?$/;

/** A file of the write-ahead log, by its name alone. */
export type SegmentFile = {
  readonly name: string;
  readonly file: string;
  /** Still written to, as far as its name tells. */
  readonly open: boolean;
};

export const isSegmentName = (name: string): boolean => SEGMENT.test(name);
export const isStoredName = (name: string): boolean => STORED.test(name);
/** When it, or the first of several, was created, ms since the epoch. */
export const createdAt = (name: string): number => Number(name.slice(0, 13));
/** The token of the process that wrote it. */
export const tokenOf = (name: string): string => SEGMENT.exec(name)?.[2] ?? '';

export const sealedFile = (folder: string, name: string): string => join(folder, `${name}.ndjson`);
export const openFile = (folder: string, name: string): string => `${sealedFile(folder, name)}.open`;

/** The segments of a folder, oldest first; what else is there is nobody's business here. */
export async function listSegments(folder: string): Promise<readonly SegmentFile[]> {
  const found = new Map<string, SegmentFile>();
  for (const entry of await readdir(folder)) {
    const [, name, suffix] = FILE.exec(entry) ?? [];
    if (name === undefined) continue;
    const open = suffix !== undefined;
    // A rename while the folder is read may show both.
    if (open && found.has(name)) continue;
    found.set(name, { name, file: join(folder, entry), open });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
