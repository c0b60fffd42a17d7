import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../lib/message.ts';
import { createWasmInstance } from './engine/wasm.ts';
import type { ProbeReport, ProbeTask } from './probe.ts';
import { prepareSnapshot } from './snapshot.ts';

const { source, path, limits } = workerData as ProbeTask;
let report: ProbeReport = { problem: undefined };
try {
  await prepareSnapshot(source, path, createWasmInstance, limits);
} catch (error) {
  report = { problem: messageOf(error) };
}
parentPort?.postMessage(report);
