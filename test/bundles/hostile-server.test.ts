import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import type { Policy } from '../../src/bundles/activate.ts';
import { type Bundles, createBundles } from '../../src/bundles/bundles.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { bundleOf } from '../support/archive.ts';
import { issue, type Pair, selfSigned } from '../support/certificates.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { bundleConfig, noS3, nowhere, serviceConfig } from '../support/sources.ts';
import { listen, serve } from '../support/web.ts';

const filler = Array.from({ length: 4000 }, (_, i) => (i * 2_654_435_761) % 4_294_967_296).join();
const bundle = (revision: string): Buffer =>
  bundleOf([
    { name: '.manifest', content: JSON.stringify({ revision }) },
    { name: 'data.json', content: JSON.stringify({ revision, filler }) },
  ]);

/** What stands in for the good server; undefined: nothing does. */
type Fault = { readonly listener?: RequestListener; readonly onSocket?: (socket: Socket) => void } | undefined;

/**
 * Bundles from a server over TLS whose answers can be anything, as a PDP runs them, but without policy behind it. They
 * are looked for on demand, so that each look is one answer.
 */
async function setUp(scope: Scope, pair: { readonly ca: Pair; readonly server: Pair }, trigger: 'manual' | 'periodic') {
  let fault: Fault;
  let revision = 'r1';
  const open = new Set<Socket>();
  const events = new EventEmitter();
  const authorizations: (string | undefined)[] = [];
  const times: number[] = [];
  const inner = await serve(
    scope,
    (request, response) => {
      authorizations.push(request.headers.authorization);
      times.push(performance.now());
      if (fault?.listener !== undefined) return fault.listener(request, response);
      const etag = `"${revision}"`;
      if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
      else response.writeHead(200, { etag }).end(bundle(revision));
    },
    pair.server,
    { minVersion: 'TLSv1.2' },
  );
  const front = createServer((socket) => {
    socket.on('error', () => {});
    if (fault?.onSocket !== undefined) return fault.onSocket(socket);
    const onward = connect(Number(new URL(inner).port), '127.0.0.1');
    onward.on('error', () => socket.destroy());
    open.add(socket);
    socket.on('close', () => {
      open.delete(socket);
      onward.destroy();
    });
    onward.on('close', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  const url = `https://127.0.0.1:${await listen(front)}`;
  scope.after(() => front.close());
  const commits: Policy[] = [];
  const bundles: Bundles = createBundles({
    config: { main: bundleConfig({ trigger }) },
    services: {
      ci: serviceConfig({
        url,
        tls: { ca_cert: pair.ca.cert, system_ca_required: false },
        credentials: { bearer: { token: 's3cr3t-token', scheme: 'Bearer' } },
        response_header_timeout_seconds: 1,
      }),
    },
    keys: {},
    allowRollback: [],
    maxAgeMs: undefined,
    store: nowhere,
    s3: noS3,
    env: {},
    limits: { connectMs: 1000, downloadMs: 2000, stallMs: 1000 },
    files: [],
    clock: systemClock,
    random: Math.random,
    log: { info: () => {}, warn: () => {}, error: () => {} },
    prepare: async (policy) => ({ commit: () => void commits.push(policy), abandon: () => {} }),
    onActivated: () => events.emit('activated'),
    onFailed: () => events.emit('failed'),
    onLooked: () => {},
    onStale: () => {},
  });
  scope.after(bundles.stop);
  await bundles.start();
  return {
    bundles,
    events,
    authorizations,
    times,
    /** Revision of what serves. */
    active: () => commits.at(-1)?.revisions['main'],
    status: () => bundles.status()['main'],
    become: (next: Fault) => {
      fault = next;
      // What is wrong with connections shows with new ones only.
      if (next?.onSocket !== undefined) for (const socket of open) socket.destroy();
    },
    /** The server is well again, and has a new revision. */
    heal: () => {
      fault = undefined;
      revision = `r${Number(revision.slice(1)) + 1}`;
      return revision;
    },
  };
}

type Hostile = readonly [name: string, fault: NonNullable<Fault>, message: RegExp];

const good = bundle('hostile');
const headersOf = (count: number, value: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, value]));
const answering =
  (status: number, headers: Record<string, string | number> = {}, body: Buffer | string = ''): RequestListener =>
  (_request, response) =>
    response.writeHead(status, headers).end(body);
/** Bytes of the test's own making in the place of an HTTP response. */
const raw =
  (write: (socket: Socket) => void): RequestListener =>
  (request) =>
    write(request.socket);
const responseHead = (length: number): string => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`;
/** Writes again and again until the other side has had enough. */
const dripping = (socket: Socket, chunk: string | Buffer, everyMs: number): void => {
  const timer = setInterval(() => socket.write(chunk), everyMs);
  socket.on('close', () => clearInterval(timer));
};
const broken = (at: number): Buffer => {
  const bytes = Buffer.from(good);
  bytes[bytes.length + at] = (bytes[bytes.length + at] ?? 0) ^ 0xff;
  return bytes;
};

const hostile: readonly Hostile[] = [
  ['gzip with a wrong checksum', { listener: answering(200, {}, broken(-8)) }, /unzipped: incorrect data check/],
  ['gzip with a wrong length', { listener: answering(200, {}, broken(-1)) }, /unzipped: incorrect length check/],
  [
    'a content-length that is too short',
    { listener: raw((s) => s.end(Buffer.concat([Buffer.from(responseHead(good.length - 100)), good]))) },
    /unzipped/,
  ],
  [
    'a content-length that is too long',
    { listener: raw((s) => s.end(Buffer.concat([Buffer.from(responseHead(good.length + 1)), good]))) },
    /cut|length/,
  ],
  [
    'two lengths',
    { listener: raw((s) => s.end(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello`)) },
    /length is not what was announced|not HTTP/,
  ],
  [
    'a page with status 200',
    { listener: answering(200, {}, '<!doctype html><title>s3cr3t</title>') },
    /looks like an HTML/,
  ],
  [
    'a body of which one byte comes now and then',
    {
      listener: raw((s) => {
        s.write(responseHead(1_000_000));
        dripping(s, 'x', 100);
      }),
    },
    /the download took longer than 2 s/,
  ],
  [
    'a body that does not go on',
    { listener: raw((s) => s.write(`${responseHead(1_000_000)}some`)) },
    /the download has stalled/,
  ],
  [
    'a body without an end',
    {
      listener: (_request, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(1_048_576)));
          response.once('drain', more);
        };
        more();
      },
    },
    /more than 52428800 bytes/,
  ],
  [
    'gzip that unpacks to far more than it may',
    { listener: answering(200, {}, gzipSync(Buffer.alloc(50_000_000))) },
    /unpacks to more than/,
  ],
  [
    'headers of which one byte comes now and then',
    {
      listener: raw((s) => {
        s.write('HTTP/1.1 200 OK\r\nx: ');
        dripping(s, 'x', 100);
      }),
    },
    /no response headers in time/,
  ],
  [
    'interim responses without an end',
    { listener: raw((s) => dripping(s, 'HTTP/1.1 103 Early Hints\r\n\r\n', 50)) },
    /no response headers in time/,
  ],
  ['a thousand headers', { listener: answering(200, headersOf(1000, 'x'.repeat(50)), good) }, /headers are too large/],
  ['what is not HTTP', { listener: raw((s) => s.end('220 smtp.test ready\r\n')) }, /the answer is not HTTP/],
  ['a redirect loop', { listener: answering(302, { location: '/bundles/main' }) }, /more than 5 redirects/],
  [
    'a redirect to nowhere',
    { listener: answering(302, { location: 'https://127.0.0.1:1/' }) },
    /127\.0\.0\.1:1\/: the connection is refused/,
  ],
  [
    'a redirect without encryption',
    { listener: answering(302, { location: 'http://127.0.0.1:1/' }) },
    /from https to http/,
  ],
  [
    'seven content encodings',
    { listener: answering(200, { 'content-encoding': Array(7).fill('gzip').join(', ') }, good) },
    /a content encoding other than gzip/,
  ],
  [
    'a thousand content encodings',
    { listener: answering(200, { 'content-encoding': Array(1000).fill('br').join(',') }, good) },
    /a content encoding other than gzip/,
  ],
  [
    'an upgrade that nobody asked for',
    { listener: raw((s) => s.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')) },
    /./,
  ],
  [
    'a connection that ends before the handshake',
    { onSocket: (socket) => void socket.once('data', () => socket.destroy()) },
    /was cut/,
  ],
  [
    'a handshake that is not one',
    { onSocket: (socket) => void socket.once('data', () => socket.end('no TLS here\r\n\r\n')) },
    /TLS failed/,
  ],
  ['a handshake that does not go on', { onSocket: () => {} }, /in time|timed out/],
  [
    'a connection that ends in the middle of the body',
    { listener: raw((s) => s.write(`${responseHead(1_000)}some`, () => s.destroy())) },
    /was cut/,
  ],
  ['no bundle', { listener: answering(204) }, /answered 204: without a bundle/],
  ['a part of a bundle', { listener: answering(206, { 'content-range': 'bytes 0-9/20' }, good) }, /answered 206/],
  [
    'a wish for credentials',
    { listener: answering(401, { 'www-authenticate': 'Basic realm="s3cr3t"' }) },
    /answered 401/,
  ],
  ['a refusal', { listener: answering(403, {}, 's3cr3t') }, /answered 403/],
  ['nothing there', { listener: answering(404, {}, 's3cr3t') }, /answered 404/],
  ['too many requests', { listener: answering(429, { 'retry-after': '1' }) }, /answered 429/],
  ['a fault of its own', { listener: answering(500, {}, 's3cr3t'.repeat(100_000)) }, /answered 500/],
];

describe('a hostile bundle server', () => {
  const shared = createScope();
  let pair: { readonly ca: Pair; readonly server: Pair };
  let place: Awaited<ReturnType<typeof setUp>>;
  before(async () => {
    const folder = scratchFolder(shared);
    const ca = selfSigned(folder, 'ca');
    pair = { ca, server: issue(ca, folder, 'server') };
    place = await setUp(shared, pair, 'manual');
    await place.bundles.poke();
    assert.equal(place.active(), 'r1');
  });
  after(shared.close);

  /** The one before stays active, the status says why, and the next good answer is taken. */
  async function survives(name: string, fault: NonNullable<Fault>, message: RegExp): Promise<void> {
    const active = place.active();
    place.become(fault);
    await place.bundles.poke('main');
    const status = place.status();
    assert.equal(place.active(), active, name);
    assert.deepEqual([status?.active_revision, status?.code], [active, 'bundle_error'], name);
    assert.match(status?.message ?? '', message, name);
    assert.ok(!JSON.stringify(status).includes('s3cr3t'), name);
    const next = place.heal();
    await place.bundles.poke('main');
    assert.equal(place.active(), next, name);
    assert.deepEqual([place.status()?.message, place.status()?.http_code], [undefined, undefined], name);
  }

  for (const [name, fault, message] of hostile) {
    test(`that gives ${name} changes nothing`, () => survives(name, fault, message));
  }

  test('that cuts the bundle at each hundredth of it changes nothing, whether it announces the cut or not', async () => {
    const cut = /unzipped|empty|tar archive|no end|cut|short/;
    for (let percent = 0; percent < 100; percent++) {
      const part = good.subarray(0, Math.floor((good.length * percent) / 100));
      await survives(`${percent} % announced`, { listener: answering(200, {}, part) }, cut);
      const broken = raw((socket) => {
        socket.write(responseHead(good.length));
        socket.end(part);
      });
      await survives(`${percent} % broken off`, { listener: broken }, cut);
    }
  });

  test('that says for ever that nothing has changed leaves the old revision as it is', async () => {
    const active = place.active();
    place.become({ listener: answering(304) });
    for (let look = 0; look < 5; look++) await place.bundles.poke();
    assert.deepEqual([place.active(), place.status()?.message], [active, undefined]);
    const next = place.heal();
    await place.bundles.poke();
    assert.equal(place.active(), next);
  });

  test('that says so from the beginning is an error, not a state without policy that looks well', async (context) => {
    const fresh = await setUp(context, pair, 'manual');
    fresh.become({ listener: answering(304) });
    await fresh.bundles.poke();
    assert.deepEqual([fresh.active(), fresh.status()?.http_code], [undefined, 304]);
    assert.match(fresh.status()?.message ?? '', /was not asked for changes only/);
  });

  test('that sends a thousand short headers is taken, or is not, and does no harm', async () => {
    const active = place.active();
    place.become({ listener: answering(304, headersOf(1000, '1')) });
    await place.bundles.poke();
    assert.equal(place.active(), active);
    const next = place.heal();
    await place.bundles.poke();
    assert.equal(place.active(), next);
  });

  test('that redirects to another host gets no credentials there', async (context) => {
    const asked: string[] = [];
    const elsewhere = await serve(
      context,
      (request, response) => {
        asked.push(JSON.stringify(request.rawHeaders));
        response.writeHead(200).end('gotcha');
      },
      pair.server,
    );
    place.become({ listener: answering(302, { location: `${elsewhere}/?s3cr3t-token` }) });
    await place.bundles.poke();
    assert.equal(asked.length, 1);
    assert.ok(!asked.join().includes('s3cr3t'));
    assert.equal(place.authorizations.at(-1), 'Bearer s3cr3t-token');
    place.heal();
    await place.bundles.poke();
  });

  test('that renegotiates TLS does no harm', async (context) => {
    const renegotiated: string[] = [];
    const url = await serve(
      context,
      (request, response) => {
        (request.socket as TLSSocket).renegotiate({}, (error) => renegotiated.push(String(error)));
        response.end(bundle('r1'));
      },
      pair.server,
      { maxVersion: 'TLSv1.2', ca: readFileSync(pair.ca.cert) },
    );
    place.become({ listener: answering(302, { location: url }) });
    await place.bundles.poke();
    assert.equal(renegotiated.length <= 1, true);
    const next = place.heal();
    await place.bundles.poke();
    assert.equal(place.active(), next);
  });

  test('that is busy is left alone as long as it asks for', async (context) => {
    const polled = await setUp(context, pair, 'periodic');
    assert.equal(polled.active(), 'r1');
    const failed = once(polled.events, 'failed');
    polled.become({ listener: answering(429, { 'retry-after': '2' }) });
    await failed;
    const from = polled.times.length;
    const next = polled.heal();
    await once(polled.events, 'activated');
    assert.equal(polled.active(), next);
    const [before = 0, then = 0] = polled.times.slice(from - 1);
    // A timer may be early by a part of a millisecond, and the answer took its time.
    assert.ok(then - before > 1900, `${then - before} ms`);
  });
});
