import { joinInTurns } from './in-turns.ts';

/** What is put together at once, bytes. */
const SMALL_BYTES = 1_048_576;

/** A body was longer than the caller allowed. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

/** Reads a stream to its end, refusing more than `limit` bytes (counted on what arrives, not on what was announced). */
export async function readBounded(chunks: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.byteLength;
    if (size > limit) throw new BodyTooLarge(`more than ${limit} bytes`);
    parts.push(chunk);
  }
  return size <= SMALL_BYTES ? Buffer.concat(parts, size) : joinInTurns(parts, size);
}
