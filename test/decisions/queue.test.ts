import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createQueue, type Queue } from '../../src/decisions/queue.ts';
import type { Sink } from '../../src/decisions/sinks/sink.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { factsOf, recordOf } from './records.ts';

const numbered = (id: number): DecisionRecord => recordOf({}, { decisionId: String(id) });
const range = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i));

/** A sink that keeps its lines; each write waits for `gate` and does what `behave` says. */
function createMemorySink(name = 'memory', behave: (lines: readonly string[]) => number = (lines) => lines.length) {
  const lines: string[] = [];
  let gate = Promise.resolve();
  let open = (): void => {};
  let writes = 0;
  let closes = 0;
  const sink: Sink = {
    name,
    write: async (batch) => {
      writes++;
      await gate;
      const written = behave(batch);
      lines.push(...batch.slice(0, written));
      return written;
    },
    close: async () => {
      closes++;
    },
  };
  return {
    sink,
    lines,
    writes: () => writes,
    closes: () => closes,
    block: () => {
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    unblock: () => open(),
  };
}

type Given = {
  readonly sinks: readonly Sink[];
  readonly capacity?: number;
  readonly maxWeight?: number;
  readonly toLine?: (record: DecisionRecord) => string | undefined;
  readonly stopTimeoutMs?: number;
};

function createSubject(given: Given) {
  let nowMs = 0;
  const drops: [count: number, sink: string | undefined][] = [];
  const errors: [error: unknown, sink: string | undefined][] = [];
  const written = new Map<string, number>();
  const queue: Queue = createQueue({
    toLine: (record) => record.decisionId,
    capacity: 10_000,
    maxWeight: 1e9,
    stopTimeoutMs: 60_000,
    ...given,
    clock: { wallMs: () => nowMs, monotonicMs: () => nowMs },
    onDrop: (count, sink) => drops.push([count, sink]),
    onError: (error, sink) => errors.push([error, sink]),
    onWritten: (count, sink) => written.set(sink, (written.get(sink) ?? 0) + count),
  });
  return {
    queue,
    drops,
    errors,
    written,
    dropped: () => drops.reduce((sum, [count]) => sum + count, 0),
    pass: (ms: number) => {
      nowMs += ms;
    },
    push: (from: number, to: number) => {
      for (let i = from; i < to; i++) queue.push(numbered(i));
    },
  };
}

describe('pushing', () => {
  test('does no work on the path of the request', async () => {
    const memory = createMemorySink();
    let converted = 0;
    const subject = createSubject({ sinks: [memory.sink], toLine: () => String(++converted) });
    subject.push(0, 10);
    await Promise.resolve();
    assert.equal(converted, 0);
    await subject.queue.flush();
    assert.equal(converted, 10);
  });

  test('keeps the order, and a flush waits for everything that was pushed before it', async () => {
    const memory = createMemorySink();
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 1000);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, range(0, 1000));
    assert.equal(subject.written.get('memory'), 1000);
    subject.push(1000, 1003);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, range(0, 1003));
    assert.equal(subject.dropped(), 0);
  });

  test('of what has no line leaves nothing, and nothing that a flush would wait for', async () => {
    const memory = createMemorySink();
    const toLine = ({ decisionId: id }: DecisionRecord) => (Number(id) % 3 === 0 ? id : undefined);
    const subject = createSubject({ sinks: [memory.sink], toLine });
    subject.push(0, 8);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, ['0', '3', '6']);
    subject.push(7, 9);
    await subject.queue.flush();
    assert.equal(subject.dropped(), 0);
  });

  test('drops and counts what comes when the queue is full, and takes more once there is room', async () => {
    const memory = createMemorySink();
    const subject = createSubject({ sinks: [memory.sink], capacity: 10 });
    subject.push(0, 25);
    assert.equal(subject.dropped(), 15);
    await subject.queue.flush();
    subject.push(25, 30);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, [...range(0, 10), ...range(25, 30)]);
    assert.equal(subject.dropped(), 15);
  });

  test('is bounded by the size of the requests that wait', async () => {
    const memory = createMemorySink();
    const subject = createSubject({ sinks: [memory.sink], maxWeight: 1_600_000 });
    const sizes = [
      { body: 'x'.repeat(200_000) },
      { headers: { a: 'x'.repeat(300_000) } },
      { rawBody: 'x'.repeat(90_000) },
    ];
    for (const request of [...sizes, ...sizes]) subject.queue.push(recordOf({}, { facts: factsOf(request) }));
    assert.equal(subject.dropped(), 4);
    await subject.queue.flush();
    for (const request of sizes.slice(0, 2)) subject.queue.push(recordOf({}, { facts: factsOf(request) }));
    assert.equal(subject.dropped(), 4);
    await subject.queue.flush();
    assert.equal(memory.lines.length, 4);
  });

  test('never throws, whatever the callbacks do', async () => {
    const fail = (): never => {
      throw new Error('callback');
    };
    const memory = createMemorySink();
    const queue = createQueue({
      ...{ sinks: [memory.sink], capacity: 1, maxWeight: 1e9, stopTimeoutMs: 1000 },
      clock: { wallMs: () => 0, monotonicMs: () => 0 },
      toLine: (record) => (record.decisionId === '0' ? fail() : record.decisionId),
      ...{ onDrop: fail, onError: fail, onWritten: fail },
    });
    for (let i = 0; i < 3; i++) queue.push(numbered(i));
    await queue.flush();
    queue.push(numbered(3));
    await queue.stop();
    assert.deepEqual(memory.lines, ['3']);
  });

  test('without sinks costs nothing and ends', async () => {
    const subject = createSubject({ sinks: [] });
    subject.push(0, 10);
    await subject.queue.flush();
    await subject.queue.stop();
    assert.equal(subject.dropped(), 0);
  });
});

