import { writeSync } from 'node:fs';
import { constants, type ServerHttp2Session } from 'node:http2';

/** GOAWAY with the highest stream id and no error (RFC 9113 section 6.8). */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

type Handle = { readonly fd?: number; readonly writeQueueSize?: number };

/**
 * Tells a client to open no more streams here, while those that it has just opened are still answered. After Node's
 * `goaway` they are not, whatever its last stream id says: nghttp2 ignores every stream that comes later, and has another
 * function for this, which Node does not offer. So the frame is written to the socket beside Node, between two of its
 * writes, each of which is whole frames. Where this cannot be done (TLS, a socket that is full), `goaway` it is; a call that
 * crosses it fails at Envoy. `isOpened`: the client has opened a stream, so that Node's first frames are out.
 */
export function sendShutdownNotice(session: ServerHttp2Session, isOpened: boolean): void {
  if (session.destroyed || session.closed) return;
  if (!isOpened || session.encrypted === true || !writeBetween(session)) {
    session.goaway(constants.NGHTTP2_NO_ERROR, 2 ** 31 - 1);
  }
}

function writeBetween(session: ServerHttp2Session): boolean {
  const { fd, writeQueueSize } = (session.socket as unknown as { readonly _handle?: Handle })._handle ?? {};
  if (fd === undefined || fd < 0 || writeQueueSize !== 0) return false;
  try {
    if (writeSync(fd, NOTICE) !== NOTICE.length) session.destroy();
    return true;
  } catch {
    return false;
  }
}
