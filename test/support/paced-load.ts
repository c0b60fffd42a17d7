import { type ClientHttp2Session, connect } from 'node:http2';
import { framed } from '../../bench/load/client.ts';
import { readResponse } from './grpc.ts';

const headers = {
  ':method': 'POST',
  ':path': '/envoy.service.auth.v3.Authorization/Check',
  'content-type': 'application/grpc',
  te: 'trailers',
};
const TICK_MS = 10;
/** What a busy machine cannot keep up with is left out, not queued up. */
const MAX_OUTSTANDING = 1000;

export type PacedLoad<T> = {
  readonly address: string;
  readonly perSecond: number;
  /** What to send next, and what to remember it by. */
  readonly next: () => { readonly request: Uint8Array; readonly tag: T };
  /** HTTP status that the client of Envoy would see; 0 when there was no answer. */
  readonly onAnswer: (tag: T, status: number, sentAtMs: number) => void;
};

/** Sends checks at a pace, whether or not earlier ones are answered. `stop` resolves when the last one is. */
export function startLoad<T>(load: PacedLoad<T>): { readonly stop: () => Promise<void> } {
  const session = connect(`http://${load.address}`);
  let outstanding = 0;
  let wake = (): void => {};
  const send = (): void => {
    const { request, tag } = load.next();
    const sentAtMs = performance.now();
    outstanding++;
    void statusOf(session, request).then((status) => {
      load.onAnswer(tag, status, sentAtMs);
      outstanding--;
      if (outstanding === 0) wake();
    });
  };
  let due = 0;
  const timer = setInterval(() => {
    due = Math.min(due + (load.perSecond * TICK_MS) / 1000, load.perSecond / 10);
    for (; due >= 1; due--) if (outstanding < MAX_OUTSTANDING) send();
  }, TICK_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      if (outstanding > 0) await new Promise<void>((resolve) => (wake = resolve));
      session.destroy();
    },
  };
}

function statusOf(session: ClientHttp2Session, request: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    const stream = session.request(headers);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () => resolve(readStatus(Buffer.concat(chunks))));
    stream.end(framed(request));
  });
}

function readStatus(body: Buffer): number {
  if (body.length <= 5) return 0;
  const { status, deniedResponse } = readResponse(body.subarray(5)) as {
    readonly status?: { readonly code?: number };
    readonly deniedResponse?: { readonly status?: { readonly code?: number } };
  };
  return (status?.code ?? 0) === 0 ? 200 : (deniedResponse?.status?.code ?? 403);
}
