import { runProgram } from './cli/program.ts';
import { commands } from './compose.ts';

/** One promise, so that a signal that comes before anybody waits for it is not lost. */
const stopped = new Promise<string>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
});

// A reader of our output that goes away must not take the server with it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exitCode = await runProgram(
  process.argv.slice(2),
  {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    stopRequested: () => stopped,
    onReloadRequested: (reload) => void process.on('SIGHUP', reload),
  },
  commands,
);
// Sockets of clients that never close would hold the process after its work is done.
process.exit();
