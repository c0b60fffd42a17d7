import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Evaluation, EvaluationFailure, Observation } from '../model/evaluation.ts';
import type { Json } from '../model/json.ts';
import { parseExact } from '../values/json.ts';
import type { PolicyModule } from './admission.ts';
import { EngineError, type EngineOptions } from './engine/engine.ts';
import type { MemoryImage } from './engine/image.ts';
import type { CompiledModule } from './engine/module.ts';
import type { LoadedModule } from './engine/wasm.ts';

/*
 * A thread of its own for the evaluations that take long, so that they delay nobody else. It is also where a policy is
 * asked for the first time.
 */

export type LaneTask = {
  /** Those that were compiled before need not be compiled again. */
  readonly modules: readonly (PolicyModule & { readonly compiled?: CompiledModule })[];
  /** All of the data, as JSON text or its UTF-8 bytes. */
  readonly data: string | Uint8Array;
  readonly path: string;
  readonly limits: Pick<EngineOptions, 'memoryBytes' | 'steps' | 'builtinMs'>;
};
type LaneReady = { readonly memoryBytes: number; readonly modules: readonly LoadedModule[] };
/** What the thread says once it is ready: what its instances have for their data and a usual input, or what is wrong. */
export type LaneReport = LaneReady | { readonly problem: string };
/** An evaluation, or what an instance of a module begins with. */
export type LaneQuestion = { readonly path: string; readonly input: string } | { readonly module: CompiledModule };
/** Memory that is not needed any more. */
export type LaneGift = { readonly spent: ArrayBuffer };
/** Results and observations as JSON text, which keeps every digit. */
export type LaneAnswer = { readonly observed?: string } & (
  | { readonly ok: true; readonly results: string }
  | EvaluationFailure
);
type LaneMessage = LaneAnswer | { readonly image: MemoryImage };

export type Lane = {
  /** Answers when its turn has come and `untilMs` (monotonic) has not. Never rejects. */
  readonly evaluate: (path: string, input: string, untilMs: number) => Promise<Evaluation>;
  /** What the policy's instances have there at rest, bytes. */
  readonly memoryBytes: number;
  /** What a new instance of the module begins with. Rejects when the thread cannot tell. */
  readonly imageOf: (module: CompiledModule) => Promise<MemoryImage>;
  /** Takes back an image that was used; giving back memory to the system takes long when it is a lot. */
  readonly takeBack: (image: MemoryImage) => void;
  /** Ends the thread once it is idle. */
  readonly close: () => void;
};

/** Questions that wait for their turn; each may take as long as an evaluation may at most. */
const MAX_WAITING = 32;
/** Longest stay, waiting included, when the caller sets no deadline, ms. */
const MAX_STAY_MS = 2_000;
/** How much the latest evaluation says about the next one. */
const LATEST_SHARE = 0.2;
/** No evaluation takes longer, as steps and built-ins are bounded; a thread that does has a defect, ms. */
const STUCK_MS = 2_000;

type Entry = { readonly question: LaneQuestion; readonly answer: (message: LaneMessage) => void };

const late = (cause: string): EvaluationFailure => ({
  ok: false,
  reason: 'evaluation_timeout',
  cause,
});

/**
 * Starts the thread, which compiles the policy, loads its data and asks it once; `modules` are what it has loaded, for
 * the instances of others. Rejects with EngineError.
 */
