import { parentPort, workerData } from 'node:worker_threads';

/*
 * A thread that says when it is time, to fractions of a millisecond. Timers of an event loop are up to a millisecond late,
 * as much as the latencies that are to be measured; and turning the loop instead would take a core from the server.
 */

const { everyMs } = workerData as { readonly everyMs: number };
const never = new Int32Array(new SharedArrayBuffer(4));

for (let dueMs = performance.now(); ; dueMs = Math.max(dueMs + everyMs, performance.now() - 100)) {
  const early = dueMs - performance.now();
  if (early > 0) Atomics.wait(never, 0, 0, early);
  parentPort?.postMessage(undefined);
}
