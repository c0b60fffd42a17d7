import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { ServiceConfig } from '../../src/config/schema.ts';
import { describeBundleSource, type Place } from '../contract/bundle-source.ts';
import { bundleOf } from '../support/archive.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { type Given, httpSource } from '../support/sources.ts';
import { unpacked } from '../support/unpacked.ts';
import { serve } from '../support/web.ts';

const LIMIT = 1_000_000;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const never = new AbortController().signal;

/** A source whose bundles are unpacked at once. */
const sourceAt = (scope: Scope, url: string, given: Given = {}): ReturnType<typeof unpacked> =>
  unpacked(httpSource(scope, url, given), LIMIT);

const bearer = (over: object): Partial<ServiceConfig> => ({ credentials: { bearer: { scheme: 'Bearer', ...over } } });

describeBundleSource('an HTTP server', async (scope): Promise<Place> => {
  let body: Buffer | undefined;
  let version = 0;
  let isHeld = false;
  const put = (bytes: Buffer | undefined): void => {
    body = bytes;
    version++;
  };
  const url = await serve(scope, (request, response) => {
    const etag = `"${version}"`;
    if (isHeld) return;
    if (body === undefined) response.writeHead(404).end('s3cr3t-in-content');
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(body);
  });
  const service = { url: url.replace('//', '//user:s3cr3t-in-url@'), headers: { 'x-key': 's3cr3t-header' } };
  const bundle = { resource: 'b.tar.gz?sig=s3cr3t-in-query' };
  return {
    source: (maxBytes) => unpacked(httpSource(scope, url, { service, bundle }), maxBytes),
    put: (entries) => put(bundleOf(entries)),
    spoil: () => put(Buffer.from('s3cr3t-in-content')),
    remove: () => put(undefined),
    hold: () => {
      isHeld = true;
    },
    secrets: ['s3cr3t'],
  };
});

describe('a request for a bundle', () => {
  test('carries the headers of its service and a token that is read anew each time', async (context) => {
    const seen: IncomingHttpHeaders[] = [];
    const url = await serve(context, (request, response) => {
      seen.push(request.headers);
      response.end(good);
    });
    const token_path = join(scratchFolder(context), 'token');
    const credentials = { bearer: { token_path, scheme: 'Bearer' } };
    const headers = { 'X-Team': 'policy', 'Accept-Encoding': 'br', 'User-Agent': 'ours' };
    const source = sourceAt(context, url, { service: { headers, credentials } });
    for (const token of ['one', 'two']) {
      writeFileSync(token_path, `${token}\n`);
      await source(undefined, never);
    }
    assert.deepEqual(
      seen.map((headers) => [
        headers.authorization,
        headers['x-team'],
        headers['accept-encoding'],
        headers['user-agent'],
      ]),
      [
        ['Bearer one', 'policy', 'identity', 'ours'],
        ['Bearer two', 'policy', 'identity', 'ours'],
      ],
    );
  });

  test('fails without its token, and no message holds one', async (context) => {
    const url = await serve(context, (_request, response) => response.writeHead(403).end());
    const missing = sourceAt(context, url, { service: bearer({ token_path: '/nowhere/token' }) });
    await assert.rejects(missing(undefined, never), /ENOENT/);
    for (const token of ['s3cr3t', 's3cr3t\nx: y']) {
      const source = sourceAt(context, url, { service: bearer({ token }) });
      await assert.rejects(source(undefined, never), (error: Error) => !String(error.stack).includes('s3cr3t'));
    }
  });

  test('takes a 304 only as the answer to a tag', async (context) => {
    const url = await serve(context, (_request, response) => response.writeHead(304).end());
    const source = sourceAt(context, url);
    await assert.rejects(source(undefined, never), /304/);
    await assert.rejects(source(`${'0'.repeat(64)} `, never), /304/);
    assert.equal((await source(`${'0'.repeat(64)} "1"`, never)).kind, 'unchanged');
  });

  test('ends when it is told to stop, or when the headers take too long', async (context) => {
    const url = await serve(context, (request, response) => {
      if (request.url === '/body') response.writeHead(200).write(good.subarray(0, 5));
    });
    const stopping = new AbortController();
    const stopped = sourceAt(context, url, { bundle: { resource: 'body' } })(undefined, stopping.signal);
    setTimeout(() => stopping.abort(), 50);
    await assert.rejects(stopped, Error);
    const impatient = sourceAt(context, url, { service: { response_header_timeout_seconds: 0.05 } });
    await assert.rejects(impatient(undefined, never), /no response headers in time/);
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
    [
      'that is encoded in a way that was not asked for',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'br' }).end(good),
      /a content encoding other than gzip/,
    ],
    [
      'that is encoded several times',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(gzipSync(good)),
      /a content encoding other than gzip/,
    ],
    [
      'that is called gzip and is not',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('what?'),
      /not the gzip that it is called/,
    ],
    ['that is gzipped twice', (_request, response) => response.end(gzipSync(good)), /no tar archive|no end/],
  ];
  for (const [name, listener, message] of refused) {
    test(`${name} is refused`, async (context) => {
      const source = sourceAt(context, await serve(context, listener));
      await assert.rejects(source(`${'0'.repeat(64)} "1"`, never), message);
    });
  }

  const encoded: readonly (readonly [string, Buffer])[] = [
    ['for its own compression', good],
    ['over its own compression', gzipSync(good)],
  ];
  for (const [name, body] of encoded) {
    test(`that says gzip ${name} is unzipped as often as it has to be`, async (context) => {
      const url = await serve(context, (_request, response) => {
        response.writeHead(200, { 'content-encoding': 'GZIP' }).end(body);
      });
      const fetched = await sourceAt(context, url)(undefined, never);
      assert.equal(fetched.kind === 'new' && fetched.files.get('data.json')?.toString(), '{"v":1}');
    });
  }
});