describe('turns', () => {
  test('one turn of the event loop takes 50 records at most', async () => {
    const memory = createMemorySink();
    let converted = 0;
    const subject = createSubject({ sinks: [memory.sink], toLine: () => String(++converted) });
    subject.push(0, 120);
    await nextTurn();
    assert.equal(converted, 50);
    await nextTurn();
    assert.equal(converted, 100);
    await subject.queue.flush();
    assert.equal(converted, 120);
  });

  test('one turn of the event loop ends after 2 ms, and takes one record at least', async () => {
    const memory = createMemorySink();
    let converted = 0;
    const subject = createSubject({
      sinks: [memory.sink],
      toLine: () => {
        subject.pass(converted < 4 ? 1 : 10);
        return String(++converted);
      },
    });
    subject.push(0, 10);
    for (const expected of [2, 4, 5, 6]) {
      await nextTurn();
      assert.equal(converted, expected);
    }
  });

  test('a record that cannot be written down is counted and the others go on', async () => {
    const memory = createMemorySink();
    const error = new Error('odd');
    const subject = createSubject({
      sinks: [memory.sink],
      toLine: (record) => {
        if (record.decisionId === '1') throw error;
        return record.decisionId;
      },
    });
    subject.push(0, 3);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, ['0', '2']);
    assert.deepEqual(subject.drops, [[1, undefined]]);
    assert.deepEqual(subject.errors, [[error, undefined]]);
  });
});

describe('slow and failing sinks', () => {
  const large = 'x'.repeat(1_048_576);

  test('a sink that hangs keeps records in the bound of the queue and gets all of them in the end', async () => {
    const memory = createMemorySink();
    memory.block();
    const subject = createSubject({ sinks: [memory.sink], capacity: 20, toLine: () => large });
    for (let i = 0; i < 10; i++) {
      subject.push(0, 5);
      await nextTurn();
    }
    assert.equal(memory.writes(), 1);
    // 8 MiB of lines and 20 records wait; the rest is gone and counted.
    assert.equal(subject.dropped(), 50 - 20 - 8);
    memory.unblock();
    await subject.queue.flush();
    assert.equal(memory.lines.length, 28);
  });

  test('a sink that hangs does not hold back another one, and only its own lines are dropped', async () => {
    const stuck = createMemorySink('stuck');
    const quick = createMemorySink('quick');
    stuck.block();
    const subject = createSubject({ sinks: [stuck.sink, quick.sink], toLine: () => large });
    for (let i = 0; i < 20; i++) {
      subject.push(0, 1);
      await nextTurn();
    }
    assert.equal(quick.lines.length, 20);
    assert.deepEqual(new Set(subject.drops.map(([, sink]) => sink)), new Set(['stuck']));
    stuck.unblock();
    await subject.queue.flush();
    assert.equal(stuck.lines.length + subject.dropped(), 20);
  });

  test('lines that a sink did not take are offered again, in order and once', async () => {
    let room = 3;
    const memory = createMemorySink('file', (lines) => Math.min(room, lines.length));
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 5);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, range(0, 3));
    room = 100;
    subject.push(5, 8);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, range(0, 8));
    assert.equal(subject.written.get('file'), 8);
    assert.equal(subject.dropped(), 0);
  });

  test('a sink that failed is left alone for a second', async () => {
    let isBroken = true;
    const memory = createMemorySink('file', (lines) => (isBroken ? 0 : lines.length));
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 1);
    await nextTurn();
    await nextTurn();
    for (let i = 1; i < 20; i++) {
      subject.push(i, i + 1);
      await nextTurn();
    }
    assert.equal(memory.writes(), 1);
    isBroken = false;
    subject.pass(1000);
    subject.push(20, 21);
    await nextTurn();
    assert.equal(memory.writes(), 2);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, range(0, 21));
  });

  test('lines that a sink lost are counted, and it gets the next ones', async () => {
    const error = new Error('EPIPE');
    let isBroken = true;
    const memory = createMemorySink('console', (lines) => {
      if (isBroken) throw error;
      return lines.length;
    });
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 5);
    await subject.queue.flush();
    assert.deepEqual(subject.drops, [[5, 'console']]);
    assert.deepEqual(subject.errors, [[error, 'console']]);
    isBroken = false;
    subject.push(5, 7);
    await subject.queue.flush();
    assert.deepEqual(memory.lines, ['5', '6']);
  });

  test('a sink that throws instead of rejecting is treated the same', async () => {
    const sink: Sink = {
      name: 'odd',
      write: () => {
        throw new Error('thrown');
      },
      close: async () => {},
    };
    const subject = createSubject({ sinks: [sink] });
    subject.push(0, 5);
    await subject.queue.flush();
    assert.deepEqual(subject.drops, [[5, 'odd']]);
  });

  test('a sink that fails for ever cannot make memory grow', async () => {
    const memory = createMemorySink('file', () => 0);
    const subject = createSubject({ sinks: [memory.sink], capacity: 10, toLine: () => large });
    for (let i = 0; i < 100; i++) {
      subject.push(0, 1);
      await nextTurn();
    }
    assert.equal(subject.dropped(), 100 - 10 - 8);
    await subject.queue.flush();
    await subject.queue.stop();
    assert.equal(subject.dropped(), 100);
  });
});

