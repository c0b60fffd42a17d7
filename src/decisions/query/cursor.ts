import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Position } from './list.ts';

const MAC_BYTES = 16;
const SHAPE = /^[A-Za-z0-9_-]{24,4096}$/;

/** Where a page ended, in a form that only we can make, and only for the same question. */
export type Cursors = {
  readonly write: (position: Position, question: string) => string;
  /** Undefined when it was not made here, or for another question. */
  readonly read: (cursor: string, question: string) => Position | undefined;
};

export function createCursors(key: Uint8Array): Cursors {
  const macOf = (payload: Uint8Array, question: string): Buffer =>
    createHmac('sha256', key)
      .update(createHash('sha256').update(question).digest())
      .update(payload)
      .digest()
      .subarray(0, MAC_BYTES);
  return {
    write: ({ time, id }, question) => {
      const payload = Buffer.from(JSON.stringify([time, id]));
      return Buffer.concat([macOf(payload, question), payload]).toString('base64url');
    },
    read: (cursor, question) => {
      if (!SHAPE.test(cursor)) return undefined;
      const bytes = Buffer.from(cursor, 'base64url');
      // One spelling only.
      if (bytes.toString('base64url') !== cursor || bytes.length <= MAC_BYTES) return undefined;
      const payload = bytes.subarray(MAC_BYTES);
      if (!timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(payload, question))) return undefined;
      const [time, id] = JSON.parse(payload.toString()) as [number, string];
      return { time, id };
    },
  };
}
