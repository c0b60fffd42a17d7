import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEventWriter } from '../../src/decisions/event.ts';
import { uuid7 } from '../../src/lib/uuid7.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { type Request, recordOf } from '../decisions/records.ts';

/** Writes segments of the write-ahead log as a serving process does. */
export type WalWriter = {
  /** Name of the segment that is open. */
  readonly segment: () => string;
  /** Decisions; returns their ids. */
  readonly write: (count: number, each?: (i: number) => Decision) => readonly string[];
  readonly writeText: (text: string) => void;
  /** Decisions that were dropped. */
  readonly skip: (count: number, reason?: string) => void;
  readonly seal: () => string;
};

export type Decision = {
  readonly request?: Request;
  readonly record?: Partial<DecisionRecord>;
  readonly subject?: string;
  readonly timeMs?: number;
  readonly latencyMs?: number;
};

const toEvent = createEventWriter({ id: 'test', version: '0' });

/** One line of a segment, with its end. */
export function lineOf(seq: number, decision: Decision, nowMs: number): { readonly id: string; readonly line: string } {
  const { request = {}, record = {}, subject, latencyMs = 0.5 } = decision;
  const timeMs = decision.timeMs ?? nowMs;
  const id = record.decisionId ?? uuid7(Math.floor(timeMs));
  const event = toEvent(
    recordOf(
      request,
      {
        timings: { identityMs: latencyMs / 5, inputMs: 0.01, evaluationMs: latencyMs / 2, totalMs: latencyMs },
        ...record,
        timeMs,
        decisionId: id,
      },
      subject === undefined
        ? undefined
        : { authenticated: true, issuer: 'https://idp.test/', subject, claims: { tenant: 'acme' } },
    ),
  );
  return { id, line: `${event?.slice(0, -1)},"seq":${seq}}\n` };
}

export type WalWriterOptions = {
  readonly token?: string;
  readonly nowMs?: number;
  /** Whether it is known that the writer lives; so unless told otherwise. */
  readonly marked?: boolean;
};

export function walWriter(folder: string, options: WalWriterOptions = {}): WalWriter {
  const { token = 'a1b2c3d4', marked = true } = options;
  const wal = join(folder, 'wal');
  mkdirSync(wal, { recursive: true, mode: 0o700 });
  if (marked) writeFileSync(join(wal, `${token}.alive`), JSON.stringify({ pid: process.pid }));
  let sequence = 0;
  let seq = 0;
  let current: string | undefined;
  const now = (): number => options.nowMs ?? Date.now();

  function segment(): string {
    if (current === undefined) {
      current = `${String(Math.floor(now())).padStart(13, '0')}-${token}-${String(++sequence).padStart(6, '0')}`;
      writeFileSync(join(wal, `${current}.ndjson.open`), '', { mode: 0o600 });
    }
    return current;
  }

  const writeText = (text: string): void => appendFileSync(join(wal, `${segment()}.ndjson.open`), text);

  return {
    segment,
    writeText,
    write: (count, each = () => ({})) => {
      const made = Array.from({ length: count }, (_, i) => lineOf(++seq, each(i), now()));
      writeText(made.map(({ line }) => line).join(''));
      return made.map(({ id }) => id);
    },
    skip: (count, reason = 'overflow') => {
      const at = `${new Date(now()).toISOString().slice(0, -1)}000000Z`;
      const gap = { from_seq: seq + 1, to_seq: seq + count, count, reason, from: at, to: at };
      seq += count;
      writeText(`${JSON.stringify({ gap })}\n`);
    },
    seal: () => {
      const name = segment();
      renameSync(join(wal, `${name}.ndjson.open`), join(wal, `${name}.ndjson`));
      current = undefined;
      return name;
    },
  };
}
