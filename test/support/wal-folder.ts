import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

type Gap = { readonly from_seq: number; readonly to_seq: number; readonly count: number; readonly reason: string };
type Entry = { readonly seq: number; readonly decision_id: string; readonly [key: string]: unknown };

export type WalContent = {
  /** Names in the order of the segments. */
  readonly names: readonly string[];
  readonly events: readonly Entry[];
  readonly gaps: readonly Gap[];
  /** Last lines without an end. */
  readonly torn: number;
};

/** What the segments below `folder` hold. Throws when a whole line is no JSON. */
export function readWal(folder: string): WalContent {
  const wal = join(folder, 'wal');
  const names = readdirSync(wal)
    .filter((name) => !name.endsWith('.alive'))
    .sort();
  const texts = names.map((name) => readFileSync(join(wal, name), 'utf8'));
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1));
  const entries = lines.map((line) => JSON.parse(line) as Entry | { readonly gap: Gap });
  return {
    names,
    events: entries.filter((entry): entry is Entry => !('gap' in entry)),
    gaps: entries.flatMap((entry) => ('gap' in entry ? [entry.gap as Gap] : [])),
    torn: texts.filter((text) => text !== '' && !text.endsWith('\n')).length,
  };
}

/** The numbers that the content accounts for, decisions and gaps together, in order. */
export function numbersOf({ events, gaps }: Pick<WalContent, 'events' | 'gaps'>): readonly number[] {
  const missing = gaps.flatMap(({ from_seq, count }) => Array.from({ length: count }, (_, i) => from_seq + i));
  return [...events.map(({ seq }) => seq), ...missing].sort((a, b) => a - b);
}

export type Kept = { readonly id: string; readonly process: string; readonly seq: number };

/** Decisions that a running server has kept since a time (RFC 3339). Rejects when it cannot tell all of them. */
export async function keptIn(server: { readonly api: string }, since: string): Promise<readonly Kept[]> {
  const sql = `SELECT decision_id, process, seq FROM decisions WHERE time >= TIMESTAMPTZ '${since}'`;
  const response = await fetch(`http://${server.api}/v1/decisions/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  const { rows, truncated } = JSON.parse(text) as { rows: [string, string, number][]; truncated: boolean };
  if (truncated) throw new Error('there are more');
  return rows.map(([id, process, seq]) => ({ id, process, seq: Number(seq) }));
}
