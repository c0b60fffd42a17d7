import cluster, { type Worker } from 'node:cluster';
import type { WorkerProcess } from './cli/ports.ts';
import { runProgram } from './cli/program.ts';
import { commands, runWorker } from './compose.ts';

/** One promise, so that a signal that comes before anybody waits for it is not lost. */
const stopped = new Promise<string>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
});

// A reader of our output that goes away must not take the server with it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const { env, stdout, stderr } = process;

function fork(): WorkerProcess {
  // Buffers cross as they are, and not as JSON.
  cluster.setupPrimary({ serialization: 'advanced' });
  const worker = cluster.fork();
  // Something was sent to one that had just died, perhaps by Node itself; without a listener this process would end of it.
  worker.on('error', () => {});
  return {
    pid: worker.process.pid ?? 0,
    pipe: pipeTo(worker),
    kill: (signal) => void worker.process.kill(signal),
    exited: new Promise((resolve) =>
      worker.once('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `code ${code}`)),
    ),
  };
}

const pipeTo = (worker: Worker): WorkerProcess['pipe'] => ({
  send: (message) => worker.isConnected() && worker.send(message as object),
  onMessage: (listener) => worker.on('message', listener),
  onClose: (listener) => worker.once('disconnect', listener),
});

if (cluster.worker === undefined) {
  process.exitCode = await runProgram(
    process.argv.slice(2),
    {
      ...{ env, stdout, stderr, fork },
      stopRequested: () => stopped,
      onReloadRequested: (reload) => void process.on('SIGHUP', reload),
    },
    commands,
  );
} else {
  // Signals to the whole group are for the primary, which tells its workers when to stop.
  await runWorker(pipeTo(cluster.worker), { env, stderr });
}
// Sockets of clients that never close would hold the process after its work is done.
process.exit();
