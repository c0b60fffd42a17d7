import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { createPoll, type Looked, type PollOptions } from '../../src/bundles/poll.ts';
import { SourceError } from '../../src/bundles/sources/source.ts';
import { isLetGo } from '../support/collect.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const nothingNew: Looked = { changed: false, waits: false };

type Outcome = Looked | Error;

/** A poll on a clock that the test moves. `outcomes` are those of the next looks; nothing new when they are used up. */
function pollOf(context: TestContext, over: Partial<PollOptions> = {}, outcomes: readonly Outcome[] = []) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const left = [...outcomes];
  const looks: { readonly mayWait: boolean; readonly signal: AbortSignal }[] = [];
  let ms = 0;
  const poll = createPoll({
    look: async (signal, mayWait) => {
      looks.push({ mayWait, signal });
      const outcome = left.shift() ?? nothingNew;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    minDelayMs: 1000,
    maxDelayMs: 2000,
    random: () => 0,
    nowMs: () => ms,
    periodic: true,
    longPolls: false,
    ...over,
  });
  context.after(poll.stop);
  const tick = async (by: number): Promise<void> => {
    ms += by;
    context.mock.timers.tick(by);
    await settled();
  };
  /** Moves the clock to just before `delay`, expects no look, then to `delay`, and expects one. */
  const nextAfter = async (delay: number): Promise<void> => {
    const before = looks.length;
    if (delay > 0) await tick(delay - 1);
    assert.equal(looks.length, before, `looked before ${delay} ms`);
    await tick(1);
    assert.equal(looks.length, before + 1, `did not look after ${delay} ms`);
  };
  return { poll, looks, tick, nextAfter, pass: (by: number) => (ms += by) };
}

/** Looks that end when the test says so. */
function heldLooks() {
  const under: { readonly mayWait: boolean; readonly signal: AbortSignal; readonly end: (looked: Looked) => void }[] =
    [];
  const look: PollOptions['look'] = (signal, mayWait) =>
    new Promise((resolve, reject) => {
      under.push({ mayWait, signal, end: resolve });
      signal.addEventListener('abort', () => reject(new Error('stopped')));
    });
  return { look, under };
}

const failures = (count: number): readonly Error[] => Array.from({ length: count }, () => new Error('no'));

describe('a poll', () => {
  test('looks at once and then after a delay between the two', async (context) => {
    const delays = [0, 0.5, 0.999];
    const { poll, nextAfter } = pollOf(context, { random: () => delays.shift() ?? 0 });
    await poll.start();
    await nextAfter(1000);
    await nextAfter(1500);
    await nextAfter(1999);
  });

  test('backs off after failures, never beyond the longest delay, and forgets them after a success', async (context) => {
    const { poll, nextAfter } = pollOf(context, { random: () => 1 }, failures(7));
    await poll.start();
    for (const ms of [100, 200, 400, 800, 1600, 2000, 2000]) await nextAfter(ms);
    await nextAfter(2000);
  });

  test('leaves a server alone as long as it asks for, and not for ever', async (context) => {
    const busy = (retryAfterMs: number): Error => new SourceError('busy', { status: 429, retryAfterMs });
    const { poll, nextAfter } = pollOf(context, {}, [busy(5000), busy(1), busy(1e12), ...failures(1)]);
    await poll.start();
    await nextAfter(5000);
    await nextAfter(100);
    await nextAfter(600_000);
  });

  test('waits a delay that is longer than a timer can be as long as a timer can be', async (context) => {
    const { poll, looks, tick } = pollOf(context, { minDelayMs: 1e11, maxDelayMs: 1e11 });
    await poll.start();
    await tick(2_147_483_646);
    assert.equal(looks.length, 1);
  });

  test('never has two looks under way', async (context) => {
    const { look, under } = heldLooks();
    const { poll, tick } = pollOf(context, { look, minDelayMs: 1, maxDelayMs: 1 });
    void poll.start();
    await tick(100_000);
    assert.equal(under.length, 1);
  });

  test('that is stopped looks no more and ends the look under way', async (context) => {
    const { poll, looks, tick } = pollOf(context);
    await poll.start();
    poll.stop();
    await tick(10_000);
    await poll.poke();
    poll.nudge();
    assert.equal(looks.length, 1);
    const { look, under } = heldLooks();
    const other = createPoll({
      look,
      minDelayMs: 1,
      maxDelayMs: 1,
      random: () => 0,
      nowMs: () => 0,
      periodic: true,
      longPolls: false,
    });
    const first = other.start();
    other.stop();
    await first;
    assert.equal(under[0]?.signal.aborted, true);
  });
});

