import type { Clock } from '../../lib/clock.ts';
import type { UploadLoss } from '../../telemetry/upload-metrics.ts';
import { isAbandoned, sealAbandoned } from '../store/abandoned.ts';
import { removeMarkers } from '../store/liveness.ts';
import { readLines } from '../store/reader.ts';
import { createdAt, type SegmentFile } from '../store/segment.ts';
import type { Outbox } from './outbox.ts';
import type { UploadLimits } from './protocol.ts';

export type UpkeepParts = {
  readonly outbox: Outbox;
  readonly folder: string;
  /** Nobody else looks after the segments. */
  readonly alone: boolean;
  readonly limits: UploadLimits;
  /** How much of what waits the service may be sent, compressed; and how many times smaller that makes it. */
  readonly compressed: { readonly bytes: number | undefined; readonly ratio: () => number };
  readonly clock: Clock;
  readonly onLost: (segments: number, decisions: number, reason: UploadLoss) => void;
  readonly onError: (what: string, error: unknown) => void;
};

const HOUR_MS = 3_600_000;
/** Segments in one turn, each of which is read to count what is lost. */
const MAX_GIVEN_UP = 64;

/** Keeps what waits within its bounds, and the folder in order. Never rejects. */
export function createUpkeep(parts: UpkeepParts): () => Promise<void> {
  const { outbox, folder, limits, compressed, clock, onError } = parts;

  async function seal(): Promise<void> {
    for (const segment of outbox.open()) {
      if (!(await isAbandoned(folder, segment, clock.wallMs()))) continue;
      const { bytes, isTorn } = await completeIn(segment.file);
      await sealAbandoned(folder, segment.name, bytes, isTorn);
    }
    await removeMarkers(folder);
  }

  async function giveUp(): Promise<void> {
    const waiting = outbox.waiting();
    let total = waiting.reduce((sum, { bytes }) => sum + bytes, 0);
    const chosen: { readonly [reason in 'age' | 'size']: SegmentFile[] } = { age: [], size: [] };
    for (const { segment, bytes } of waiting.filter((each) => !each.segment.open).slice(0, MAX_GIVEN_UP)) {
      const isOld = createdAt(segment.name) < clock.wallMs() - limits.hours * HOUR_MS;
      const isMuch =
        total > limits.bytes || total / compressed.ratio() > (compressed.bytes ?? Number.POSITIVE_INFINITY);
      if (!isOld && !isMuch) continue;
      chosen[isOld ? 'age' : 'size'].push(segment);
      total -= bytes;
    }
    for (const reason of ['age', 'size'] as const) {
      if (chosen[reason].length > 0) parts.onLost(chosen[reason].length, await outbox.giveUp(chosen[reason]), reason);
    }
  }

  return async () => {
    try {
      await outbox.look();
      if (parts.alone) await seal();
    } catch (error) {
      // Sealed or removed meanwhile by whoever writes it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onError('looking after the write-ahead log', error);
    }
    await giveUp().catch((error: unknown) => onError('giving decisions up', error));
  };
}

async function completeIn(file: string): Promise<{ readonly bytes: number; readonly isTorn: boolean }> {
  for (let bytes = 0; ; ) {
    const { offset, end, torn } = await readLines(file, bytes);
    if (end) return { bytes: offset, isTorn: torn > 0 };
    bytes = offset;
  }
}
