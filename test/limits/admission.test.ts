import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Admission, type AdmissionOptions, createAdmission } from '../../src/limits/admission.ts';

type Loop = {
  readonly admission: Admission;
  /** How long calls waited, ms. */
  readonly delays: readonly number[];
  /** Time goes on. */
  readonly pass: (ms: number) => void;
  /** All is read: what was put off is done, one turn after another. */
  readonly turn: () => void;
  readonly settle: () => void;
};

/** An event loop by hand: `whenRead` waits for `turn`, `soon` for the end of what is being done. */
function startLoop(options: Partial<AdmissionOptions> = {}): Loop {
  let nowMs = 1000;
  let afterRead: (() => void)[] = [];
  const soon: (() => void)[] = [];
  const delays: number[] = [];
  const drain = (): void => {
    for (let next = soon.shift(); next !== undefined; next = soon.shift()) next();
  };
  const admission = createAdmission({
    clock: { monotonicMs: () => nowMs },
    maxDelayMs: 25,
    utilization: 0.9,
    servingShare: 0.8,
    busyShare: () => 1,
    maxWaiting: 1000,
    whenRead: (run) => afterRead.push(run),
    soon: (run) => soon.push(run),
    onServed: (delayMs) => delays.push(delayMs),
    ...options,
  });
  const turn = (): void => {
    drain();
    const due = afterRead;
    afterRead = [];
    for (const run of due) {
      run();
      drain();
    }
  };
  return {
    admission,
    delays,
    pass: (ms) => {
      nowMs += ms;
    },
    turn,
    settle: () => {
      while (afterRead.length > 0) turn();
    },
  };
}

type Counts = { served: number; refused: number };

/** Calls that come in at once, with their messages; each takes `eachMs`. */
function arrive({ admission, pass }: Loop, count: number, eachMs: number): Counts {
  const counts = { served: 0, refused: 0 };
  for (let i = 0; i < count; i++) {
    const announced = admission.announce();
    if (announced === undefined) {
      counts.refused++;
      continue;
    }
    announced.unread--;
    const work = (): void => {
      counts.served++;
      pass(eachMs);
    };
    if (!admission.serve(100, work)) counts.refused++;
  }
  return counts;
}

/** Makes it known that a call takes so long, and that the event loop is always busy. */
function warm(loop: Loop, eachMs: number): void {
  for (let i = 0; i < 60; i++) {
    arrive(loop, 20, eachMs);
    loop.settle();
    loop.pass(10);
  }
}

