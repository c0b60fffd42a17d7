import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Results } from './row.ts';

/*
 * What the peer took where it was measured last, for runs without it. Machines differ: its CPU is taken as a multiple of
 * what the empty handler took in the same run.
 */

export type RecordedPeer = {
  /** Where and when. */
  readonly note: string;
  /** Per decision, µs: the peer, and the empty handler beside it. */
  readonly cpuMicros: number;
  readonly floorMicros: number;
  /** At 2,000 requests per second, ms: p50, p99, p99.9. */
  readonly latencyMs?: readonly number[];
};

const file = resolve(import.meta.dirname, '../results/peer.json');

export const recordedPeer = (): RecordedPeer => JSON.parse(readFileSync(file, 'utf8')) as RecordedPeer;

/** Keeps what a run with the peer found, in the rows of these names. */
export function recordPeer(
  { sections, date, machine }: Results,
  names: { readonly peer: string; readonly floor: string; readonly latency: string },
): void {
  const figuresOf = (name: string): readonly number[] => {
    const row = sections.flatMap(({ rows }) => rows).find((one) => one.name === name);
    if (row === undefined) throw new Error(`no row named ${name}`);
    return row.figures;
  };
  const peer: RecordedPeer = {
    note: `recorded on ${date}, on ${machine.cores} cores of ${machine.cpu}`,
    cpuMicros: figuresOf(names.peer)[0] ?? Number.NaN,
    floorMicros: figuresOf(names.floor)[0] ?? Number.NaN,
    latencyMs: figuresOf(names.latency),
  };
  writeFileSync(file, `${JSON.stringify(peer, null, 2)}\n`);
}
