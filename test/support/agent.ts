import { rmSync } from 'node:fs';
import {
  type MetadataValue,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import type { Scope } from './scope.ts';

/** What a stream of the Workload API is answered: a message, or the end with an error, or nothing at all. */
export type Answer = Buffer | { readonly code: number; readonly details: string } | 'nothing';

export type Agent = {
  /** `unix://` and a path. */
  readonly socket: string;
  /** From now on, also on the streams that are open. */
  readonly x509: (answer: Answer) => void;
  readonly jwtBundles: (answer: Answer) => void;
  /** How many calls there were so far. */
  readonly calls: () => number;
  /** How many streams of X509-SVIDs are open. */
  readonly streams: () => number;
  /** Cuts every connection and listens no more. */
  readonly stop: () => void;
  /** The same agent, once more. */
  readonly start: () => Promise<void>;
};

type Stream = ServerWritableStream<Buffer, Buffer>;

const same = (value: Buffer): Buffer => value;
const streamed = (name: string): ServiceDefinition[string] => ({
  path: `/SpiffeWorkloadAPI/${name}`,
  requestStream: false,
  responseStream: true,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

/** A substitute for SPIRE's agent: the two streams of the Workload API that hand out SVIDs' and bundles' messages. */
export async function startAgent(context: Scope, socketFile: string): Promise<Agent> {
  let server: Server | undefined;
  let calls = 0;

  const topic = (): {
    readonly handle: (stream: Stream) => void;
    readonly say: (answer: Answer) => void;
    open: Set<Stream>;
  } => {
    let answer: Answer = { code: status.PERMISSION_DENIED, details: 'no identity issued' };
    const open = new Set<Stream>();
    const send = (stream: Stream): void => {
      if (answer === 'nothing') return;
      if (Buffer.isBuffer(answer)) {
        stream.write(answer);
        return;
      }
      open.delete(stream);
      stream.emit('error', answer);
    };
    return {
      open,
      handle: (stream) => {
        calls++;
        const header: readonly MetadataValue[] = stream.metadata.get('workload.spiffe.io');
        if (header.length !== 1 || header[0] !== 'true') {
          stream.emit('error', { code: status.INVALID_ARGUMENT, details: 'security header missing from request' });
          return;
        }
        open.add(stream);
        stream.on('cancelled', () => open.delete(stream));
        send(stream);
      },
      say: (next) => {
        answer = next;
        for (const stream of open) send(stream);
      },
    };
  };
  const svids = topic();
  const bundles = topic();

  const stop = (): void => {
    server?.forceShutdown();
    server = undefined;
    svids.open.clear();
    bundles.open.clear();
    rmSync(socketFile, { force: true });
  };
  const start = async (): Promise<void> => {
    const next = new Server({ 'grpc.max_send_message_length': -1 });
    next.addService(
      { fetchX509: streamed('FetchX509SVID'), fetchJwt: streamed('FetchJWTBundles') },
      { fetchX509: svids.handle, fetchJwt: bundles.handle },
    );
    await new Promise<void>((resolve, reject) => {
      next.bindAsync(`unix:${socketFile}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    server = next;
  };
  await start();
  context.after(stop);
  return {
    socket: `unix://${socketFile}`,
    x509: svids.say,
    jwtBundles: bundles.say,
    calls: () => calls,
    streams: () => svids.open.size,
    stop,
    start,
  };
}
