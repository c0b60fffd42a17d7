import { readFile } from 'node:fs/promises';
import { pid } from 'node:process';

/**
 * What the file `<token>.alive` says of the process that holds the token: its id, when it began to log, and where /proc
 * tells: its start (proc(5), field 22 of `stat`, clock ticks after boot) and the boot. With these, a process that was
 * given the same id later is not taken for it.
 */
export async function describeProcess(wallMs: number): Promise<string> {
  const [stat, boot] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined),
  ]);
  const start = stat?.replace(/^.*\) /s, '').split(' ')[19];
  return `${JSON.stringify({
    pid,
    started_at: new Date(wallMs).toISOString(),
    ...(start === undefined ? {} : { start_ticks: Number(start) }),
    ...(boot === undefined ? {} : { boot_id: boot.trim() }),
  })}\n`;
}
