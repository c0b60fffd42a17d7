import { setPriority } from 'node:os';
import type { Pipe } from './lib/channel.ts';

/*
 * The processes that keep decisions (`store`), ask them in SQL (`sql`) and send them to a service (`upload`), for main.ts
 * to start. They get what those who decide leave of the CPU, and of the environment what an archive or a service needs; the
 * one for statements has nothing of it and no sockets.
 */

const NICE = { store: 10, upload: 10, sql: 15 };
const LOOK_EVERY_MS = 20;

const [role = '', memoryBytes = ''] = process.argv.slice(2);
// Signals to the whole group are for the process that started this one, which tells it when to stop.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
process.stderr.on('error', () => {});

const pipe: Pipe = {
  send: (message) => process.connected && process.send?.(message) !== undefined,
  onMessage: (listener) => process.on('message', listener),
  onClose: (listener) => process.once('disconnect', listener),
};
// Whoever started it has gone; what is not done yet is done at the next start.
pipe.onClose(() => process.exit());

// Before threads are made, which take over the priority.
setPriority(role === 'sql' ? NICE.sql : role === 'upload' ? NICE.upload : NICE.store);
if (role === 'upload') {
  const { runUpload } = await import('./compose/upload/child.ts');
  await runUpload(pipe, { stderr: process.stderr, env: process.env });
  process.exit();
}
const { runSql, runStore } = await import('./decisions/store/child.ts');
if (role === 'sql') {
  runSql(pipe);
  // Some functions of DuckDB take memory past its own limit.
  setInterval(() => {
    if (process.memoryUsage.rss() > Number(memoryBytes)) process.kill(process.pid, 'SIGKILL');
  }, LOOK_EVERY_MS);
} else {
  const { putFilesTo } = await import('./bundles/s3/put-files.ts');
  await runStore(pipe, { stderr: process.stderr, archiveTo: ({ bucket, s3 }) => putFilesTo(bucket, s3) });
  process.exit();
}
