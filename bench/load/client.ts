import { once } from 'node:events';
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2';

/*
 * Calls over plain HTTP/2: cheaper than a gRPC client, so that two cores suffice for both ends.
 */

const checkHeaders = {
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

export type Connection = { readonly session: () => ClientHttp2Session; readonly close: () => void };

/** A connection that is opened anew when the server asks for it (GOAWAY), as Envoy does. */
export async function openConnection(address: string): Promise<Connection> {
  let session = open();
  function open(): ClientHttp2Session {
    const opened = connect(`http://${address}`);
    opened.on('error', () => {});
    opened.once('goaway', () => {
      if (session === opened) session = open();
    });
    return opened;
  }
  await once(session, 'connect');
  return { session: () => session, close: () => session.destroy() };
}

/** One Check on a session; the answer is empty where the call failed. */
export const callCheck = (session: ClientHttp2Session, framedRequest: Buffer): Promise<Buffer> =>
  new Promise((resolve) => {
    const stream = session.request(checkHeaders);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () =>
      resolve((chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).subarray(5)),
    );
    stream.end(framedRequest);
  });

/** One request without a body on a session; gives the status, 0 where the call failed. */
export const callHttp = (session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<number> =>
  new Promise((resolve) => {
    const stream = session.request(headers, { endStream: true });
    let status = 0;
    stream.on('response', (head) => {
      status = head[':status'] ?? 0;
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve(status));
    stream.resume();
  });

/**
 * Of a CheckResponse, the code in its status (its first field; google.rpc.Status, field 1): 0 is an allow. Undefined when
 * the answer does not begin like that. Not decoded in full, to leave the CPU to the servers.
 */
export function statusCodeOf(response: Buffer): number | undefined {
  if (response[0] !== 0x0a) return undefined;
  if (response[1] === 0) return 0;
  return response[2] === 0x08 ? response[3] : undefined;
}
