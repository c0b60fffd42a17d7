import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { EngineError, type EngineLimits } from './engine/engine.ts';
import type { SnapshotSource } from './snapshot.ts';

export type ProbeTask = { readonly source: SnapshotSource; readonly path: string; readonly limits: EngineLimits };
/** What the thread says: nothing is wrong, or what is. */
export type ProbeReport = { readonly problem: string | undefined };

/**
 * Compiles a policy, loads its data and asks it once in a thread of its own, so that one that never comes to an end
 * stops that thread and not this one. Rejects with EngineError.
 */
export async function probe(task: ProbeTask, timeoutMs: number): Promise<void> {
  // The sources run as .ts, what is built as .js.
  const file = new URL(`./probe-thread${extname(import.meta.url)}`, import.meta.url);
  const thread = new Worker(file, { workerData: task });
  let timer: NodeJS.Timeout | undefined;
  try {
    const { problem } = await new Promise<ProbeReport>((resolve) => {
      timer = setTimeout(() => resolve({ problem: `it does not answer within ${timeoutMs} ms` }), timeoutMs);
      thread.once('message', resolve);
      thread.once('error', (error: Error) => resolve({ problem: error.message }));
      thread.once('exit', () => resolve({ problem: 'its thread ended' }));
    });
    if (problem !== undefined) throw new EngineError(problem);
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}
