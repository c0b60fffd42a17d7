import { readdirSync, readFileSync } from 'node:fs';

/** Of the clock that /proc counts with, USER_HZ. */
const MICROS_PER_TICK = 10_000;

/** A process and what it has (proc(5), /proc/PID/status). */
export type ProcessUse = {
  readonly pid: number;
  readonly rssBytes: number;
  readonly threads: number;
  readonly files: number;
};

type Status = { readonly pid: number; readonly parent: number; readonly rssBytes: number; readonly threads: number };

function statusOf(pid: number): Status | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { pid, parent: field('PPid'), rssBytes: field('VmRSS') * 1024, threads: field('Threads') };
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}

function filesOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** A process and all its descendants; the first is the process itself. */
export function treeOf(root: number): readonly ProcessUse[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statusOf(Number(name)) ?? []);
  const withDescendants = (status: Status): readonly Status[] => [
    status,
    ...all.filter(({ parent }) => parent === status.pid).flatMap(withDescendants),
  ];
  return all
    .filter(({ pid }) => pid === root)
    .flatMap(withDescendants)
    .map(({ pid, rssBytes, threads }) => ({ pid, rssBytes, threads, files: filesOf(pid) }));
}

export const sumOf = (tree: readonly ProcessUse[], what: 'rssBytes' | 'threads' | 'files'): number =>
  tree.reduce((sum, use) => sum + use[what], 0);

/** The value of a metric in a Prometheus exposition, the sum over its labels; 0 when it is not there. */
export async function metricOf(diagnostic: string, name: string): Promise<number> {
  const text = await (await fetch(`http://${diagnostic}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** CPU time (user and system) that a process has used, µs (proc(5), /proc/PID/stat); 0 when it is gone. */
export function cpuMicros(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
  } catch {
    return 0;
  }
}

/** What `task` gives, and the CPU time that a process and its descendants took meanwhile, µs each; the first is the process itself. */
export async function cpuDuring<T>(root: number, task: () => Promise<T>): Promise<readonly [T, readonly number[]]> {
  const pids = treeOf(root).map(({ pid }) => pid);
  const before = pids.map(cpuMicros);
  const result = await task();
  // One that has ended meanwhile has none.
  return [result, pids.map((pid, i) => Math.max(0, cpuMicros(pid) - (before[i] ?? 0)))];
}
