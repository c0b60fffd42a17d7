import { connect as connectSocket, type Socket } from 'node:net';
import { framed } from './client.ts';

/*
 * One HTTP/2 connection that sends checks and little else, for a load of several times what a server can answer: Node's
 * own client takes longer for a call than a server for its answer. As Envoy does, it sends the headers of a call at once,
 * its message when the window of the connection has room, and resets calls that it waits for no longer (RFC 9113).
 */

export type LeanClient = {
  /** Sends a check; `tag` comes back with what becomes of it. False: the server allows no more streams. */
  readonly send: (message: FramedCheck, tag: number) => boolean;
  readonly open: () => number;
  readonly isClosed: () => boolean;
  /** Stops waiting for calls whose tag is smaller. */
  readonly giveUp: (before: number) => number;
  readonly close: () => void;
};

/** A gRPC message in a DATA frame that ends its stream; the stream's number is still to be put in. */
export type FramedCheck = Buffer;

/** What became of a call: a CheckResponse; empty when there was none. */
export type OnAnswer = (tag: number, response: Buffer) => void;

const FRAME_HEAD = 9;
const type = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const;
const flag = { endStream: 1, ack: 1, endHeaders: 4 } as const;
const CANCEL = 8;
const WINDOW = 65_535;
const MAX_STREAMS_SETTING = 3;

function frame(kind: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = kind;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, FRAME_HEAD);
  return bytes;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

export const frameCheck = (message: Uint8Array): FramedCheck => frame(type.data, flag.endStream, 0, framed(message));

/** HPACK without a dynamic table and without Huffman's code (RFC 7541 section 6.2.2), so that it is always the same. */
function headerBlock(timeoutMs: number): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
  const named = (name: string, value: string): Buffer => Buffer.concat([Buffer.of(0), text(name), text(value)]);
  return Buffer.concat([
    Buffer.of(0x83, 0x86, 0x04),
    text('/envoy.service.auth.v3.Authorization/Check'),
    named(':authority', 'postern'),
    named('content-type', 'application/grpc'),
    named('te', 'trailers'),
    named('grpc-timeout', `${timeoutMs}m`),
  ]);
}

/** `address` is HOST:PORT; `timeoutMs` goes along with each call. */
export function connectLean(address: string, timeoutMs: number, onAnswer: OnAnswer): Promise<LeanClient> {
  const [host = '', port = ''] = address.split(':');
  const headers = frame(type.headers, flag.endHeaders, 1, headerBlock(timeoutMs));
  const calls = new Map<number, { readonly tag: number; response: Buffer }>();
  const unsent: { readonly stream: number; readonly message: FramedCheck }[] = [];
  let nextStream = 1;
  let maxStreams = 100;
  let window = WINDOW;
  let out: Buffer[] = [];
  let rest: Buffer = Buffer.alloc(0);
  const socket: Socket = connectSocket(Number(port), host);
  socket.setNoDelay(true);

  function write(bytes: Buffer): void {
    if (out.length === 0) setImmediate(flush);
    out.push(bytes);
  }

  function flush(): void {
    if (!socket.destroyed) socket.write(Buffer.concat(out));
    out = [];
  }

  function sendMessages(): void {
    while (unsent.length > 0 && (unsent[0]?.message.length ?? 0) - FRAME_HEAD <= window) {
      const { stream, message } = unsent.shift() as (typeof unsent)[number];
      if (!calls.has(stream)) continue;
      const bytes = Buffer.from(message);
      bytes.writeUInt32BE(stream, 5);
      window -= message.length - FRAME_HEAD;
      write(bytes);
    }
  }

  function end(stream: number): void {
    const call = calls.get(stream);
    if (call === undefined) return;
    calls.delete(stream);
    onAnswer(call.tag, call.response.subarray(5));
  }

  function read(kind: number, flags: number, stream: number, payload: Buffer): void {
    if (kind === type.data) {
      const call = calls.get(stream);
      if (call !== undefined) call.response = Buffer.concat([call.response, payload]);
    }
    if ((kind === type.data || kind === type.headers) && (flags & flag.endStream) !== 0) end(stream);
    else if (kind === type.reset) end(stream);
    else if (kind === type.windowUpdate && stream === 0) {
      window += payload.readUInt32BE(0);
      sendMessages();
    } else if (kind === type.ping && flags === 0) write(frame(type.ping, flag.ack, 0, payload));
    else if (kind === type.settings && flags === 0) {
      for (let at = 0; at < payload.length; at += 6) {
        if (payload.readUInt16BE(at) === MAX_STREAMS_SETTING) maxStreams = payload.readUInt32BE(at + 2);
      }
      write(frame(type.settings, flag.ack, 0, Buffer.alloc(0)));
    }
  }

  const ready = new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => {
      for (const stream of [...calls.keys()]) end(stream);
    });
    socket.on('data', (chunk) => {
      let bytes: Buffer = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
      while (bytes.length >= FRAME_HEAD) {
        const length = FRAME_HEAD + bytes.readUIntBE(0, 3);
        if (bytes.length < length) break;
        const kind = bytes[3] as number;
        read(kind, bytes[4] as number, bytes.readUInt32BE(5), bytes.subarray(FRAME_HEAD, length));
        if (kind === type.settings) resolve();
        bytes = bytes.subarray(length);
      }
      rest = bytes;
    });
  });
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  write(frame(type.settings, 0, 0, Buffer.alloc(0)));
  // Answers are never held back.
  write(frame(type.windowUpdate, 0, 0, uint32(2 ** 31 - 1 - WINDOW)));
  const client: LeanClient = {
    send: (message, tag) => {
      if (calls.size >= maxStreams || socket.destroyed) return false;
      const stream = nextStream;
      nextStream += 2;
      calls.set(stream, { tag, response: Buffer.alloc(0) });
      const own = Buffer.from(headers);
      own.writeUInt32BE(stream, 5);
      write(own);
      unsent.push({ stream, message });
      sendMessages();
      return true;
    },
    open: () => calls.size,
    isClosed: () => socket.destroyed,
    giveUp: (before) => {
      let count = 0;
      for (const [stream, { tag }] of calls) {
        if (tag >= before) break;
        calls.delete(stream);
        write(frame(type.reset, 0, stream, uint32(CANCEL)));
        count++;
      }
      return count;
    },
    close: () => socket.destroy(),
  };
  return ready.then(() => client);
}