describe('admission', () => {
  test('serves a call at once when there is nothing else to do', () => {
    const loop = startLoop();
    assert.deepEqual(arrive(loop, 1, 0.1), { served: 1, refused: 0 });
    assert.deepEqual(loop.delays, [0]);
  });

  test('has those who come later in a long turn wait until all is read, and serves every one of them, in order', () => {
    const loop = startLoop();
    const order: number[] = [];
    for (let i = 0; i < 20; i++) {
      const announced = loop.admission.announce();
      assert.ok(announced !== undefined);
      announced.unread--;
      assert.ok(
        loop.admission.serve(100, () => {
          order.push(i);
          loop.pass(0.5);
        }),
      );
    }
    assert.deepEqual(order, [0, 1, 2, 3]);
    loop.settle();
    assert.deepEqual(
      order,
      Array.from({ length: 20 }, (_, i) => i),
    );
    assert.ok(loop.delays.every((ms, i) => i === 0 || ms >= 0.5));
  });

  test('looks for what has come in before a long queue is done', () => {
    const loop = startLoop();
    const counts = arrive(loop, 60, 0.5);
    loop.turn();
    assert.ok(counts.served < 20, `${counts.served} were served without a look`);
    loop.settle();
    assert.equal(counts.served, 60);
  });

  test('refuses those who would wait longer than they may, and opens again when the queue is done', () => {
    const loop = startLoop();
    warm(loop, 0.5);
    const flood = arrive(loop, 1000, 0.5);
    assert.ok(flood.refused > 900, `${flood.refused} were refused`);
    loop.settle();
    assert.equal(flood.served + flood.refused, 1000);
    assert.ok(Math.max(...loop.delays) <= 50, `the longest wait was ${Math.max(...loop.delays)} ms`);
    loop.pass(1000);
    const after = arrive(loop, 10, 0.5);
    loop.settle();
    assert.deepEqual(after, { served: 10, refused: 0 });
  });

  test('lets a burst wait twice as long while the event loop is not saturated', () => {
    const [busy, idle] = [startLoop(), startLoop({ busyShare: () => 0.5 })].map((loop) => {
      warm(loop, 0.5);
      const counts = arrive(loop, 1000, 0.5);
      loop.settle();
      return counts.served;
    });
    assert.ok((idle ?? 0) > 1.5 * (busy ?? 0), `${idle} and ${busy}`);
  });

  test('refuses while the first of the queue waits too long, whatever was expected', () => {
    const loop = startLoop();
    warm(loop, 0.1);
    loop.admission.announce();
    loop.pass(5);
    assert.equal(arrive(loop, 1, 0.1).refused, 0);
    loop.pass(60);
    assert.equal(loop.admission.announce(), undefined);
  });

  test('gives those who wait their share of the time while others are refused without end', () => {
    const loop = startLoop();
    warm(loop, 0.5);
    const flood = arrive(loop, 100, 0.5);
    const before = flood.served;
    for (let i = 0; i < 40; i++) {
      loop.admission.announce();
      loop.pass(0.1);
    }
    assert.equal(flood.served, before);
    loop.turn();
    assert.ok((flood.served - before) * 0.5 >= 4 * 0.1 * 40 - 1, `${flood.served - before} were served`);
  });

  test('counts calls whose messages are still to come, but not for ever', () => {
    const loop = startLoop();
    warm(loop, 0.5);
    let announced = 0;
    while (loop.admission.announce() !== undefined) announced++;
    assert.ok(announced > 10);
    loop.settle();
    assert.equal(loop.admission.announce(), undefined, 'they may bring their messages yet');
    for (let i = 0; i < 2; i++) {
      loop.settle();
      loop.pass(250);
      loop.admission.announce();
    }
    assert.ok(loop.admission.announce() !== undefined, 'one that never does keeps nobody out');
  });

  test('has no room for more calls, or bytes, than may wait', () => {
    const few = startLoop({ maxWaiting: 5 });
    few.admission.announce();
    few.pass(3);
    assert.deepEqual(arrive(few, 20, 0), { served: 0, refused: 15 });
    const large = startLoop();
    large.admission.announce();
    large.pass(3);
    assert.ok(large.admission.serve(60_000_000, () => {}));
    assert.ok(!large.admission.serve(60_000_000, () => assert.fail('what is refused must not be done')));
    large.settle();
    large.admission.announce();
    large.pass(3);
    assert.ok(
      large.admission.serve(60_000_000, () => {}),
      'room is given back',
    );
  });

  test('goes on when the work of a call fails', () => {
    const loop = startLoop();
    loop.admission.announce();
    loop.pass(3);
    assert.ok(
      loop.admission.serve(1, () => {
        throw new Error('a defect');
      }),
    );
    const counts = arrive(loop, 3, 0.1);
    loop.settle();
    assert.equal(counts.served, 3);
  });

  test('takes the pace of a turn that was held up for an exception', () => {
    const loop = startLoop();
    warm(loop, 0.1);
    loop.admission.announce();
    loop.pass(3);
    arrive(loop, 1, 300);
    loop.settle();
    loop.pass(1000);
    const counts = arrive(loop, 60, 0.1);
    loop.settle();
    assert.deepEqual(counts, { served: 60, refused: 0 });
  });
});
