import { spawn } from 'node:child_process';
import { Agent, request } from 'node:http';
import { resolve } from 'node:path';

/** OPA itself, with its own evaluator, asked over a Unix socket. */
export type OpaServer = {
  /** Runs OPA's REST API: the answer's body. Empty text is no body. */
  readonly post: (path: string, body: string) => Promise<string>;
  readonly close: () => Promise<void>;
};

export const OPA = resolve(import.meta.dirname, '../../../.tools/bin/opa');
const START_MS = 20_000;
const ANSWER_MS = 10_000;

/** Starts OPA with the policies and data of a folder. Rejects when it does not start in time. */
export async function startOpa(folder: string, socketPath: string): Promise<OpaServer> {
  const child = spawn(
    OPA,
    ['run', '--server', '--skip-version-check', '--log-level=error', `--addr=unix://${socketPath}`, folder],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString();
  });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });

  function post(path: string, body: string): Promise<string> {
    return new Promise((done, failed) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const asked = request({ socketPath, path, method: 'POST', headers, agent, timeout: ANSWER_MS }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => done(Buffer.concat(chunks).toString()));
        response.on('error', failed);
      });
      asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
      asked.on('error', (error) =>
        failed(new Error(`OPA does not answer ${path} ${body}: ${complaints}`, { cause: error })),
      );
      asked.end(body);
    });
  }

  async function close(): Promise<void> {
    agent.destroy();
    child.kill('SIGKILL');
    await ended;
  }

  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      await post('/v1/data/system', '{}');
      return { post, close };
    } catch (error) {
      if (Date.now() > deadline || child.exitCode !== null) {
        await close();
        throw new Error(`OPA does not start: ${complaints}`, { cause: error });
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
