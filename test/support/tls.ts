import type { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import type { Pair } from './certificates.ts';
import { readResponse } from './grpc.ts';

const CHECK = '/envoy.service.auth.v3.Authorization/Check';

/** TLS options of a client that trusts `ca` and shows `pair`, if any. */
export const clientMaterial = (ca: Pair, pair: Pair | undefined): { ca: Buffer; cert?: Buffer; key?: Buffer } => ({
  ca: readFileSync(ca.cert),
  ...(pair === undefined ? {} : { cert: readFileSync(pair.cert), key: readFileSync(pair.key) }),
});

/** `once` would reject when an error comes first, and here one often does. */
export const closed = (emitter: EventEmitter): Promise<unknown> =>
  new Promise((resolve) => emitter.once('close', resolve));

/** One check; what came back, or that nothing did. */
export async function call(session: ClientHttp2Session, message: Buffer, headers: object = {}): Promise<unknown> {
  if (session.destroyed) return 'nothing';
  const stream = session.request({
    ...{ ':method': 'POST', ':path': CHECK, 'content-type': 'application/grpc', te: 'trailers' },
    ...headers,
  });
  const chunks: Buffer[] = [];
  let answered = false;
  stream.on('response', () => (answered = true)).on('error', () => {});
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
  await closed(stream);
  const body = Buffer.concat(chunks);
  if (body.length > 5) return readResponse(body.subarray(5));
  return answered ? 'headers only' : 'nothing';
}

/** What came back is an allow. */
export const allowed = (answer: unknown): boolean => JSON.stringify((answer as { status?: object }).status) === '{}';
/** HTTP status of a refusal. */
export const httpOf = (answer: unknown): unknown =>
  (answer as { deniedResponse?: { status?: { code?: number } } }).deniedResponse?.status?.code;

/** A TLS 1.2 ClientHello (RFC 5246 section 7.4.1.2) with any server name (RFC 6066 section 3), in records of 16 KB. */
export function clientHello(sni: Buffer): Buffer {
  const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
  const sized = (body: Buffer): Buffer => Buffer.concat([u16(body.length), body]);
  const names = sized(Buffer.concat([Buffer.from([0]), sized(sni)]));
  const extensions = sized(Buffer.concat([u16(0), sized(names)]));
  const ciphers = sized(Buffer.concat([u16(0x1301), u16(0xc02b)]));
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    ciphers,
    Buffer.from([1, 0]),
    extensions,
  ]);
  const message = Buffer.concat([Buffer.from([1, body.length >> 16]), u16(body.length & 0xffff), body]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += 16_384) {
    const part = message.subarray(at, at + 16_384);
    records.push(Buffer.from([0x16, 3, 1]), sized(part));
  }
  return Buffer.concat(records);
}
