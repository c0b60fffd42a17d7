import type { Routes } from '../route.ts';
import type { Row } from './columns.ts';
import { membersOf } from './top-level.ts';

/** Decisions that a process did not write down. */
export type Gap = {
  readonly process: string;
  readonly from_seq: number;
  readonly to_seq: number;
  readonly count: number;
  readonly reason: string;
  readonly from: string;
  readonly to: string;
};

export type Line =
  | { readonly kind: 'row'; readonly row: Row }
  | { readonly kind: 'gap'; readonly gap: Gap }
  /** Torn, or written by somebody else. */
  | { readonly kind: 'unreadable' };

type Tree = { readonly [key: string]: unknown };
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Longer texts are cut in their columns; the event keeps them. */
const MAX_TEXT = 2048;
/** A text may hold half of a surrogate pair, which is no JSON for others (RFC 8259 section 8.2). */
const SURROGATE = /\\u[dD][89a-fA-F]/;
const NANOS = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** One line of a segment. `segment`: whose it is, and its creation, ms, for events without a time. */
export function readLine(
  text: string,
  segment: { readonly process: string; readonly createdMs: number },
  routes: Routes,
): Line {
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    return { kind: 'unreadable' };
  }
  if (!isTree(event)) return { kind: 'unreadable' };
  if (isTree(event['gap'])) return { kind: 'gap', gap: gapOf(event['gap'], segment.process) };
  return { kind: 'row', row: rowOf(event, wellFormed(text), segment, routes) };
}

/** With U+FFFD for halves of surrogate pairs that are written as escapes. */
function wellFormed(text: string): string {
  if (!SURROGATE.test(text)) return text;
  return text.replace(
    /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)/gs,
    (all, lone: string | undefined) => (lone === undefined ? all : '\\ufffd'),
  );
}

function gapOf(gap: Tree, process: string): Gap {
  const count = whole(gap['count']) ?? 0;
  const from = whole(gap['from_seq']) ?? 0;
  return {
    process,
    from_seq: from,
    to_seq: whole(gap['to_seq']) ?? from,
    count,
    reason: (string(gap['reason']) ?? 'unknown').slice(0, 64),
    from: (string(gap['from']) ?? '').slice(0, 40),
    to: (string(gap['to']) ?? '').slice(0, 40),
  };
}

function rowOf(
  event: Tree,
  text: string,
  segment: { readonly process: string; readonly createdMs: number },
  routes: Routes,
): Row {
  const { kept, input, result } = partsOf(text);
  const custom = branch(event, 'custom');
  const phases = branch(custom, 'phases');
  const identity = branch(event, 'input', 'identity');
  const outcome = string(custom['outcome']);
  const path = bare(string(custom['path']) ?? string(branch(event, 'input', 'attributes', 'request', 'http')['path']));
  const claims = branch(identity, 'claims');
  return {
    time: microsOf(event['timestamp']) ?? segment.createdMs * 1000,
    decision_id: column(event['decision_id']) ?? '',
    outcome: column(outcome),
    reason: column(custom['reason']),
    http_status: small(custom['http_status']),
    method: column(custom['method']),
    host: column(custom['host']),
    path: column(path),
    route: column(custom['route']) ?? (path === null ? null : routes.routeOf(path, outcome === 'allow')),
    subject: column(custom['subject']),
    issuer: column(custom['issuer']),
    tenant: column(custom['tenant'] ?? claims['tenant']),
    spiffe_id: column(custom['spiffe_id'] ?? branch(identity, 'workload')['spiffe_id']),
    client_ip: column(custom['client_ip']),
    entrypoint: column(event['path']),
    revision: column(revisionOf(branch(event, 'bundles'))),
    latency_us: whole(phases['total_us']),
    identity_us: whole(phases['identity_us']),
    eval_us: whole(phases['eval_us']),
    trace_id: column(event['trace_id']),
    input,
    result,
    process: segment.process,
    seq: whole(event['seq']),
    rest: `{${kept.join(',')}}`,
  };
}

/** What is written under `input` and `result`, and the rest without them and without `seq`. */
function partsOf(text: string): { kept: readonly string[]; input: string | null; result: string | null } {
  let input: string | null = null;
  let result: string | null = null;
  const kept: string[] = [];
  for (const { key, whole: member, value } of membersOf(text)) {
    if (key === 'input') input = value;
    else if (key === 'result') result = value;
    else if (key !== 'seq') kept.push(member);
  }
  return { kept, input, result };
}

function branch(tree: Tree, ...keys: readonly string[]): Tree {
  let value: unknown = tree;
  for (const key of keys) value = isTree(value) ? value[key] : undefined;
  return isTree(value) ? value : {};
}

const string = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const column = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' ? value.slice(0, MAX_TEXT).toWellFormed().replaceAll('\0', '\ufffd') : null;
const whole = (value: unknown): number | null => (Number.isSafeInteger(value) ? Number(value) : null);
const small = (value: unknown): number | null => {
  const number = whole(value);
  return number !== null && Math.abs(number) < 1_000_000 ? number : null;
};

const bare = (target: string | null): string | null =>
  target === null ? null : (target.split(/[?#]/, 1)[0] ?? '') || '/';

/** One bundle: its revision. Several: each with its name. */
function revisionOf(bundles: Tree): string {
  const revisions = Object.entries(bundles).map(
    ([name, bundle]) => [name, isTree(bundle) ? (string(bundle['revision']) ?? '') : ''] as const,
  );
  if (revisions.length === 1) return revisions[0]?.[1] ?? '';
  return revisions
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, revision]) => `${name}=${revision}`)
    .join(',');
}

/** RFC 3339 with up to nine digits of a second; µs since the epoch. */
function microsOf(value: unknown): number | null {
  const [, seconds, fraction = '', zone] = NANOS.exec(string(value) ?? '') ?? [];
  const ms = Date.parse(`${seconds}${zone}`);
  return Number.isNaN(ms) ? null : ms * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6));
}
