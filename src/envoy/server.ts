import type { Http2SecureServer } from 'node:http2';
import { Server, type ServerUnaryCall, type ServiceDefinition, type sendUnaryData } from '@grpc/grpc-js';
import type { Answer, Check } from '../check/check.ts';
import { refuse } from '../check/outcome.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import type { ServerTls } from '../lib/tls-server.ts';
import { uuid7 } from '../lib/uuid7.ts';
import type { Admission } from '../limits/admission.ts';
import type { RefusalReason } from '../model/reasons.ts';
import { clearSocketFile, parseAddress } from './address.ts';
import { type Connections, type ConnectionsOptions, createConnections } from './connections.ts';
import { createHealth } from './health.ts';
import { addReflection } from './reflection.ts';
import { readRequest } from './request.ts';
import { refusal, writeResponse } from './response.ts';
import { DEADLINE_KEY, guardStreams } from './stream-guard.ts';
import { beforeListening, credentialsOf } from './tls.ts';
import { transportOptions } from './transport-options.ts';

export type ServerOptions = {
  readonly address: string;
  readonly check: Check;
  readonly clock: Clock;
  readonly isReady: () => boolean;
  readonly admission: Admission;
  /** Counts a refusal that was made without a check, or after it because its answer could not be sent. */
  readonly onRefused: (reason: RefusalReason) => void;
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly reflection: boolean;
  readonly connections: Omit<ConnectionsOptions, 'method'>;
  /** Undefined: without encryption. */
  readonly tls?: ServerTls | undefined;
};

export type ExtAuthzServer = {
  /** Where it listens, with the port that was given to it. */
  readonly address: string;
  readonly readinessChanged: () => void;
  readonly connections: Pick<Connections, 'count' | 'sendOneAway'>;
  /** Asks clients to go elsewhere, finishes what is under way, and after `timeoutMs` cuts what is left. */
  readonly drain: (timeoutMs: number) => Promise<void>;
};

const SERVICE = 'envoy.service.auth.v3.Authorization';
const CHECK = `/${SERVICE}/Check`;
const DEADLINE_MARGIN_MS = 10;

const bytes = (value: Buffer): Buffer => value;
const raw = {
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};
const authorizationService: ServiceDefinition = {
  check: { path: CHECK, requestStream: false, responseStream: false, ...raw },
};
const healthService: ServiceDefinition = {
  check: { path: '/grpc.health.v1.Health/Check', requestStream: false, responseStream: false, ...raw },
  watch: { path: '/grpc.health.v1.Health/Watch', requestStream: false, responseStream: true, ...raw },
};

/** Starts the ext_authz gRPC server. Rejects when it cannot listen. */
export async function startServer(options: ServerOptions): Promise<ExtAuthzServer> {
  const { target, socketFile } = parseAddress(options.address);
  const answer = createAnswer(options);
  const refuseUnread = async (reason: RefusalReason): Promise<Buffer> =>
    answer({ unreadable: refuse(reason) }, Number.POSITIVE_INFINITY);
  const turnAway = (): Buffer => refuseHere(options, 'overloaded');
  const health = createHealth([SERVICE], options.isReady);
  const server = new Server(transportOptions(options));
  server.addService(authorizationService, {
    check: (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => {
      const deadline = Number(call.metadata.get(DEADLINE_KEY)[0]);
      const isServed = options.admission.serve(call.request.length, () => {
        const response = answer(read(call.request), deadline, () => call.cancelled);
        if (response instanceof Promise) void response.then((late) => reply(null, late));
        else reply(null, response);
      });
      if (!isServed) reply(null, turnAway());
    },
  });
  server.addService(healthService, { ...health.handlers });
  if (options.reflection) await addReflection(server);
  if (socketFile !== undefined) await clearSocketFile(socketFile);
  const connections = createConnections({ ...options.connections, method: CHECK });
  beforeListening(server, (http2) => {
    options.tls?.guard(http2 as Http2SecureServer);
    connections.watch(http2);
    guardStreams(http2, {
      nowMs: options.clock.monotonicMs,
      marginMs: DEADLINE_MARGIN_MS,
      maxMessageBytes: options.maxReceiveBytes,
      method: CHECK,
      refuse: refuseUnread,
      announce: options.admission.announce,
      turnAway,
    });
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(target, credentialsOf(options.tls), (error, bound) =>
      error === null ? resolve(bound) : reject(new Error(`cannot listen on ${options.address}: ${error.message}`)),
    );
  });
  return {
    address: socketFile === undefined ? target.replace(/:[0-9]+$/, `:${port}`) : options.address,
    readinessChanged: health.changed,
    connections,
    drain: (timeoutMs) => {
      health.stop();
      return drain(server, connections, timeoutMs);
    },
  };
}

function refuseHere({ clock, onRefused }: ServerOptions, reason: RefusalReason): Buffer {
  onRefused(reason);
  return refusal(reason, uuid7(clock.wallMs()));
}

type Request = Parameters<Check>[0]['request'];

/** A request to CheckResponse bytes. Never throws or rejects. */
function createAnswer(
  options: ServerOptions,
): (request: Request, deadlineMs: number, isCancelled?: () => boolean) => Buffer | Promise<Buffer> {
  const refuseFailed = (): Buffer => refuseHere(options, 'internal_error');
  const write = (answer: Answer): Buffer => {
    const response = writeResponse(answer);
    return response.length <= options.maxSendBytes ? response : refuseHere(options, 'decision_invalid');
  };
  return (request, deadlineMs, isCancelled = () => false) => {
    try {
      const answer = options.check({ request, deadlineMs, isCancelled });
      return answer instanceof Promise ? answer.then(write).catch(refuseFailed) : write(answer);
    } catch {
      return refuseFailed();
    }
  };
}

/** CheckRequest bytes to facts, or to why they are none. */
function read(request: Buffer): Request {
  try {
    return readRequest(request);
  } catch (error) {
    return { unreadable: refuse('request_unreadable', messageOf(error)) };
  }
}

async function drain(server: Server, connections: Connections, timeoutMs: number): Promise<void> {
  await connections.sendAllAway(timeoutMs);
  await new Promise<void>((resolve) => {
    const cut = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, timeoutMs);
    server.tryShutdown(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}
