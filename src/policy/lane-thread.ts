import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../lib/message.ts';
import type { Evaluation, Snapshot } from '../model/evaluation.ts';
import { stringify } from '../values/json.ts';
import { createWasmInstance } from './engine/wasm.ts';
import type { LaneAnswer, LaneQuestion, LaneReport, LaneTask } from './lane.ts';
import { prepareSnapshot } from './snapshot.ts';

const { source, path, limits } = workerData as LaneTask;

function textOf(evaluation: Evaluation): LaneAnswer {
  return evaluation.ok ? { ok: true, results: stringify(evaluation.results) } : evaluation;
}

function serve(snapshot: Snapshot): void {
  parentPort?.on('message', async ({ path: asked, input }: LaneQuestion) => {
    parentPort?.postMessage(textOf(await snapshot.evaluate(asked, input)));
  });
}

let report: LaneReport = { problem: undefined };
try {
  serve(await prepareSnapshot(source, path, (wasm, data) => createWasmInstance(wasm, data, limits)));
} catch (error) {
  report = { problem: messageOf(error) };
}
parentPort?.postMessage(report);