describe('a poll of a source that waits for something new', () => {
  const something: Looked = { changed: true, waits: true };
  const nothing: Looked = { changed: false, waits: true };

  test('asks again at once', async (context) => {
    const { look, under } = heldLooks();
    const { poll, pass, tick } = pollOf(context, { look, longPolls: true });
    void poll.start();
    for (let i = 0; i < 3; i++) {
      pass(30_000);
      under[i]?.end(i === 1 ? something : nothing);
      await settled();
      await tick(1);
      assert.equal(under.length, i + 2);
    }
  });

  test('is no busy loop when the source does not wait after all', async (context) => {
    const { poll, nextAfter } = pollOf(
      context,
      { longPolls: true, minDelayMs: 5000, maxDelayMs: 9000 },
      Array.from({ length: 9 }, () => nothing),
    );
    await poll.start();
    for (const ms of [2000, 4000, 5000, 5000]) await nextAfter(ms);
  });

  test('has a pause of a second between versions that come one after another', async (context) => {
    const { poll, nextAfter } = pollOf(
      context,
      { longPolls: true },
      Array.from({ length: 9 }, () => something),
    );
    await poll.start();
    for (let i = 0; i < 4; i++) await nextAfter(1000);
  });

  test('goes back to regular delays when the source says that it does not wait, and backs off after a failure', async (context) => {
    const { poll, nextAfter, looks } = pollOf(context, { longPolls: true }, [nothingNew, new Error('no'), nothingNew]);
    await poll.start();
    await nextAfter(1000);
    await nextAfter(50);
    await nextAfter(1000);
    assert.ok(looks.every(({ mayWait }) => mayWait));
  });
});

describe('a poll that is told to look now', () => {
  test('looks now, once however often it is told, and goes on from there', async (context) => {
    const { look, under } = heldLooks();
    const { poll, tick } = pollOf(context, { look });
    const first = poll.start();
    const told = [poll.poke(), poll.poke()];
    assert.equal(under.length, 1);
    under[0]?.end(nothingNew);
    await Promise.all([first, ...told]);
    await tick(500);
    const again = poll.poke();
    assert.equal(under.length, 2);
    under[1]?.end(nothingNew);
    await again;
    await tick(999);
    assert.equal(under.length, 2);
    await tick(1);
    assert.equal(under.length, 3);
  });

  test('gives up a look that waits for something new, which is no failure', async (context) => {
    const { look, under } = heldLooks();
    const { poll, tick } = pollOf(context, { look, longPolls: true });
    const first = poll.start();
    const told = [poll.poke(), poll.poke()];
    await settled();
    assert.deepEqual(
      under.map(({ mayWait, signal }) => [mayWait, signal.aborted]),
      [
        [true, true],
        [false, false],
      ],
    );
    under[1]?.end({ changed: false, waits: true });
    await Promise.all([first, ...told]);
    await tick(2000);
    assert.deepEqual([under.length, under[2]?.mayWait], [3, true]);
  });

  test('looks when it is not periodic, and only then', async (context) => {
    const { poll, looks, tick } = pollOf(context, { periodic: false }, [nothingNew, new Error('no')]);
    await tick(100_000);
    await poll.poke();
    await tick(100_000);
    await poll.poke();
    await tick(100_000);
    assert.equal(looks.length, 2);
  });

  test('by a change looks once more after the look under way, which may have come too early', async (context) => {
    const { look, under } = heldLooks();
    const { poll, tick } = pollOf(context, { look });
    void poll.start();
    poll.nudge();
    poll.nudge();
    under[0]?.end(nothingNew);
    await settled();
    await tick(1);
    assert.equal(under.length, 2);
    under[1]?.end(nothingNew);
    await settled();
    await tick(999);
    assert.equal(under.length, 2);
  });
});

test('a look is let go when it is over, although somebody listened for its end', async (context) => {
  const signals: WeakRef<AbortSignal>[] = [];
  const poll = createPoll({
    look: async (signal) => {
      signal.addEventListener('abort', () => signals.length, { once: true });
      signals.push(new WeakRef(signal));
      return nothingNew;
    },
    ...{ minDelayMs: 1000, maxDelayMs: 2000, random: () => 0, nowMs: () => 0, periodic: false, longPolls: false },
  });
  context.after(poll.stop);
  for (let i = 0; i < 3; i++) await poll.poke();
  assert.deepEqual(await Promise.all(signals.map(isLetGo)), [true, true, true]);
});
