import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Scope } from '../../test/support/scope.ts';
import type { FromGenerator, Job, Outcome, ToGenerator } from './jobs.ts';
import type { BenchRequest } from './requests.ts';

/** A process that generates load, ended with the scope. */
export type Generator = {
  /** Gives it requests under a name. */
  readonly give: (name: string, requests: readonly BenchRequest[]) => void;
  /** Rejects when an answer is wrong, or when there is none. */
  readonly run: (job: Job) => Promise<Outcome>;
};

export function startGenerator(scope: Scope): Generator {
  const file = fileURLToPath(new URL('./generator.ts', import.meta.url));
  // Buffers stay buffers.
  const child = fork(file, { serialization: 'advanced' });
  scope.after(() => child.kill());
  const waiting = new Map<number, PromiseWithResolvers<Outcome>>();
  let lastId = 0;
  const tell = (message: ToGenerator): void => void child.send(message);
  child.on('message', (told: FromGenerator) => {
    const asked = waiting.get(told.id);
    waiting.delete(told.id);
    if ('outcome' in told) asked?.resolve(told.outcome);
    else asked?.reject(new Error(told.failure));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the load generator ended with ${code ?? signal}`));
  });
  return {
    give: (name, requests) => tell({ give: name, requests }),
    run: async (job) => {
      const id = ++lastId;
      const asked = Promise.withResolvers<Outcome>();
      waiting.set(id, asked);
      tell({ id, job });
      const outcome = await asked.promise;
      const { answered, wrong } = outcome;
      if (answered === 0) throw new Error(`${job.address} answered nothing`);
      if (Object.keys(wrong).length > 0) throw new Error(`of ${answered} answers are wrong: ${JSON.stringify(wrong)}`);
      return outcome;
    },
  };
}
