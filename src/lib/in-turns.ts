import { createHash, type Hash } from 'node:crypto';

const SLICE_BYTES = 65_536;
const TURN_MS = 0.25;

/**
 * Works through many bytes, letting others have their turn each quarter of a millisecond. Memory that nobody has touched
 * yet costs far more than the work, and not the same everywhere, so that the clock decides and not the size.
 */
async function inTurns(parts: Iterable<Uint8Array>, work: (slice: Uint8Array, at: number) => void): Promise<void> {
  let began = performance.now();
  let at = 0;
  for (const part of parts) {
    for (let from = 0; from < part.length; from += SLICE_BYTES) {
      const slice = part.subarray(from, from + SLICE_BYTES);
      work(slice, at);
      at += slice.length;
      if (performance.now() - began < TURN_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
    }
  }
}

export const copyInTurns = (from: Uint8Array, to: Uint8Array): Promise<void> =>
  inTurns([from], (slice, at) => to.set(slice, at));

/** `size` bytes of parts, one behind the other. */
export async function joinInTurns(parts: Iterable<Uint8Array>, size: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(size);
  await inTurns(parts, (slice, at) => whole.set(slice, at));
  return whole;
}

export const hashInTurns = (hash: Hash, parts: Iterable<Uint8Array>): Promise<void> =>
  inTurns(parts, (slice) => void hash.update(slice));

/** A digest in hexadecimal digits. */
export async function digestInTurns(bytes: Uint8Array, algorithm = 'sha256'): Promise<string> {
  const hash = createHash(algorithm);
  await hashInTurns(hash, [bytes]);
  return hash.digest('hex');
}
