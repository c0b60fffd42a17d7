import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';

/*
 * A closed-loop load generator over plain HTTP/2: cheaper than a gRPC client, so that two cores suffice for both ends.
 */

export type Load = {
  readonly address: string;
  /** CheckRequest bytes; sent in turn. */
  readonly requests: readonly Buffer[];
  readonly connections: number;
  readonly streamsPerConnection: number;
  readonly milliseconds: number;
  /** Whether an answer is the one that is expected; a bench that measures refusals measures nothing. */
  readonly isRight: (response: Buffer) => boolean;
};

export type LoadResult = { readonly answered: number; readonly wrong: number; readonly milliseconds: number };

const headers = {
  ':method': 'POST',
  ':path': '/envoy.service.auth.v3.Authorization/Check',
  'content-type': 'application/grpc',
  te: 'trailers',
};

export function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** One Check on a session; the answer is empty where the call failed. */
export const callCheck = (session: ClientHttp2Session, framedRequest: Buffer): Promise<Buffer> =>
  new Promise((resolve) => {
    const stream = session.request(headers);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () =>
      resolve((chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).subarray(5)),
    );
    stream.end(framedRequest);
  });

export async function runLoad(load: Load): Promise<LoadResult> {
  const bodies = load.requests.map(framed);
  let next = 0;
  let answered = 0;
  let wrong = 0;
  const startedAt = performance.now();
  const isOver = (): boolean => performance.now() - startedAt >= load.milliseconds;

  const lane = async (session: ClientHttp2Session): Promise<void> => {
    while (!isOver()) {
      const response = await callCheck(session, bodies[next++ % bodies.length] as Buffer);
      answered++;
      if (response.length === 0 || !load.isRight(response)) wrong++;
    }
  };

  const sessions = Array.from({ length: load.connections }, () => connect(`http://${load.address}`));
  await Promise.all(
    sessions.flatMap((session) => Array.from({ length: load.streamsPerConnection }, () => lane(session))),
  );
  const milliseconds = performance.now() - startedAt;
  for (const session of sessions) session.destroy();
  return { answered, wrong, milliseconds };
}

/** CPU time (user and system) that a process has used, µs (proc(5), /proc/PID/stat). */
export function cpuMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return ticks * 10_000;
}
