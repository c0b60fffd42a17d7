import { open } from 'node:fs/promises';

const PART_BYTES = 1_048_576;
/** A line that is longer ends the reading of its segment. */
const MAX_LINE_BYTES = 33_554_432;
const NEWLINE = 0x0a;

export type Reading = {
  /** Complete lines, without their ends. */
  readonly lines: readonly string[];
  /** Where to go on. */
  readonly offset: number;
  /** There is nothing complete after this, now. */
  readonly end: boolean;
  /** Bytes of a line that has no end yet. */
  readonly torn: number;
};

/** Reads what is complete from `offset` on, a part of the file at a time. */
export async function readLines(file: string, offset: number): Promise<Reading> {
  const handle = await open(file, 'r');
  try {
    for (let size = PART_BYTES; ; size *= 2) {
      const buffer = Buffer.allocUnsafe(size);
      let filled = 0;
      while (filled < size) {
        const { bytesRead } = await handle.read(buffer, filled, size - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      const last = buffer.subarray(0, filled).lastIndexOf(NEWLINE);
      const end = filled < size;
      if (last >= 0) {
        const lines = buffer.toString('utf8', 0, last).split('\n');
        return { lines, offset: offset + last + 1, end, torn: end ? filled - last - 1 : 0 };
      }
      if (end) return { lines: [], offset, end, torn: filled };
      if (size >= MAX_LINE_BYTES) throw new Error('it has a line without an end');
    }
  } finally {
    await handle.close();
  }
}