export async function openLane(
  task: LaneTask,
  timeoutMs: number,
): Promise<{ readonly lane: Lane; readonly modules: readonly LoadedModule[] }> {
  const first = await startThread(task, timeoutMs);
  let thread: Worker | undefined = first.thread;
  let starting = false;
  let closing = false;
  let current: Entry | undefined;
  let stuck: NodeJS.Timeout | undefined;
  const waiting: Entry[] = [];
  /** What an evaluation takes, more or less, ms. */
  let eachMs = 0;
  let sinceMs = 0;

  function adopt(worker: Worker): void {
    const ifMine = (react: () => void) => (): void => {
      if (worker === thread) react();
    };
    worker.on('message', (message: LaneMessage) => ifMine(() => settle(message))());
    worker.on(
      'error',
      ifMine(() => replace('its thread failed')),
    );
    worker.on(
      'exit',
      ifMine(() => replace('its thread ended')),
    );
    worker.unref();
  }

  function settle(message: LaneMessage): void {
    clearTimeout(stuck);
    if (current !== undefined && 'path' in current.question) {
      eachMs += (performance.now() - sinceMs - eachMs) * (eachMs === 0 ? 1 : LATEST_SHARE);
    }
    current?.answer(message);
    current = undefined;
    next();
  }

  /** Whoever is being answered is told no; those who wait, wait for the next thread. */
  function replace(cause: string): void {
    const dead = thread;
    thread = undefined;
    void dead?.terminate();
    settle(late(cause));
  }

  async function restart(): Promise<void> {
    starting = true;
    try {
      ({ thread } = await startThread(task, timeoutMs));
      adopt(thread);
    } catch {
      for (const entry of waiting.splice(0)) entry.answer(late('the thread for long evaluations does not start'));
    } finally {
      starting = false;
    }
    next();
  }

  function next(): void {
    if (current !== undefined || starting) return;
    const entry = waiting[0];
    if (entry === undefined) {
      if (closing) void thread?.terminate();
      return;
    }
    if (thread === undefined) {
      void restart();
      return;
    }
    waiting.shift();
    current = entry;
    sinceMs = performance.now();
    const patience = 'module' in entry.question ? timeoutMs : STUCK_MS;
    stuck = setTimeout(() => replace('the evaluation does not end'), patience);
    stuck.unref();
    thread.postMessage(entry.question);
  }

  const evaluate = (path: string, input: string, untilMs: number): Promise<Evaluation> =>
    new Promise((resolve) => {
      const nowMs = performance.now();
      const end = Math.min(untilMs, nowMs + MAX_STAY_MS);
      const ahead = waiting.length + (current === undefined ? 0 : 1);
      // One that would be cut off would only take the time of those behind it. Without any ahead, it is tried.
      const isTooLate = ahead > 0 && nowMs + (ahead + 1) * eachMs > end;
      if (waiting.length >= MAX_WAITING || isTooLate) {
        resolve(late('too many long evaluations'));
        return;
      }
      const timer = setTimeout(() => {
        const at = waiting.indexOf(entry);
        if (at >= 0) waiting.splice(at, 1);
        resolve(late('the evaluation takes too long'));
      }, end - nowMs);
      const entry: Entry = {
        question: { path, input },
        answer: (message) => {
          clearTimeout(timer);
          if ('ok' in message) resolve(fromText(message));
        },
      };
      waiting.push(entry);
      next();
    });

  const imageOf = (module: CompiledModule): Promise<MemoryImage> =>
    new Promise((resolve, reject) => {
      waiting.unshift({
        question: { module },
        answer: (message) => ('image' in message ? resolve(message.image) : reject(new EngineError('no image'))),
      });
      next();
    });

  const takeBack = ({ bytes: { buffer } }: MemoryImage): void => {
    thread?.postMessage({ spent: buffer } satisfies LaneGift, [buffer]);
  };

  const close = (): void => {
    closing = true;
    next();
  };

  adopt(thread);
  return { lane: { evaluate, imageOf, takeBack, memoryBytes: first.memoryBytes, close }, modules: first.modules };
}

function fromText({ observed: text, ...answer }: LaneAnswer): Evaluation {
  const evaluation: Evaluation = answer.ok
    ? { ok: true, results: parseExact(answer.results) as readonly Json[] }
    : answer;
  if (text === undefined) return evaluation;
  return { ...evaluation, observed: parseExact(text) as unknown as readonly Observation[] };
}

/** Resolves once the policy has been asked in it. Rejects with EngineError. */
async function startThread(task: LaneTask, timeoutMs: number): Promise<LaneReady & { readonly thread: Worker }> {
  // The sources run as .ts, what is built as .js.
  const file = new URL(`./lane-thread${extname(import.meta.url)}`, import.meta.url);
  const thread = new Worker(file, { workerData: task });
  let timer: NodeJS.Timeout | undefined;
  const report = await new Promise<LaneReport>((resolve) => {
    timer = setTimeout(() => resolve({ problem: `it does not answer within ${timeoutMs} ms` }), timeoutMs);
    thread.once('message', resolve);
    // Not once: without a listener, an error of a thread that is given up would end the process.
    thread.on('error', (error: Error) => resolve({ problem: error.message }));
    thread.once('exit', () => resolve({ problem: 'its thread ended' }));
  });
  clearTimeout(timer);
  if ('modules' in report) return { ...report, thread };
  await thread.terminate();
  throw new EngineError(report.problem);
}
