import assert from 'node:assert/strict';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import { describe, test } from 'node:test';
import { createSupersededTags } from '../../src/bundles/sources/superseded-tags.ts';
import { bundleOf } from '../support/archive.ts';
import { httpSource } from '../support/sources.ts';
import { serve } from '../support/web.ts';

/** The tag of a version whose ETag is this one. */
const tagOf = (etag: string): string => `${'0'.repeat(64)} ${etag}`;
const never = new AbortController().signal;
const TYPE = 'application/vnd.openpolicyagent.bundles';
const bundle = (version: number): Buffer => bundleOf([{ name: 'data.json', content: `{"v":${version}}` }]);

/** Answers in turn; the last one again and again. Keeps what was asked. */
function script(...steps: readonly { status: number; headers?: Record<string, string>; body?: Buffer }[]) {
  const asked: IncomingHttpHeaders[] = [];
  const listener: RequestListener = (request, response) => {
    const step = steps[Math.min(asked.length, steps.length - 1)] ?? { status: 500 };
    asked.push(request.headers);
    response.writeHead(step.status, step.headers).end(step.body);
  };
  return { asked, listener };
}

describe('long polling', () => {
  test('is asked for from the first request on, until a bundle comes without the type, and again after one with it', async (context) => {
    const { asked, listener } = script(
      { status: 200, headers: { etag: '"1"', 'content-type': TYPE }, body: bundle(1) },
      { status: 304 },
      { status: 200, headers: { etag: '"2"', 'content-type': 'application/gzip' }, body: bundle(2) },
      { status: 304 },
      { status: 200, headers: { etag: '"3"', 'content-type': TYPE }, body: bundle(3) },
      { status: 304 },
    );
    const polling = { long_polling_timeout_seconds: 7 };
    const source = httpSource(context, await serve(context, listener), { bundle: { polling } });
    const waits: (boolean | undefined)[] = [];
    let tag: string | undefined;
    for (let i = 0; i < 6; i++) {
      const fetched = await source(tag, never, true);
      waits.push(fetched.waits);
      if (fetched.kind === 'new') tag = fetched.tag;
    }
    assert.deepEqual(
      asked.map(({ prefer }) => prefer),
      ['wait', 'wait', 'wait', '', '', 'wait'].map((wait) => `modes=snapshot,delta${wait === '' ? '' : ';wait=7'}`),
    );
    assert.deepEqual(waits, [true, true, false, false, true, true]);
  });

  test('is not asked for when the look may not wait, or the bundle is not configured to', async (context) => {
    const { asked, listener } = script({ status: 200, headers: { 'content-type': TYPE }, body: bundle(1) });
    const url = await serve(context, listener);
    const polling = { long_polling_timeout_seconds: 7 };
    assert.equal((await httpSource(context, url, { bundle: { polling } })(undefined, never, false)).waits, true);
    assert.equal((await httpSource(context, url)(undefined, never, true)).waits, false);
    assert.deepEqual(
      asked.map(({ prefer }) => prefer),
      ['modes=snapshot,delta', 'modes=snapshot,delta'],
    );
  });

  test('has the headers come as late as was asked for, and a moment later', async (context) => {
    const url = await serve(context, (_request, response) => {
      setTimeout(() => response.writeHead(304).end(), 1500);
    });
    const source = httpSource(context, url, {
      service: { response_header_timeout_seconds: 0.1 },
      bundle: { polling: { long_polling_timeout_seconds: 20 } },
    });
    assert.equal((await source(tagOf('"1"'), never, true)).kind, 'unchanged');
    await assert.rejects(source(tagOf('"1"'), never, false), /no response headers in time/);
  });
});

describe('a version', () => {
  test('is known by its ETag as the server gave it, weak ones and ones without quotes too', async (context) => {
    for (const etag of ['"a"', 'W/"a, b"', 'bare']) {
      const { asked, listener } = script({ status: 200, headers: { etag }, body: bundle(1) }, { status: 304 });
      const source = httpSource(context, await serve(context, listener));
      const fetched = await source(undefined, never);
      assert.ok(fetched.kind === 'new');
      await source(fetched.tag, never);
      assert.deepEqual(
        asked.map((headers) => headers['if-none-match']),
        [undefined, etag],
      );
    }
  });

  test('is known by its content where there is no ETag, or one that is no use', async (context) => {
    const useless: readonly Record<string, string>[] = [{}, { etag: '' }, { etag: `"${'x'.repeat(2000)}"` }];
    for (const headers of useless) {
      const { asked, listener } = script(
        { status: 200, headers, body: bundle(1) },
        { status: 200, headers, body: bundle(1) },
        { status: 200, headers, body: bundle(2) },
      );
      const source = httpSource(context, await serve(context, listener));
      const first = await source(undefined, never);
      assert.ok(first.kind === 'new');
      assert.equal((await source(first.tag, never)).kind, 'unchanged');
      assert.equal((await source(first.tag, never)).kind, 'new');
      assert.ok(asked.every((each) => each['if-none-match'] === undefined));
    }
  });

  test('that comes again is no new one; another content under the same ETag is, until it is active', async (context) => {
    const headers = { etag: '"always"' };
    const { listener } = script(
      { status: 200, headers, body: bundle(1) },
      { status: 200, headers, body: bundle(1) },
      { status: 200, headers, body: bundle(2) },
    );
    const source = httpSource(context, await serve(context, listener));
    const first = await source(undefined, never);
    assert.ok(first.kind === 'new');
    assert.equal((await source(first.tag, never)).kind, 'unchanged');
    assert.equal((await source(first.tag, never)).kind, 'new');
    const second = await source(first.tag, never);
    assert.ok(second.kind === 'new');
    assert.equal((await source(second.tag, never)).kind, 'unchanged');
  });
});

describe('tags of replaced versions', () => {
  test('are sent with the active one, newest first, as long as they are remembered', () => {
    let ms = 0;
    const tags = createSupersededTags(1000, () => ms);
    assert.deepEqual(tags.tagsWith('"1"'), ['"1"']);
    tags.replaced('"1"', '"2"');
    assert.deepEqual(tags.tagsWith('"2"'), ['"2"', '"1"']);
    ms = 500;
    tags.replaced('"2"', '"3"');
    assert.deepEqual(tags.tagsWith('"3"'), ['"3"', '"2"', '"1"']);
    ms = 1000;
    assert.deepEqual(tags.tagsWith('"3"'), ['"3"', '"2"']);
    ms = 1500;
    assert.deepEqual(tags.tagsWith('"3"'), ['"3"']);
  });

  test('do not hold those that could not be activated, nor the active one after a rollback', () => {
    const tags = createSupersededTags(1000, () => 0);
    tags.replaced('"1"', '"bad"');
    assert.deepEqual(tags.tagsWith('"1"'), ['"1"']);
    tags.replaced('"1"', '"2"');
    assert.deepEqual(tags.tagsWith('"2"'), ['"2"', '"1"']);
    tags.replaced('"2"', '"1"');
    assert.deepEqual(tags.tagsWith('"1"'), ['"1"', '"2"']);
  });

  test('are at most eight, and none where they are not asked for', () => {
    const tags = createSupersededTags(1000, () => 0);
    for (let i = 0; i < 20; i++) {
      tags.replaced(`"${i}"`, `"${i + 1}"`);
      tags.tagsWith(`"${i + 1}"`);
    }
    assert.equal(tags.tagsWith('"20"').length, 9);
    const off = createSupersededTags(0, () => 0);
    off.replaced('"1"', '"2"');
    assert.deepEqual(off.tagsWith('"2"'), ['"2"']);
  });
});
