import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../lib/message.ts';
import type { Evaluation, Snapshot } from '../model/evaluation.ts';
import { stringify } from '../values/json.ts';
import { inspectModule } from './admission.ts';
import { createWasmInstance } from './engine/wasm.ts';
import type { LaneAnswer, LaneQuestion, LaneReport, LaneTask } from './lane.ts';
import { prepareSnapshot } from './snapshot.ts';

const NICE = 10;
const { source, path, limits } = workerData as LaneTask;

function textOf(evaluation: Evaluation): LaneAnswer {
  return evaluation.ok ? { ok: true, results: stringify(evaluation.results) } : evaluation;
}

function serve(snapshot: Snapshot): void {
  parentPort?.on('message', async ({ path: asked, input }: LaneQuestion) => {
    parentPort?.postMessage(textOf(await snapshot.evaluate(asked, input)));
  });
}

async function problemsOf(): Promise<readonly string[]> {
  const reports = await Promise.all(source.modules.map((module) => inspectModule(module, limits.memoryBytes)));
  return reports.flatMap(({ path: module, problems }) => problems.map((problem) => `${module}: ${problem}`));
}

async function start(): Promise<LaneReport> {
  const problems = await problemsOf();
  if (problems.length > 0) return { problem: problems.join('; ') };
  const snapshot = await prepareSnapshot(source, path, (wasm, data) =>
    // One that came and went with every question would keep the process busy with its memory.
    createWasmInstance(wasm, data, { ...limits, staysLarge: true }),
  );
  // On Linux this is the thread's own priority: long evaluations get what the short ones leave.
  setPriority(NICE);
  serve(snapshot);
  return { memoryBytes: snapshot.memoryBytes() };
}

const report = await start().catch((error: unknown): LaneReport => ({ problem: messageOf(error) }));
parentPort?.postMessage(report);
