import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createHttpSource } from '../../src/bundles/sources/http.ts';
import type { ServiceConfig } from '../../src/config/schema.ts';
import { describeBundleSource, type Place } from '../contract/bundle-source.ts';
import { bundleOf } from '../support/archive.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { unpacked } from '../support/unpacked.ts';

const LIMIT = 1_000_000;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const never = new AbortController().signal;

async function serve(scope: Scope, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const service = (over: Partial<ServiceConfig>): ServiceConfig => ({
  url: 'http://127.0.0.1',
  headers: {},
  response_header_timeout_seconds: 10,
  ...over,
});

describeBundleSource('an HTTP server', async (scope): Promise<Place> => {
  let body: Buffer | undefined;
  let version = 0;
  const put = (bytes: Buffer | undefined): void => {
    body = bytes;
    version++;
  };
  const url = await serve(scope, (request, response) => {
    const etag = `"${version}"`;
    if (body === undefined) response.writeHead(404).end();
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(body);
  });
  return {
    source: (maxBytes) => unpacked(createHttpSource(url, undefined), maxBytes),
    put: (entries) => put(bundleOf(entries)),
    spoil: () => put(good.subarray(0, good.length / 2)),
    remove: () => put(undefined),
  };
});

describe('a request for a bundle', () => {
  test('carries the headers of its service and a token that is read anew each time', async (context) => {
    const seen: IncomingMessage['headers'][] = [];
    const url = await serve(context, (request, response) => {
      seen.push(request.headers);
      response.end(good);
    });
    const token_path = join(scratchFolder(context), 'token');
    const credentials = { bearer: { token_path, scheme: 'Bearer' } };
    const source = unpacked(createHttpSource(url, service({ headers: { 'x-team': 'policy' }, credentials })), LIMIT);
    for (const token of ['one', 'two']) {
      writeFileSync(token_path, `${token}\n`);
      await source(undefined, never);
    }
    assert.deepEqual(
      seen.map((headers) => [headers.authorization, headers['x-team'], headers['accept-encoding']]),
      [
        ['Bearer one', 'policy', 'identity'],
        ['Bearer two', 'policy', 'identity'],
      ],
    );
  });

  test('fails without its token, and no message holds one', async (context) => {
    const url = await serve(context, (_request, response) => response.writeHead(403).end());
    const bearer = (over: object): ServiceConfig => service({ credentials: { bearer: { scheme: 'Bearer', ...over } } });
    const missing = unpacked(createHttpSource(url, bearer({ token_path: '/nowhere/token' })), LIMIT);
    await assert.rejects(missing(undefined, never), /ENOENT/);
    for (const token of ['s3cr3t', 's3cr3t\nx: y']) {
      const source = unpacked(createHttpSource(url, bearer({ token })), LIMIT);
      await assert.rejects(source(undefined, never), (error: Error) => !String(error.stack).includes('s3cr3t'));
    }
  });

  test('does not follow a redirect', async (context) => {
    const reached: string[] = [];
    const url = await serve(context, (request, response) => {
      reached.push(request.url ?? '');
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    const source = unpacked(createHttpSource(`${url}/here`, undefined), LIMIT);
    await assert.rejects(source(undefined, never), /answered 302; redirects are not followed/);
    assert.deepEqual(reached, ['/here']);
  });

  test('takes a 304 only as the answer to a tag', async (context) => {
    const url = await serve(context, (_request, response) => response.writeHead(304).end());
    const source = unpacked(createHttpSource(url, undefined), LIMIT);
    await assert.rejects(source(undefined, never), /304/);
    await assert.rejects(source('', never), /304/);
    assert.deepEqual(await source('"1"', never), { kind: 'unchanged' });
  });

  test('ends when it is told to stop, or when the headers take too long', async (context) => {
    const url = await serve(context, (request, response) => {
      if (request.url === '/body') response.writeHead(200).write(good.subarray(0, 5));
    });
    const stopping = new AbortController();
    const stopped = unpacked(createHttpSource(`${url}/body`, undefined), LIMIT)(undefined, stopping.signal);
    setImmediate(() => stopping.abort());
    await assert.rejects(stopped, /abort/i);
    const impatient = unpacked(
      createHttpSource(`${url}/headers`, service({ response_header_timeout_seconds: 0.05 })),
      LIMIT,
    );
    await assert.rejects(impatient(undefined, never), /Headers Timeout/);
  });
});

describe('an answer', () => {
  const refused: readonly (readonly [string, RequestListener, RegExp])[] = [
    [
      'that is an HTML page',
      (_request, response) => response.end('<!doctype html><title>Sign in</title>'),
      /no tar archive; it looks like an HTML or XML page/,
    ],
    ['that is empty', (_request, response) => response.end(), /empty/],
    [
      'that is shorter than announced',
      (_request, response) => {
        response.writeHead(200, { 'content-length': good.length + 1 }).write(good, () => response.destroy());
      },
      /./,
    ],
    [
      'that breaks off',
      (_request, response) => {
        response.writeHead(200).write(good, () => response.destroy());
      },
      /./,
    ],
    [
      'that is too large to be downloaded',
      (_request, response) => {
        const chunk = Buffer.alloc(1_048_576);
        const more = (): void => {
          while (response.write(chunk));
          response.once('drain', more);
        };
        more();
      },
      /more than 52428800 bytes/,
    ],
    ['that is a partial one', (_request, response) => response.writeHead(206).end(good), /answered 206/],
    ['that is an error', (_request, response) => response.writeHead(503).end('busy'), /answered 503/],
    ['that is gzipped twice', (_request, response) => response.end(gzipSync(good)), /no tar archive|no end/],
  ];
  for (const [name, listener, message] of refused) {
    test(`${name} is refused`, async (context) => {
      const source = unpacked(createHttpSource(await serve(context, listener), undefined), LIMIT);
      await assert.rejects(source('"1"', never), message);
    });
  }

  test('whose gzip is called a content encoding is unzipped once', async (context) => {
    const url = await serve(context, (_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(good);
    });
    const fetched = await unpacked(createHttpSource(url, undefined), LIMIT)(undefined, never);
    assert.equal(fetched.kind === 'new' && fetched.files.get('data.json')?.toString(), '{"v":1}');
  });
});
