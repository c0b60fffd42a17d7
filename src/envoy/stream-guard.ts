import { constants, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Admission, Announced } from '../limits/admission.ts';
import { grpcTimeoutMs } from './grpc-timeout.ts';

/** Where the guard leaves a call's deadline (ms, monotonic clock); no client can set it, the guard overwrites it. */
export const DEADLINE_KEY = 'x-postern-deadline-ms';

const FRAME_HEADER_BYTES = 5;
const LINGER_MS = 1000;
/** Of a connection. HTTP/2's 64 KiB are 45 requests; the others would wait at Envoy, where nobody can turn them away. */
const WINDOW_BYTES = 262_144;

export type StreamGuard = {
  readonly nowMs: () => number;
  /** Time kept back for the way to Envoy, ms. */
  readonly marginMs: number;
  readonly maxMessageBytes: number;
  /** Path of the method whose faults must be answered in-band. */
  readonly method: string;
  /** CheckResponse bytes for a message that is too large, or none. */
  readonly refuse: (reason: 'request_too_large' | 'request_unreadable') => Promise<Buffer>;
  readonly announce: Admission['announce'];
  /** CheckResponse bytes for a call that is not let in. */
  readonly turnAway: () => Buffer;
};

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void;

const ignore = (): void => {};

/**
 * Looks at each stream before grpc-js does, in two matters where grpc-js would answer a gRPC error, which Envoy counts
 * as "failed" and may let through: a deadline (which grpc-js also wraps at 32 bits), and a message above the limit. And it
 * turns calls away that cannot be answered in time, which is cheapest here.
 */
export function guardStreams(server: Http2Server, guard: StreamGuard): void {
  const listeners = server.listeners('stream') as StreamListener[];
  server.removeAllListeners('stream');
  server.on('session', (session) => session.setLocalWindowSize(WINDOW_BYTES));
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => {
    const handOver = (): void => {
      for (const listener of listeners) listener.call(server, stream, headers, ...rest);
    };
    const isCheck = isCall(headers, guard.method);
    const announced = isCheck ? guard.announce() : undefined;
    if (isCheck && announced === undefined) {
      stream.on('error', ignore);
      answerInBand(stream, guard.turnAway());
      return;
    }
    headers[DEADLINE_KEY] = String(deadlineOf(headers, guard));
    // grpc-js must not see it, or it would start a timer of its own.
    delete headers['grpc-timeout'];
    if (announced === undefined) handOver();
    else judgeSize(stream, guard, announced, handOver);
  });
}

const isCall = (headers: IncomingHttpHeaders, method: string): boolean =>
  headers[':path'] === method &&
  headers[':method'] === 'POST' &&
  (headers['content-type']?.startsWith('application/grpc') ?? false);

function deadlineOf(headers: IncomingHttpHeaders, guard: StreamGuard): number {
  const timeout = headers['grpc-timeout'];
  const asked = typeof timeout === 'string' ? grpcTimeoutMs(timeout) : undefined;
  return asked === undefined ? Number.POSITIVE_INFINITY : guard.nowMs() + asked - guard.marginMs;
}

/** Reads how long the message will be (gRPC over HTTP/2, "Length-Prefixed-Message") before anybody buffers it. */
function judgeSize(stream: ServerHttp2Stream, guard: StreamGuard, announced: Announced, handOver: () => void): void {
  const stopLooking = (): void => {
    announced.unread--;
    stream.removeListener('readable', look);
    stream.removeListener('end', refuseNothing);
    stream.removeListener('close', stopLooking);
  };
  const refuseNothing = (): void => {
    stopLooking();
    void guard.refuse('request_unreadable').then((answer) => answerInBand(stream, answer));
  };
  const look = (): void => {
    const head = stream.read(FRAME_HEADER_BYTES) as Buffer | null;
    if (head === null) return;
    if (head.length < FRAME_HEADER_BYTES) {
      refuseNothing();
      return;
    }
    stopLooking();
    if (head.readUInt32BE(1) > guard.maxMessageBytes) {
      void guard.refuse('request_too_large').then((answer) => answerInBand(stream, answer));
      return;
    }
    stream.removeListener('error', ignore);
    stream.unshift(head);
    handOver();
  };
  stream.on('error', ignore);
  stream.on('close', stopLooking);
  stream.on('end', refuseNothing);
  stream.on('readable', look);
}

function answerInBand(stream: ServerHttp2Stream, message: Buffer): void {
  if (stream.destroyed) return;
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + message.length);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, FRAME_HEADER_BYTES);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.once('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': '0' });
    // A reset at once would overtake the trailers; later it stops who is still sending (RFC 9113 section 8.1).
    const linger = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS).unref();
    stream.once('close', () => clearTimeout(linger));
  });
  stream.resume();
  stream.end(frame);
}
