import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import type { Entry } from '../support/archive.ts';
import type { Scope } from '../support/scope.ts';
import type { unpacked } from '../support/unpacked.ts';

/** A place that a source reads from. */
export type Place = {
  readonly source: (maxBytes: number) => ReturnType<typeof unpacked>;
  readonly put: (entries: readonly Entry[]) => Promise<void> | void;
  /** Puts something that cannot be read as a bundle. */
  readonly spoil: () => Promise<void> | void;
  readonly remove: () => Promise<void> | void;
  /** From now on a look that does not have what was put last comes to no end by itself. */
  readonly hold: () => Promise<void> | void;
  /** What no message may hold: how the place is asked, and what is in what spoils it. */
  readonly secrets: readonly string[];
};

const LIMIT = 10_000;
const version = (value: number): readonly Entry[] => [
  { name: '.manifest', content: `{"revision":"${value}"}` },
  { name: 'data.json', content: `{"v":${value}}` },
];
const never = (): AbortSignal => new AbortController().signal;

/** What every place of bundles has to do; run by each implementation. */
export function describeBundleSource(name: string, open: (scope: Scope) => Promise<Place>): void {
  describe(`a bundle source, ${name}`, () => {
    test('gives files by path and a tag, and says when nothing has changed', async (context) => {
      const place = await open(context);
      await place.put(version(1));
      const source = place.source(LIMIT);
      const first = await source(undefined, never());
      assert.equal(first.kind, 'new');
      assert.deepEqual([...first.files.keys()].sort(), ['.manifest', 'data.json']);
      assert.equal(first.files.get('data.json')?.toString(), '{"v":1}');
      assert.equal((await source(first.tag, never())).kind, 'unchanged');
      await place.put(version(2));
      const second = await source(first.tag, never());
      assert.equal(second.kind, 'new');
      assert.notEqual(second.tag, first.tag);
      assert.equal(second.files.get('data.json')?.toString(), '{"v":2}');
    });

    test('gives a version again to who does not have it', async (context) => {
      const place = await open(context);
      await place.put(version(1));
      const source = place.source(LIMIT);
      assert.equal((await source(undefined, never())).kind, 'new');
      assert.equal((await source(undefined, never())).kind, 'new');
    });

    test('rejects what is no bundle, and gives the good one that comes after it', async (context) => {
      const place = await open(context);
      const source = place.source(LIMIT);
      await place.spoil();
      await assert.rejects(source(undefined, never()), Error);
      await place.put(version(1));
      assert.equal((await source(undefined, never())).kind, 'new');
    });

    test('says unchanged again and again, and goes on from a version that it gave before', async (context) => {
      const place = await open(context);
      await place.put(version(1));
      const source = place.source(LIMIT);
      const first = await source(undefined, never());
      assert.equal(first.kind, 'new');
      for (let look = 0; look < 3; look++) assert.equal((await source(first.tag, never())).kind, 'unchanged');
      await place.spoil();
      await assert.rejects(source(first.tag, never()), Error);
      await place.put(version(2));
      assert.equal((await source(first.tag, never())).kind, 'new');
    });

    test('ends when it is told to, before it has begun and while it is under way', async (context) => {
      const place = await open(context);
      await place.put(version(1));
      const source = place.source(LIMIT);
      await assert.rejects(source(undefined, AbortSignal.abort()), Error);
      const first = await source(undefined, never());
      assert.equal(first.kind, 'new');
      await place.hold();
      await place.put(version(2));
      const stopping = new AbortController();
      const look = source(first.tag, stopping.signal);
      const outcome = assert.rejects(look, Error);
      setTimeout(() => stopping.abort(), 50);
      await outcome;
    });

    test('has no secret in its messages', async (context) => {
      const place = await open(context);
      assert.ok(place.secrets.length > 0);
      const source = place.source(LIMIT);
      await place.put(version(1));
      await place.spoil();
      const spoilt = await source(undefined, never()).catch((error: unknown) => error);
      await place.remove();
      const missing = await source(undefined, never()).catch((error: unknown) => error);
      for (const error of [spoilt, missing]) {
        assert.ok(error instanceof Error);
        const text = inspect(error, { depth: 9 });
        for (const secret of place.secrets) assert.ok(!text.includes(secret), text);
      }
    });

    test('rejects when there is nothing', async (context) => {
      const place = await open(context);
      await place.put(version(1));
      await place.remove();
      await assert.rejects(place.source(LIMIT)(undefined, never()), Error);
    });

    test('rejects more than it may give', async (context) => {
      const place = await open(context);
      await place.put([{ name: 'data.json', content: `{"v":"${'x'.repeat(LIMIT)}"}` }]);
      await assert.rejects(place.source(LIMIT)(undefined, never()), /more than|larger than/);
      assert.equal((await place.source(2 * LIMIT)(undefined, never())).kind, 'new');
    });
  });
}
