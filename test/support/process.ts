import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import type { Scope } from './scope.ts';

export const root = resolve(import.meta.dirname, '../..');

/** A tool that scripts/tools installs. A missing one is a failure, not a reason to skip. */
export function tool(name: 'opa' | 'envoy' | 'mmdb' | 'registry' | 'spiffe-client' | 'versitygw'): string {
  const file = process.env[`${name.toUpperCase().replace('-', '_')}_BIN`] ?? resolve(root, '.tools/bin', name);
  if (!existsSync(file)) throw new Error(`${file} is missing; run \`sh scripts/tools\``);
  return file;
}

/** Below the ports that systems give to outgoing connections, of which other tests open many. */
const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

export type Child = {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  /** Resolves when the text has come out on either stream. Rejects when the process ends before. */
  readonly printed: (text: string | RegExp) => Promise<void>;
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | string>;
};

/** Starts a process; with a test's context it is ended, by process id, when the test is over. */
export function startProcess(
  context: Scope | undefined,
  file: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Child {
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    cwd: options.cwd ?? root,
  });
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    wake();
  });
  let ended: number | string | undefined;
  const exited = new Promise<number | string>((done, failed) => {
    child.once('error', failed);
    child.once('close', (code, signal) => {
      ended = code ?? signal ?? 'unknown';
      done(ended);
      wake();
    });
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> => {
    if (ended === undefined) child.kill(signal);
    return exited;
  };
  context?.after(() => stop('SIGKILL'));
  const printed = (text: string | RegExp): Promise<void> =>
    new Promise((done, failed) => {
      const look = (): void => {
        const found = typeof text === 'string' ? (stdout + stderr).includes(text) : text.test(stdout + stderr);
        if (!found && ended === undefined) return;
        waiting.delete(look);
        if (found) done();
        else failed(new Error(`${file} ended with ${ended} and did not print ${text}:\n${stdout}${stderr}`));
      };
      waiting.add(look);
      look();
    });
  return { process: child, stdout: () => stdout, stderr: () => stderr, exited, printed, stop };
}

/** Asks again until `attempt` gives something. Rejects after `withinMs`. */
export async function eventually<T>(attempt: () => Promise<T | undefined>, withinMs = 20_000): Promise<T> {
  const end = Date.now() + withinMs;
  let last: unknown = 'no answer';
  while (Date.now() < end) {
    try {
      const value = await attempt();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${withinMs} ms: ${String(last)}`);
}
