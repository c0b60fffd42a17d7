import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLookBudget, type LookBudget } from '../../src/identity/look-budget.ts';

/** An issuer that answers as told, asked whenever the budget lets a token ask; times in ms. */
function setUp(answer: () => 'fails' | readonly string[]): {
  readonly budget: LookBudget;
  readonly attempts: number[];
  readonly token: (kid: string) => void;
  advance: (ms: number) => void;
} {
  let now = 5_000_000;
  const budget = createLookBudget(() => now);
  const attempts: number[] = [];
  return {
    budget,
    attempts,
    advance: (ms) => {
      now += ms;
    },
    token: (kid) => {
      budget.name(kid);
      if (!budget.take(kid)) return;
      attempts.push(now - 5_000_000);
      const kids = answer();
      if (kids === 'fails') budget.failed(now);
      else budget.answered(now, kids, true);
    },
  };
}

/** The most attempts within any time of this length. */
const densest = (attempts: readonly number[], ms: number): number =>
  Math.max(0, ...attempts.map((from) => attempts.filter((at) => at >= from && at < from + ms).length));

describe('attempts for keys that tokens name', () => {
  for (const [name, answer] of [
    ['is down', (): 'fails' => 'fails'],
    ['has no such keys', (): readonly string[] => ['known']],
  ] as const) {
    for (const [what, kidOf] of [
      ['each another', (i: number): string => `k${i}`],
      ['out of a hundred, in turn', (i: number): string => `k${i % 100}`],
      ['out of ten, in turn', (i: number): string => `k${i % 10}`],
    ] as const) {
      test(`are one in 30 s when the issuer ${name} and the keys are invented, ${what}`, () => {
        const { attempts, token, advance } = setUp(answer);
        for (let i = 0; i < 600_000; i++) {
          token(kidOf(i));
          advance(1);
        }
        assert.ok(densest(attempts, 60_000) <= 3, `${attempts}`);
        assert.ok(attempts.length >= 600 / 30 - 1, 'and no fewer');
      });
    }

    test(`are a few more, and then one in 30 s, when the issuer ${name} and one key is named all the time`, () => {
      const { attempts, token, advance } = setUp(answer);
      for (let i = 0; i < 540_000; i++) {
        token('k');
        advance(1);
      }
      assert.ok(densest(attempts, 60_000) <= 8, `${attempts}`);
      assert.ok(
        densest(
          attempts.filter((at) => at > 60_000),
          60_000,
        ) <= 3,
        `${attempts}`,
      );
    });
  }

  test('follow each other within seconds when an issuer fails now and then', () => {
    let left = 4;
    const { attempts, token, advance } = setUp(() => (--left < 0 ? ['new'] : 'fails'));
    for (let i = 0; i < 10_000 && left >= 0; i++) {
      token('new');
      advance(1);
    }
    assert.deepEqual(attempts, [0, 250, 750, 1750, 3750]);
  });

  test('that bring a key cost nothing: the next new key is asked for at once, again and again', () => {
    let published = '';
    const { attempts, token, advance } = setUp(() => [published]);
    for (let i = 0; i < 20; i++) {
      published = `k${i}`;
      token(published);
      advance(1000);
    }
    assert.equal(attempts.length, 20);
  });

  test('are made for a key that many tokens want also while others invent keys', () => {
    const { attempts, token, advance } = setUp(() => ['known', 'real']);
    for (let i = 0; i < 5000; i++) {
      token(`invented-${i}`);
      advance(1);
    }
    assert.equal(attempts.length, 1);
    let tokens = 0;
    for (; attempts.length === 1; tokens++) {
      token(`more-${tokens}`);
      token('real');
      advance(1);
    }
    assert.ok(tokens < 100, `after ${tokens} tokens`);
  });

  test('are not made more often by the issuer answering in between', () => {
    const { budget, attempts, token, advance } = setUp(() => ['known']);
    for (let i = 0; i < 60_000; i++) {
      token(`k${i}`);
      if (i % 1000 === 0) budget.answered(0, ['known'], false);
      advance(1);
    }
    assert.equal(attempts.length, 2);
  });
});
