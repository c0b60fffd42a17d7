import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';

const policy = 'package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] == "fine"\n';
const CHECK = '/envoy.service.auth.v3.Authorization/Check';
const grpcHeaders = { ':method': 'POST', ':path': CHECK, 'content-type': 'application/grpc', te: 'trailers' };

type Answer = { readonly grpcStatus: string | undefined; readonly body: Buffer; readonly reset: number };

/** One stream with any headers and bytes. */
async function stream(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body: Buffer): Promise<Answer> {
  const call: ClientHttp2Stream = session.request(headers);
  let grpcStatus: string | undefined;
  const chunks: Buffer[] = [];
  const note = (received: { readonly [name: string]: unknown }): void => {
    if (received['grpc-status'] !== undefined) grpcStatus = String(received['grpc-status']);
  };
  call
    .on('response', note)
    .on('trailers', note)
    .on('error', () => {});
  call.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!call.writableEnded) call.end(body);
  await once(call, 'close');
  return { grpcStatus, body: Buffer.concat(chunks), reset: call.rstCode };
}

const framed = (message: Uint8Array, flag = 0, length = message.length): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
};
/** The CheckResponse in an answer's body. */
const responseOf = ({ body }: Answer): ReturnType<typeof readResponse> => readResponse(body.subarray(5));
const codeOf = (response: ReturnType<typeof readResponse>): unknown =>
  (response['status'] as { code?: number }).code ?? 0;
const httpOf = (response: ReturnType<typeof readResponse>): unknown =>
  (response['deniedResponse'] as { status?: { code?: number } } | undefined)?.status?.code;

