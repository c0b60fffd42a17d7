import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { readBounded } from '../../src/lib/bounded-body.ts';
import { digestInTurns, joinInTurns } from '../../src/lib/in-turns.ts';

const whole = randomBytes(30_000_000);
/** As they come from a network: none is large enough to give others their turn within it. */
const parts = Array.from({ length: 3000 }, (_, i) => whole.subarray(i * 10_000, (i + 1) * 10_000));

/** Turns that others had meanwhile. */
async function turnsDuring(work: () => Promise<void>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  await work();
  isOver = true;
  return turns;
}

test('many small parts are put together, and others have their turns meanwhile', async () => {
  const turns = await turnsDuring(async () => {
    assert.ok((await joinInTurns(parts, whole.length)).equals(whole));
  });
  assert.ok(turns > 2, `${turns} turns`);
});

test('a digest in turns is the digest', async () => {
  const turns = await turnsDuring(async () => {
    assert.equal(await digestInTurns(whole, 'sha512'), createHash('sha512').update(whole).digest('hex'));
  });
  assert.ok(turns > 2, `${turns} turns`);
});

test('a long body is what its pieces are', async () => {
  async function* body(): AsyncGenerator<Uint8Array> {
    yield* parts;
  }
  assert.ok((await readBounded(body(), whole.length)).equals(whole));
  await assert.rejects(readBounded(body(), whole.length - 1), { name: 'BodyTooLarge' });
});
