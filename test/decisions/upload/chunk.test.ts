import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Event } from '../../../src/decisions/upload/event.ts';
import { readEvent, withoutCache } from '../../../src/decisions/upload/event.ts';
import { createSender } from '../../../src/decisions/upload/sender.ts';

type Tree = { readonly [key: string]: unknown };
const eventOf = (value: Tree): Event => ({ text: JSON.stringify(value), timeMs: 0 });
/** Text that compresses not at all. */
const noise = (bytes: number): string => randomBytes(Math.ceil(bytes / 2)).toString('hex');

/** Sends all of them to a service that answers with `answer`; requests that were taken, and decisions that were lost. */
async function sendAll(events: readonly Event[], limit: number, answer: (body: Buffer) => number = () => 200) {
  const bodies: Buffer[] = [];
  const lost: string[] = [];
  const counts = { taken: 0, stripped: 0 };
  const sender = createSender({
    limit,
    post: async (body) => {
      const status = answer(body);
      if (status === 200) bodies.push(body);
      return status;
    },
    onTaken: (taken, stripped) => {
      counts.taken += taken;
      counts.stripped += stripped;
    },
    onFailed: () => {},
    onLost: (reason, { text }) => lost.push(`${reason} ${(JSON.parse(text) as { id: number }).id}`),
  });
  let rest = events;
  while (rest.length > 0) {
    const count = await sender.send(rest);
    assert.ok(count > 0);
    rest = rest.slice(count);
  }
  const sent = bodies.map((body) => JSON.parse(gunzipSync(body).toString()) as readonly (Tree & { id: number })[]);
  return { bodies, sent, ids: sent.flat().map(({ id }) => id), lost, counts };
}

describe('requests', () => {
  const sizes: { readonly [what: string]: (i: number) => Tree } = {
    'that compress well': (i) => ({ id: i, input: noise(200) + 'a'.repeat(2000 + (i % 7) * 300) }),
    'that do not compress': (i) => ({ id: i, input: noise(100 + (i % 13) * 200) }),
    'that are as they come': (i) => ({ id: i, input: i % 50 < 25 ? 'a'.repeat(9000) : noise(3000) }),
  };
  for (const [what, make] of Object.entries(sizes)) {
    test(`with decisions ${what} stay below the limit, and have each once, in order`, async () => {
      const events = Array.from({ length: 2000 }, (_, i) => eventOf(make(i)));
      const { bodies, ids, lost, counts } = await sendAll(events, 4096);
      assert.deepEqual(ids, [...events.keys()]);
      assert.deepEqual(lost, []);
      assert.equal(counts.taken, 2000);
      assert.ok(Math.max(...bodies.map(({ length }) => length)) <= 4096);
      // The first ones are small, as it is not known yet how well they compress.
      const middle = bodies.slice(10, -1).map(({ length }) => length);
      assert.ok(middle.reduce((a, b) => a + b, 0) / middle.length > 2000, String(middle.slice(0, 50)));
    });
  }

  test('leave out the cache of a decision that is too large with it, and one that is too large without', async () => {
    const large = noise(5000);
    const { ids, lost, counts, sent } = await sendAll(
      [
        eventOf({ id: 0 }),
        eventOf({ nd_builtin_cache: { 'http.send': large }, id: 1, input: 'kept' }),
        eventOf({ id: 2, input: large }),
        eventOf({ id: 3, input: large, nd_builtin_cache: { a: large } }),
        eventOf({ id: 4 }),
      ],
      2048,
    );
    assert.deepEqual(ids, [0, 1, 4]);
    assert.deepEqual(lost, ['too_large 2', 'too_large 3']);
    assert.deepEqual(counts, { taken: 3, stripped: 1 });
    assert.deepEqual(
      sent.flat().find(({ id }) => id === 1),
      { id: 1, input: 'kept' },
    );
  });

  test('become smaller for a service that answers 413, and larger again', async () => {
    const events = Array.from({ length: 6000 }, (_, i) => eventOf({ id: i, input: noise(150) }));
    let most = 700;
    let answered = 0;
    const { ids, lost, bodies } = await sendAll(events, 32_768, ({ length }) => {
      if (++answered > 300) most = Number.POSITIVE_INFINITY;
      return length > most ? 413 : 200;
    });
    assert.deepEqual(ids, [...events.keys()]);
    assert.deepEqual(lost, []);
    assert.ok(bodies.some(({ length }) => length > 20_000));
  });

  test('do without a decision that the service finds too large alone', async () => {
    const events = [10, 900, 10, 20].map((bytes, id) => eventOf({ id, input: noise(bytes) }));
    const { ids, lost } = await sendAll(events, 32_768, ({ length }) => (length > 400 ? 413 : 200));
    assert.deepEqual([ids, lost], [[0, 2, 3], ['refused 1']]);
  });
});

test('lines of the log are decisions without their number, or not for the service', () => {
  const line = '{"decision_id":"1","timestamp":"2026-01-02T03:04:05.678000000Z","input":{"n":1.50,"seq":3},"seq":12}';
  const text = '{"decision_id":"1","timestamp":"2026-01-02T03:04:05.678000000Z","input":{"n":1.50,"seq":3}}';
  assert.deepEqual(readEvent(line), { text, timeMs: Date.parse('2026-01-02T03:04:05.678Z') });
  assert.equal(readEvent('{"gap":{"from_seq":1,"to_seq":2}}'), 'other');
  for (const torn of ['', '{"a":', '[]', 'null', '\0\0']) assert.equal(readEvent(torn), 'unreadable');
  assert.equal(withoutCache('{"a":1.0,"nd_builtin_cache":{"b":[{}]},"c":"}"}'), '{"a":1.0,"c":"}"}');
  assert.equal(withoutCache('{"a":{"nd_builtin_cache":1}}'), undefined);
});
