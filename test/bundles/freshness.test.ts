import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createFreshness } from '../../src/bundles/freshness.ts';

function setUp(maxAgeMs: number | undefined) {
  let now = 1_000_000;
  const told: boolean[] = [];
  const logged: object[] = [];
  const freshness = createFreshness({
    names: ['a', 'b'],
    clock: { wallMs: () => 0, monotonicMs: () => now },
    maxAgeMs,
    onStale: (stale) => void told.push(stale),
    log: { error: (fields) => void logged.push(fields) },
  });
  const pass = (ms: number): void => {
    now += ms;
  };
  return { freshness, told, logged, pass };
}

describe('the freshness of bundles', () => {
  test('counts from when the source confirmed each, and for ever where it never did', () => {
    const { freshness, pass } = setUp(undefined);
    freshness.confirmed('a');
    pass(5_000);
    assert.deepEqual(freshness.ages(), [
      ['a', 5],
      ['b', Number.POSITIVE_INFINITY],
    ]);
    freshness.confirmed('b', 60_000);
    assert.deepEqual(freshness.ages()[1], ['b', 60]);
    // A wall clock that ran ahead makes nothing fresher than now.
    freshness.confirmed('b', -60_000);
    assert.deepEqual(freshness.ages()[1], ['b', 0]);
  });

  test('is lost when one bundle is too old, said once, and found again with the next confirmation', () => {
    const { freshness, told, logged, pass } = setUp(10_000);
    freshness.confirmed('a');
    freshness.confirmed('b');
    pass(10_001);
    freshness.confirmed('a');
    assert.deepEqual(told, [true]);
    freshness.confirmed('a');
    assert.deepEqual([told.length, logged.length], [1, 1]);
    assert.deepEqual(logged, [{ bundles: ['b'], max_age_seconds: 10 }]);
    freshness.confirmed('b');
    assert.deepEqual(told, [true, false]);
    freshness.confirmed('b', 20_000);
    assert.deepEqual(told, [true, false, true]);
  });
});
