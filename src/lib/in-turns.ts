import { createHash } from 'node:crypto';

const SLICE_BYTES = 65_536;
const TURN_MS = 1;

/**
 * Works through many bytes, letting others have their turn each millisecond. Memory that nobody has touched yet costs
 * far more than the work, and not the same everywhere, so that the clock decides and not the size.
 */
async function inTurns(bytes: Uint8Array, work: (slice: Uint8Array, at: number) => void): Promise<void> {
  let began = performance.now();
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    work(bytes.subarray(at, at + SLICE_BYTES), at);
    if (performance.now() - began < TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    began = performance.now();
  }
}

export const copyInTurns = (from: Uint8Array, to: Uint8Array): Promise<void> =>
  inTurns(from, (slice, at) => to.set(slice, at));

/** SHA-256, in hexadecimal digits. */
export async function digestInTurns(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  await inTurns(bytes, (slice) => hash.update(slice));
  return hash.digest('hex');
}
