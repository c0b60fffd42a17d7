import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../lib/message.ts';
import type { Evaluation, Snapshot } from '../model/evaluation.ts';
import { stringify } from '../values/json.ts';
import { reportOf } from './admission.ts';
import type { MemoryImage } from './engine/image.ts';
import { type CompiledModule, compileModule } from './engine/module.ts';
import { createInstance } from './engine/wasm.ts';
import type { LaneAnswer, LaneGift, LaneQuestion, LaneReport, LaneTask } from './lane.ts';
import { prepareSnapshot, shareOf } from './snapshot.ts';

const NICE = 10;
const { modules, data, path, limits } = workerData as LaneTask;

function textOf({ observed, ...evaluation }: Evaluation): LaneAnswer {
  const answer = evaluation.ok ? { ok: true as const, results: stringify(evaluation.results) } : evaluation;
  return observed === undefined ? answer : { ...answer, observed: stringify(observed) };
}

async function start(): Promise<LaneReport> {
  // On Linux this is the thread's own priority: it gets what those who answer leave.
  setPriority(NICE);
  const compiled = await Promise.all(
    modules.map(({ compiled: known, wasm }) => known ?? compileModule(wasm, limits.memoryBytes, path)),
  );
  const problems = compiled.flatMap((each, i) => {
    const module = modules[i];
    return module === undefined ? [] : reportOf(module, each).problems.map((problem) => `${module.path}: ${problem}`);
  });
  if (problems.length > 0) return { problem: problems.join('; ') };
  const load = (each: CompiledModule) =>
    // An instance that came and went with every question would keep the process busy with its memory.
    createInstance(each, data, { ...limits, staysLarge: true });
  const loaded = modules.flatMap((module, i) => {
    const each = compiled[i];
    return each === undefined ? [] : [{ module, compiled: each, instance: load(each) }];
  });
  const images = loaded.map(({ compiled: each, instance }) => ({ compiled: each, image: instance.image() }));
  const snapshot = await prepareSnapshot(
    loaded.map(({ module, instance }) => shareOf(module, instance)),
    path,
  );
  // Asked for when an instance was spoiled; what may have happened to one here must not go with it.
  serve(snapshot, (module) => load(module).image());
  return { memoryBytes: snapshot.memoryBytes(), modules: images };
}

function serve(snapshot: Pick<Snapshot, 'evaluate'>, imageOf: (module: CompiledModule) => MemoryImage): void {
  parentPort?.on('message', async (question: LaneQuestion | LaneGift) => {
    // At once: garbage is not collected where nothing is asked.
    if ('spent' in question) question.spent.transfer(0);
    else if ('module' in question) {
      const image = imageOf(question.module);
      parentPort?.postMessage({ image }, [image.bytes.buffer]);
    } else parentPort?.postMessage(textOf(await snapshot.evaluate(question.path, question.input)));
  });
}

const report = await start().catch((error: unknown): LaneReport => ({ problem: messageOf(error) }));
parentPort?.postMessage(report, 'modules' in report ? report.modules.map(({ image }) => image.bytes.buffer) : []);
