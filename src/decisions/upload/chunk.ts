import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { withoutCache } from './event.ts';

/** The body of a request: a JSON array of decisions, compressed. */
export type Chunk = {
  /** Undefined when the one decision that it would be does not fit. */
  readonly body: Buffer | undefined;
  /** Decisions, from the first, that are in it or do not fit. */
  readonly count: number;
  /** Size of the decisions that are in it, characters. */
  readonly length: number;
  /** The decision that it is lost `nd_builtin_cache`. */
  readonly stripped: boolean;
};

const compress = promisify(gzip);
const bodyOf = (texts: readonly string[]): Promise<Buffer> => compress(`[${texts.join(',')}]`);
/** How much of the space a new try takes, by what the last one says. */
const SAFETY = 0.9;

/**
 * A chunk of the first of the decisions (JSON texts, one at least), as many as fit into `goal` bytes; of one alone, up to
 * `limit`. One that is too large for that loses what it can lose first.
 */
export async function packChunk(texts: readonly string[], goal: number, limit: number): Promise<Chunk> {
  let count = texts.length;
  for (;;) {
    const part = texts.slice(0, count);
    const body = await bodyOf(part);
    if (body.length <= (count === 1 ? limit : goal)) return { body, count, length: lengthOf(part), stripped: false };
    if (count === 1) return packWithoutCache(part[0] ?? '', limit);
    count = Math.max(1, Math.min(count - 1, Math.floor((count * goal * SAFETY) / body.length)));
  }
}

/** The same of one decision. */
export async function packWithoutCache(text: string, limit: number): Promise<Chunk> {
  const less = withoutCache(text);
  const body = less === undefined ? undefined : await bodyOf([less]);
  const fits = less !== undefined && body !== undefined && body.length <= limit;
  return { body: fits ? body : undefined, count: 1, length: fits ? less.length : text.length, stripped: fits };
}

const lengthOf = (texts: readonly string[]): number => texts.reduce((sum, { length }) => sum + length, 0);