describe('whatever comes over the wire', () => {
  const suite = createScope();
  after(suite.close);
  let server: Server;
  let session: ClientHttp2Session;
  const fine = httpRequest({ path: '/fine' });

  before(async () => {
    const folder = scratchFolder(suite);
    server = await startPostern(suite, { args: ['--bundle', buildPolicy(policy, folder)], folder });
    session = connect(`http://${server.grpc}`);
    session.on('error', () => {});
  });
  after(() => session.destroy());

  const assertServing = async (): Promise<void> => {
    const client = checkClient(server.grpc);
    const reply = await client.send(fine);
    client.close();
    assert.ok('response' in reply, 'the next valid request is answered');
    assert.equal(codeOf(readResponse(reply.response)), 0);
    assert.equal(server.process.exitCode, null);
  };

  test('bytes that are no CheckRequest are denied with 400, in-band', async () => {
    const broken: readonly Buffer[] = [
      Buffer.from([0xff]),
      Buffer.from([0x0a, 0x05, 0x01]),
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
      Buffer.from([0x00, 0x00]),
      Buffer.from([0x0e, 0x00]),
      Buffer.from('0a0822061204080a1a02c328', 'hex'),
      Buffer.alloc(100_000, 0x0b),
      Buffer.from(Array.from({ length: 50 }, (_, i) => (i * 37) % 256)),
    ];
    for (const bytes of broken) {
      const answer = await stream(session, grpcHeaders, framed(bytes));
      assert.equal(answer.grpcStatus, '0', bytes.subarray(0, 10).toString('hex'));
      assert.equal(codeOf(responseOf(answer)), 7);
      assert.equal(httpOf(responseOf(answer)), 400);
    }
    await assertServing();
  });

  test('text that is not UTF-8 is denied with 400', async () => {
    const request = Buffer.from(httpRequest({ path: '/fine?XX' }));
    const at = request.indexOf('XX');
    request[at] = 0xff;
    request[at + 1] = 0xfe;
    const answer = await stream(session, grpcHeaders, framed(request));
    assert.equal(httpOf(responseOf(answer)), 400);
  });

  test('an empty message is denied', async () => {
    const answer = await stream(session, grpcHeaders, framed(Buffer.alloc(0)));
    assert.equal(answer.grpcStatus, '0');
    assert.notEqual(codeOf(responseOf(answer)), 0);
  });

  test('a message above the limit is denied in-band, announced or sent', async () => {
    const large = httpRequest({ path: '/fine', body: 'x'.repeat(5 * 1_048_576) });
    for (const bytes of [framed(large), framed(Buffer.alloc(10), 0, 0xffffffff)]) {
      const answer = await stream(session, grpcHeaders, bytes);
      assert.equal(answer.grpcStatus, '0');
      assert.equal(codeOf(responseOf(answer)), 8);
      assert.equal(httpOf(responseOf(answer)), 413);
    }
    await assertServing();
  });

  test('compressed messages are read; broken ones and bombs are not', async () => {
    const headers = { ...grpcHeaders, 'grpc-encoding': 'gzip' };
    const good = await stream(session, headers, framed(gzipSync(fine), 1));
    assert.equal(codeOf(responseOf(good)), 0);
    const broken = await stream(session, headers, framed(Buffer.from('not gzip at all'), 1));
    assert.equal(broken.grpcStatus, '13');
    const bomb = await stream(session, headers, framed(gzipSync(Buffer.alloc(100 * 1_048_576)), 1));
    assert.equal(bomb.grpcStatus, '8');
    const unknown = await stream(session, { ...grpcHeaders, 'grpc-encoding': 'zstd' }, framed(fine, 1));
    assert.equal(unknown.grpcStatus, '12');
    await assertServing();
  });

  test('broken framing never comes out as an allow', async () => {
    const bodies = [
      Buffer.alloc(0),
      Buffer.from([0]),
      Buffer.from([0, 0, 0, 0]),
      framed(fine, 0, fine.length + 1),
      Buffer.concat([framed(fine), framed(fine)]),
      framed(fine, 7),
    ];
    for (const body of bodies) {
      const answer = await stream(session, grpcHeaders, body);
      const allowed = answer.grpcStatus === '0' && answer.body.length > 5 && codeOf(responseOf(answer)) === 0;
      // A flag byte that is neither 0 nor 1 is reserved; the message behind it is the one that was sent.
      if (body[0] !== 7) assert.equal(allowed, false, body.subarray(0, 6).toString('hex'));
    }
    await assertServing();
  });

  test('streams that are no gRPC are turned away', async () => {
    const odd: readonly OutgoingHttpHeaders[] = [
      { ':method': 'GET', ':path': CHECK },
      { ':method': 'POST', ':path': CHECK },
      { ':method': 'POST', ':path': CHECK, 'content-type': 'text/html' },
      { ...grpcHeaders, ':path': '/' },
      { ...grpcHeaders, ':path': '/envoy.service.auth.v3.Authorization/Nope' },
      { ...grpcHeaders, ':path': '/envoy.service.auth.v2.Authorization/Check' },
    ];
    for (const headers of odd) {
      const answer = await stream(session, headers, framed(fine));
      assert.notEqual(answer.grpcStatus, '0', JSON.stringify(headers));
    }
    await assertServing();
  });

  test('deadlines: a long one is not wrapped, an expired one is not evaluated, a malformed one is passed over', async () => {
    const send = (timeout: string): Promise<Answer> =>
      stream(session, { ...grpcHeaders, 'grpc-timeout': timeout }, framed(fine));
    for (const timeout of ['99999999M', '99999999H', '200m', '1S', 'soon', '', '5x', '123456789S']) {
      assert.equal(codeOf(responseOf(await send(timeout))), 0, timeout);
    }
    for (const timeout of ['1n', '0m', '5m', '10m', '9000u']) {
      const answer = await send(timeout);
      assert.equal(answer.grpcStatus, '0', timeout);
      assert.deepEqual([codeOf(responseOf(answer)), httpOf(responseOf(answer))], [14, 503], timeout);
    }
    const spoofed = await stream(session, { ...grpcHeaders, 'x-postern-deadline-ms': '1' }, framed(fine));
    assert.equal(codeOf(responseOf(spoofed)), 0);
  });

  test('connections that speak something else do no harm', async () => {
    const [host = '', port = ''] = server.grpc.split(':');
    for (const bytes of [
      'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff',
      '\0'.repeat(10_000),
    ]) {
      const socket = connectSocket(Number(port), host);
      socket.on('error', () => {}).resume();
      socket.end(Buffer.from(bytes, 'latin1'));
      await once(socket, 'close');
    }
    await assertServing();
  });

  test('a flood of resets ends its own connection and nobody else is disturbed', async () => {
    const flood = connect(`http://${server.grpc}`);
    flood.on('error', () => {});
    const gone = once(flood, 'goaway').catch(() => undefined);
    let refused = false;
    for (let i = 0; i < 20_000 && !refused; i++) {
      if (flood.destroyed || flood.closed) break;
      const call = flood.request(grpcHeaders);
      call.on('error', () => {});
      call.close(constants.NGHTTP2_CANCEL);
      if (i % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
      refused = flood.destroyed;
    }
    await gone;
    flood.destroy();
    await assertServing();
  });
});
