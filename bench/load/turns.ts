/*
 * Loaded into the server before everything else (`--import`): writes down how much CPU time its serving thread takes
 * between two turns of the event loop where that is a lot, and how long collections of garbage take. CPU time, because on
 * a machine that others use as well a thread may not run for a while and be blocked by nothing.
 */
import { appendFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** What is written down, ms. */
const MANY_MS = 3;
const file = process.env['BENCH_TURNS_FILE'];

if (isMainThread && file !== undefined) {
  const write = (what: string, ms: number): void => appendFileSync(file, `${Date.now()} ${what} ${ms.toFixed(2)}\n`);
  let before = process.threadCpuUsage();
  setInterval(() => {
    const { user, system } = process.threadCpuUsage(before);
    if (user + system > MANY_MS * 1000) write('turn', (user + system) / 1000);
    before = process.threadCpuUsage();
  }, 1).unref();
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) if (duration > MANY_MS) write('gc', duration);
  }).observe({ entryTypes: ['gc'] });
}