describe('flushing and stopping', () => {
  test('a flush ends while decisions keep coming', async () => {
    const memory = createMemorySink();
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 500);
    let isFlushed = false;
    const flushed = subject.queue.flush().then(() => {
      isFlushed = true;
    });
    for (let i = 500; !isFlushed && i < 100_000; i += 60) {
      subject.push(i, i + 60);
      await nextTurn();
    }
    assert.ok(isFlushed);
    await flushed;
    assert.deepEqual(memory.lines.slice(0, 500), range(0, 500));
  });

  test('a flush of nothing ends', async () => {
    const subject = createSubject({ sinks: [createMemorySink().sink] });
    await subject.queue.flush();
    await Promise.all([subject.queue.flush(), subject.queue.flush()]);
  });

  test('a flush waits for the slowest sink', async () => {
    const slow = createMemorySink('slow');
    const quick = createMemorySink('quick');
    slow.block();
    const subject = createSubject({ sinks: [quick.sink, slow.sink] });
    subject.push(0, 3);
    let isFlushed = false;
    const flushed = subject.queue.flush().then(() => {
      isFlushed = true;
    });
    for (let i = 0; i < 5; i++) await nextTurn();
    assert.equal(quick.lines.length, 3);
    assert.equal(isFlushed, false);
    slow.unblock();
    await flushed;
    assert.equal(slow.lines.length, 3);
  });

  test('a flush tries a failed sink at once and ends although it fails again', async () => {
    const broken = createMemorySink('broken', () => 0);
    const quick = createMemorySink('quick');
    const subject = createSubject({ sinks: [broken.sink, quick.sink] });
    subject.push(0, 600);
    await subject.queue.flush();
    const before = broken.writes();
    await subject.queue.flush();
    assert.ok(broken.writes() > before);
    assert.deepEqual(quick.lines, range(0, 600));
  });

  test('a flush brings everything to a sink that works again, however much waits', async () => {
    let isBroken = true;
    const memory = createMemorySink('file', (lines) => (isBroken ? 0 : lines.length));
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 2000);
    await subject.queue.flush();
    isBroken = false;
    await subject.queue.flush();
    assert.deepEqual(memory.lines, range(0, 2000));
  });

  test('stopping writes what waits, closes each sink once, and drops what comes later', async () => {
    const memory = createMemorySink();
    const subject = createSubject({ sinks: [memory.sink] });
    subject.push(0, 200);
    const first = subject.queue.stop();
    subject.push(200, 203);
    await Promise.all([first, subject.queue.stop()]);
    assert.deepEqual(memory.lines, range(0, 200));
    assert.equal(memory.closes(), 1);
    assert.equal(subject.dropped(), 3);
  });

  test('stopping ends although a sink hangs, and counts what it never wrote', async () => {
    const stuck = createMemorySink('stuck');
    stuck.block();
    const subject = createSubject({ sinks: [stuck.sink], stopTimeoutMs: 1 });
    subject.push(0, 5);
    await subject.queue.stop();
    assert.equal(subject.dropped(), 5);
  });

  test('a sink that cannot be closed is reported', async () => {
    const error = new Error('close');
    const sink: Sink = { name: 'file', write: async (lines) => lines.length, close: () => Promise.reject(error) };
    const subject = createSubject({ sinks: [sink] });
    await subject.queue.stop();
    assert.equal(subject.errors[0]?.[0], error);
  });
});
