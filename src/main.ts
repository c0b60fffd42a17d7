import { type ChildProcess, fork as forkProcess } from 'node:child_process';
import cluster, { type Worker } from 'node:cluster';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SpawnStore, WorkerProcess } from './cli/ports.ts';
import { runProgram } from './cli/program.ts';
import { commands, runWorker } from './compose.ts';
import { closeWhatIsNotTaken } from './lib/handed-connections.ts';

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
  closeWhatIsNotTaken(worker.process);
  return processOf(worker.process, pipeTo(worker));
}

const spawnStore: SpawnStore = (role, memoryBytes, storeEnv = {}) => {
  // The sources run as .ts, what is built as .js.
  const file = fileURLToPath(new URL(`./store-main${extname(import.meta.url)}`, import.meta.url));
  const child = forkProcess(file, [role, String(memoryBytes)], {
    serialization: 'advanced',
    env: storeEnv,
    execArgv: ['--max-old-space-size=384'],
  });
  return processOf(child, {
    send: (message) => child.connected && child.send(message as object),
    onMessage: (listener) => child.on('message', listener),
    onClose: (listener) => child.once('disconnect', listener),
  });
};

const processOf = (child: ChildProcess, pipe: WorkerProcess['pipe']): WorkerProcess => ({
  pid: child.pid ?? 0,
  pipe,
  kill: (signal) => void child.kill(signal),
  exited: new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `code ${code}`));
    // It could not be started, or told anything.
    child.on('error', () => child.pid === undefined && resolve('no process'));
  }),
});

const pipeTo = (worker: Worker): WorkerProcess['pipe'] => ({
  send: (message) => worker.isConnected() && worker.send(message as object),
  onMessage: (listener) => worker.on('message', listener),
  onClose: (listener) => {
    worker.once('disconnect', listener);
    // The channel of a process that was killed may end without a word.
    worker.once('exit', listener);
  },
});

if (cluster.worker === undefined) {
  process.exitCode = await runProgram(
    process.argv.slice(2),
    {
      ...{ env, stdout, stderr, fork, spawnStore },
      stopRequested: () => stopped,
      onReloadRequested: (reload) => void process.on('SIGHUP', reload),
      onRestartRequested: (restart) => void process.on('SIGUSR2', restart),
    },
    commands,
  );
} else {
  // Signals to the whole group are for the primary, which tells its workers when to stop.
  await runWorker(pipeTo(cluster.worker), { env, stderr });
}
// Sockets of clients that never close would hold the process after its work is done.
process.exit();
