import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createStatusReporter, type StatusReporterOptions } from '../../src/telemetry/status-reporter.ts';

/** A reporter on a clock of its own; reports say how much has changed by then. */
function setUp(over: Partial<StatusReporterOptions> = {}) {
  const sent: object[] = [];
  const written: object[] = [];
  const warnings: string[] = [];
  const state = { changes: 0, isAway: false };
  const reporter = createStatusReporter({
    report: async () => ({ changes: state.changes }),
    write: (report) => void written.push(report),
    send: async (report) => {
      if (state.isAway) throw new Error('away');
      sent.push(report);
    },
    periodic: true,
    random: () => 1,
    onSent: () => {},
    log: { warn: (_fields, message) => void warnings.push(message) },
    ...over,
  });
  const change = (): void => {
    state.changes++;
    reporter.changed();
  };
  return { reporter, sent, written, warnings, state, change };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe('the status reporter', () => {
  test('makes one report of what happens at once, and one in a second of what goes on', async ({ mock }) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const { reporter, sent, change } = setUp();
    change();
    mock.timers.tick(10_000);
    await settled();
    assert.deepEqual(sent, []);
    reporter.start();
    for (let i = 0; i < 5; i++) change();
    mock.timers.tick(100);
    await settled();
    assert.deepEqual(sent, [{ changes: 6 }]);
  });

  test('tries again, more and more seldom, with what is so by then, and complains once', async ({ mock }) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const { reporter, sent, written, warnings, state, change } = setUp();
    reporter.start();
    state.isAway = true;
    change();
    for (const delay of [100, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
      mock.timers.tick(delay);
      await settled();
    }
    assert.deepEqual([sent, written, warnings.length], [[], [{ changes: 1 }], 1]);
    state.isAway = false;
    change();
    mock.timers.tick(59_999);
    await settled();
    assert.deepEqual(sent, []);
    mock.timers.tick(1);
    await settled();
    assert.deepEqual(sent, [{ changes: 2 }]);
  });

  test('says nothing by itself when it is to be asked, and does when it is asked', async () => {
    const { reporter, sent, change } = setUp({ periodic: false });
    reporter.start();
    change();
    await reporter.stop();
    assert.deepEqual(sent, []);
    const other = setUp({ periodic: false });
    other.reporter.start();
    await other.reporter.flush();
    assert.deepEqual(other.sent, [{ changes: 0 }]);
  });

  test('reports at the end what nobody has heard of yet', async () => {
    const { reporter, sent, change } = setUp();
    reporter.start();
    change();
    await reporter.stop();
    assert.deepEqual(sent, [{ changes: 1 }]);
    await reporter.stop();
    assert.equal(sent.length, 1);
  });

  test('lets nobody wait for a receiver that does not answer', { timeout: 20_000 }, async () => {
    const signals: AbortSignal[] = [];
    const { reporter, change } = setUp({
      send: (_report, signal) =>
        new Promise((_resolve, reject) => {
          signals.push(signal);
          signal.addEventListener('abort', () => reject(new Error('aborted')));
        }),
    });
    reporter.start();
    change();
    void reporter.flush();
    await settled();
    // Keeps the process alive meanwhile, which the reporter's own timers do not.
    const alive = setInterval(() => {}, 1000);
    await reporter.stop();
    clearInterval(alive);
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true, true],
    );
  });
});
