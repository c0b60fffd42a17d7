import { messageOf } from '../../lib/message.ts';
import type { UploadFailure, UploadLoss, UploadProblem } from '../../telemetry/upload-metrics.ts';
import { type Chunk, packChunk, packWithoutCache } from './chunk.ts';
import type { Event } from './event.ts';

export type SenderParts = {
  /** Largest body of a request, bytes. */
  readonly limit: number;
  /** Resolves with the status of the answer; rejects when there is none. */
  readonly post: (body: Buffer) => Promise<number>;
  readonly onTaken: (decisions: number, stripped: number) => void;
  readonly onFailed: (kind: UploadFailure, problem: UploadProblem) => void;
  readonly onLost: (reason: UploadLoss, event: Event) => void;
};

/** Sends decisions in requests as large as they may be. */
export type Sender = {
  /** About how many characters of decisions make a full request. */
  readonly fullLength: () => number;
  /** How many times smaller decisions have become when they were sent. */
  readonly ratio: () => number;
  /** Sends the first of these; resolves with how many are done with, 0 when the request failed. */
  readonly send: (events: readonly Event[]) => Promise<number>;
};

/** Of one request, before it is compressed: a bound of memory. */
const MAX_LENGTH = 8_388_608;
/** What is believed of compression before anything was sent: characters and bytes. */
const SENT = { length: 524_288, bytes: 65_536 } as const;
const FILLING = 0.95;
const GROWTH = 1.1;
const TOO_LARGE = 413;

export function createSender(parts: SenderParts): Sender {
  /** What the service has not found too large; grows again, since its limit may. */
  let goal = parts.limit;
  /** Of the last request. It grows step by step, as one decision that compresses very well says little of those to come. */
  let ratio = 1;
  const sent = { ...SENT } as { length: number; bytes: number };

  // OPA's first request holds what fits uncompressed, too.
  const fullLength = (): number => Math.max(1, Math.min(MAX_LENGTH, goal * ratio * FILLING));

  async function send(events: readonly Event[]): Promise<number> {
    const texts = firstOf(events, fullLength());
    let chunk = await packChunk(texts, goal, parts.limit);
    for (;;) {
      if (chunk.body === undefined) return lose(events, 'too_large');
      const status = await post(chunk.body);
      if (status === undefined) return 0;
      if (status >= 200 && status < 300) return taken(chunk, chunk.body);
      if (status !== TOO_LARGE) {
        parts.onFailed(kindOf(status), { message: `the service answered ${status}`, status });
        return 0;
      }
      if (chunk.count > 1) {
        goal = Math.max(1, Math.floor(chunk.body.length / 2));
        chunk = await packChunk(texts.slice(0, Math.ceil(chunk.count / 2)), goal, parts.limit);
        continue;
      }
      if (chunk.stripped) return lose(events, 'refused');
      chunk = await packWithoutCache(texts[0] ?? '', parts.limit);
      if (chunk.body === undefined) return lose(events, 'refused');
    }
  }

  async function post(body: Buffer): Promise<number | undefined> {
    try {
      return await parts.post(body);
    } catch (error) {
      parts.onFailed('connection', { message: messageOf(error) });
      return undefined;
    }
  }

  function taken({ count, length, stripped }: Chunk, body: Buffer): number {
    goal = Math.min(parts.limit, Math.ceil(goal * GROWTH));
    ratio = Math.min(length / body.length, 2 * Math.max(1, ratio));
    sent.length += length;
    sent.bytes += body.length;
    parts.onTaken(count, Number(stripped));
    return count;
  }

  function lose([first]: readonly Event[], reason: UploadLoss): number {
    if (first !== undefined) parts.onLost(reason, first);
    return 1;
  }

  return { fullLength, ratio: () => sent.length / sent.bytes, send };
}

/** As many as have so many characters; one at least. */
function firstOf(events: readonly Event[], length: number): readonly string[] {
  const texts: string[] = [];
  let sum = 0;
  for (const { text } of events) {
    sum += text.length;
    if (sum > length && texts.length > 0) break;
    texts.push(text);
  }
  return texts;
}

const kindOf = (status: number): UploadFailure => (status >= 500 ? 'server' : status >= 400 ? 'refused' : 'other');
