import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { createJwtBundles } from '../../../src/identity/workload-api/jwt-bundles.ts';
import { openStream } from '../../../src/identity/workload-api/stream.ts';
import { startAgent } from '../../support/agent.ts';
import { eventually } from '../../support/process.ts';
import { scratchFolder } from '../../support/servers.ts';
import { jwtBundlesResponse } from '../../support/spiffe.ts';

type Heard = { readonly messages: Buffer[]; readonly causes: string[]; readonly stop: () => void };

function listen(context: TestContext, socket: string, onMessage: (message: Buffer) => void = () => {}): Heard {
  const messages: Buffer[] = [];
  const causes: string[] = [];
  const stop = openStream({
    ...{ socket, method: 'FetchX509SVID' },
    random: () => 0,
    onMessage: (message) => {
      onMessage(message);
      messages.push(message);
    },
    onFailure: (cause) => causes.push(cause),
  });
  context.after(stop);
  return { messages, causes, stop };
}

const until = (isTrue: () => boolean): Promise<true> => eventually(async () => isTrue() || undefined);
const small = Buffer.from('message');

describe('a stream of the Workload API', () => {
  test('is opened with the header that agents ask for, and brings each message', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.x509(small);
    const { messages, causes } = listen(context, agent.socket);
    await until(() => messages.length === 1);
    agent.x509(Buffer.from('second'));
    await until(() => messages.length === 2);
    assert.deepEqual([messages.map(String), causes], [['message', 'second'], []]);
  });

  test('is opened again after the agent was away, and when it ends', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.x509(small);
    const { messages, causes } = listen(context, agent.socket);
    await until(() => messages.length === 1);
    agent.stop();
    await until(() => causes.some((cause) => /UNAVAILABLE: .*ENOENT/.test(cause)));
    await agent.start();
    await until(() => messages.length === 2);
    agent.x509({ code: status.CANCELLED, details: 'bye' });
    agent.x509(small);
    await until(() => messages.length === 3);
    assert.ok(causes.includes('CANCELLED: bye'));
  });

  test('is asked for until there is an identity', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    const { messages, causes } = listen(context, agent.socket);
    await until(() => causes.length >= 2);
    assert.equal(causes[0], 'PERMISSION_DENIED: no identity issued');
    agent.x509(small);
    await until(() => messages.length === 1);
  });

  test('outlives a message that cannot be used', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.x509(small);
    const heard = listen(context, agent.socket, (message) => {
      if (message.equals(small)) throw new Error('not this one');
    });
    await until(() => heard.causes.length === 1);
    agent.x509(Buffer.from('good'));
    await until(() => heard.messages.length === 1);
    assert.deepEqual([heard.causes, agent.calls()], [['not this one'], 1]);
  });

  test('is slowed down when the agent floods it', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.x509('nothing');
    const { messages, stop } = listen(context, agent.socket);
    await until(() => agent.streams() === 1);
    const from = performance.now();
    for (let i = 0; i < 1000; i++) agent.x509(Buffer.from(String(i)));
    await until(() => messages.length >= 5);
    stop();
    const seconds = (performance.now() - from) / 1000;
    assert.ok(messages.length <= 11 * seconds + 2, `${messages.length} messages in ${seconds} s`);
  });

  test('is over when it is stopped', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.x509(small);
    const { messages, causes, stop } = listen(context, agent.socket);
    await until(() => messages.length === 1);
    stop();
    await until(() => agent.streams() === 0);
    assert.deepEqual(causes, []);
    assert.equal(agent.calls(), 1);
  });
});

