import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { createPoll } from '../../src/bundles/poll.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A poll on a clock that the test moves. `fails` holds what the next looks do; false when it is used up. */
function pollOf(context: TestContext, random: () => number, fails: boolean[] = []) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let looks = 0;
  const poll = createPoll({
    look: async () => {
      looks++;
      if (fails.shift() === true) throw new Error('no');
    },
    minDelayMs: 1000,
    maxDelayMs: 2000,
    random,
  });
  context.after(poll.stop);
  /** Moves the clock to just before `ms`, expects no look, then to `ms`, and expects one. */
  const nextAfter = async (ms: number): Promise<void> => {
    const before = looks;
    context.mock.timers.tick(ms - 1);
    await settled();
    assert.equal(looks, before, `looked before ${ms} ms`);
    context.mock.timers.tick(1);
    await settled();
    assert.equal(looks, before + 1, `did not look after ${ms} ms`);
  };
  return { poll, looks: () => looks, nextAfter };
}

describe('a poll', () => {
  test('looks at once and then after a delay between the two', async (context) => {
    const delays = [0, 0.5, 0.999];
    const { poll, nextAfter } = pollOf(context, () => delays.shift() ?? 0);
    await poll.start();
    await nextAfter(1000);
    await nextAfter(1500);
    await nextAfter(1999);
  });

  test('backs off after failures, never beyond the longest delay, and forgets them after a success', async (context) => {
    const { poll, nextAfter } = pollOf(context, () => 1, [true, true, true, true, true, true, true, false]);
    await poll.start();
    for (const ms of [100, 200, 400, 800, 1600, 2000, 2000]) await nextAfter(ms);
    await nextAfter(2000);
  });

  test('never has two looks under way', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    let looks = 0;
    const poll = createPoll({
      look: () => {
        looks++;
        return new Promise(() => {});
      },
      minDelayMs: 1,
      maxDelayMs: 1,
      random: () => 0,
    });
    context.after(poll.stop);
    void poll.start();
    context.mock.timers.tick(100_000);
    await settled();
    assert.equal(looks, 1);
  });

  test('that is stopped looks no more and ends the look under way', async (context) => {
    const { poll, looks } = pollOf(context, () => 0);
    await poll.start();
    poll.stop();
    context.mock.timers.tick(10_000);
    await settled();
    assert.equal(looks(), 1);
    let seen: AbortSignal | undefined;
    const other = createPoll({
      look: (signal) => {
        seen = signal;
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))));
      },
      minDelayMs: 1,
      maxDelayMs: 1,
      random: () => 0,
    });
    const first = other.start();
    other.stop();
    await first;
    assert.equal(seen?.aborted, true);
  });
});