describe('an agent that is none does no harm:', () => {
  const grpc = { ':status': 200, 'content-type': 'application/grpc' };
  const framed = (message: Buffer, length = message.length, flag = 0): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt8(flag);
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, message]);
  };
  const answers: readonly (readonly [string, (stream: ServerHttp2Stream) => void, RegExp])[] = [
    [
      'a page',
      (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'text/html' });
        stream.end('<html></html>');
      },
      /./,
    ],
    ['a 503', (stream) => stream.respond({ ':status': 503 }, { endStream: true }), /UNAVAILABLE/],
    [
      'half a message',
      (stream) => {
        stream.respond(grpc);
        stream.end(framed(small, 1000));
      },
      /./,
    ],
    [
      'a message that is said to have 4 GB',
      (stream) => {
        stream.respond(grpc);
        stream.write(framed(small, 0xffffffff));
      },
      /RESOURCE_EXHAUSTED/,
    ],
    [
      'five megabytes',
      (stream) => {
        stream.respond(grpc);
        stream.write(framed(Buffer.alloc(5 * 1_048_576)));
      },
      /RESOURCE_EXHAUSTED/,
    ],
    [
      'noise that is said to be compressed',
      (stream) => {
        stream.respond({ ...grpc, 'grpc-encoding': 'gzip' });
        stream.write(framed(randomBytes(1000), 1000, 1));
      },
      /./,
    ],
    [
      'a status that is no number, with a long and odd text',
      (stream) => {
        stream.respond(
          { ...grpc, 'grpc-status': 'x', 'grpc-message': `%0a%1b[31m${'y'.repeat(5000)}` },
          { endStream: true },
        );
      },
      /./,
    ],
    ['a reset', (stream) => stream.close(2), /./],
    ['the end', (stream) => stream.respond({ ...grpc, 'grpc-status': '0' }, { endStream: true }), /ended the stream/],
  ];
  for (const [name, answer, cause] of answers) {
    test(name, async (context) => {
      const server = createHttp2Server().on('stream', (stream: ServerHttp2Stream) => {
        stream.on('error', () => {});
        answer(stream);
      });
      server.on('sessionError', () => {});
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      context.after(() => server.close());
      const { messages, causes, stop } = listen(context, `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
      await until(() => causes.length >= 2);
      stop();
      assert.match(causes[0] ?? '', cause);
      assert.ok(
        causes.every((text) => text.length <= 200 && /^[\x20-\x7e]*$/.test(text)),
        String(causes),
      );
      assert.deepEqual(messages, []);
    });
  }

  const noises: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['noise', (socket) => socket.end(randomBytes(5000))],
    ['another protocol', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['a closed door', (socket) => socket.destroy()],
  ];
  for (const [name, answer] of noises) {
    test(name, async (context) => {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        answer(socket);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      context.after(() => server.close());
      const { causes, stop } = listen(context, `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
      await until(() => causes.length >= 2);
      stop();
    });
  }

  test('nobody at all', async (context) => {
    const { causes } = listen(context, `unix://${join(scratchFolder(context), 'nobody.sock')}`);
    await until(() => causes.length >= 2);
    assert.match(causes[0] ?? '', /^UNAVAILABLE: .*ENOENT/);
  });
});

describe('JWT bundles of the Workload API', () => {
  const ask = (bundles: ReturnType<typeof createJwtBundles>, name: string): Promise<unknown> =>
    bundles
      .originOf(name)(new AbortController().signal)
      .then(({ text }) => JSON.parse(text));

  test('are those of the last message; a trust domain that it does not name has no keys', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.jwtBundles(jwtBundlesResponse({ 'a.test': { keys: [1] }, 'b.test': { keys: [2] } }));
    const bundles = createJwtBundles({ socket: agent.socket, random: () => 0 });
    let changes = 0;
    bundles.onChange(() => changes++);
    context.after(bundles.stop);
    bundles.start();
    assert.deepEqual(await ask(bundles, 'a.test'), { keys: [1] });
    assert.deepEqual(await ask(bundles, 'c.test'), { keys: [] });
    assert.equal(changes, 1);
    agent.jwtBundles(jwtBundlesResponse({ 'b.test': { keys: [3] } }));
    await until(() => changes === 2);
    assert.deepEqual([await ask(bundles, 'a.test'), await ask(bundles, 'b.test')], [{ keys: [] }, { keys: [3] }]);
    const repeated = jwtBundlesResponse({ 'b.test': { keys: [3] } });
    agent.jwtBundles(repeated);
    agent.jwtBundles(jwtBundlesResponse({ 'b.test': { keys: [4] } }));
    await until(() => changes === 3);
    assert.deepEqual(await ask(bundles, 'b.test'), { keys: [4] }, 'what is repeated is no change');
  });

  test('are none while there is no stream, or only messages that cannot be used', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    const bundles = createJwtBundles({ socket: agent.socket, random: () => 0 });
    context.after(bundles.stop);
    bundles.start();
    await assert.rejects(ask(bundles, 'a.test'), /Workload API at unix:.*PERMISSION_DENIED/);
    for (const [message, cause] of [
      [randomBytes(100), /no JWTBundlesResponse/],
      [jwtBundlesResponse({}), /no bundle/],
    ] as const) {
      agent.jwtBundles(message);
      await eventually(async () => {
        await assert.rejects(ask(bundles, 'a.test'), cause);
        return true;
      });
    }
    agent.jwtBundles(jwtBundlesResponse({ 'a.test': { keys: [1] } }));
    await eventually(async () => ask(bundles, 'a.test'));
    agent.stop();
    await eventually(async () => {
      await assert.rejects(ask(bundles, 'a.test'), /UNAVAILABLE/);
      return true;
    });
    await agent.start();
    await eventually(async () => ask(bundles, 'a.test'));
  });

  test('of a silent agent are not waited for without end', async (context) => {
    const agent = await startAgent(context, join(scratchFolder(context), 'a.sock'));
    agent.jwtBundles('nothing');
    const bundles = createJwtBundles({ socket: agent.socket, random: () => 0 });
    context.after(bundles.stop);
    bundles.start();
    await assert.rejects(ask(bundles, 'a.test'), /no answer/);
  });
});
