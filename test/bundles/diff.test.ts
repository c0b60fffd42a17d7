import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Change, diffDigests, diffJson, diffNames } from '../../src/bundles/diff.ts';
import { parseExact, stringify } from '../../src/values/json.ts';
import { createRandom, randomJson } from '../support/random.ts';

const changes = (before: string, after: string): readonly string[] => {
  const found: string[] = [];
  const values = (change: Change): string =>
    [
      ...(change.kind === 'added' ? [] : [stringify(change.before)]),
      ...(change.kind === 'removed' ? [] : [stringify(change.after)]),
    ].join(' → ');
  diffJson(parseExact(before), parseExact(after), (change) =>
    found.push(`${change.kind} ${change.path}: ${values(change)}`),
  );
  return found;
};

describe('what is different', () => {
  test('in documents: members and items that came, went and changed, by JSON pointer', () => {
    assert.deepEqual(changes('{"a": 1, "b": {"c": [1, 2, 3]}, "d": 1}', '{"b": {"c": [1, 5]}, "d": 1, "e": {}}'), [
      'removed /a: 1',
      'changed /b/c/1: 2 → 5',
      'removed /b/c/2: 3',
      'added /e: {}',
    ]);
    assert.deepEqual(changes('{"a/b": {"~": 1}}', '{"a/b": {"~": 2}}'), ['changed /a~1b/~0: 1 → 2']);
    assert.deepEqual(changes('1', '[1]'), ['changed : 1 → [1]']);
    assert.deepEqual(changes('{"a": {}}', '{"a": []}'), ['changed /a: {} → []']);
    assert.deepEqual(changes('{"a": null}', '{}'), ['removed /a: null']);
    assert.deepEqual(changes('{"a": "1"}', '{"a": 1}'), ['changed /a: "1" → 1']);
  });

  test('numbers are the same when their values are, to the last digit', () => {
    assert.deepEqual(changes('[1.0, 1e2, -0, 0.10]', '[1, 100, 0, 0.1]'), []);
    assert.deepEqual(changes('[12345678901234567890]', '[12345678901234567891]'), [
      'changed /0: 12345678901234567890 → 12345678901234567891',
    ]);
  });

  test('members called like those of a prototype are members', () => {
    assert.deepEqual(changes('{}', '{"constructor": 1, "__proto__": 2}'), [
      'added /__proto__: 2',
      'added /constructor: 1',
    ]);
    assert.deepEqual(changes('{"toString": 1}', '{}'), ['removed /toString: 1']);
  });

  test('a document is not different from itself, and each way shows the same places', () => {
    const random = createRandom(7);
    for (let round = 0; round < 500; round++) {
      const [before, after] = [randomJson(random), randomJson(random)];
      assert.deepEqual(changes(before, before), []);
      const places = (list: readonly string[]): readonly string[] =>
        list.map((each) => each.split(': ', 1)[0]?.replace(/^(?:added|removed)/, 'moved') ?? '');
      assert.deepEqual(places(changes(before, after)), places(changes(after, before)));
    }
  });

  test('in lists of names and digests', () => {
    assert.deepEqual(diffNames(['b', 'a', 'b'], ['c', 'a', 'd']), { added: ['c', 'd'], removed: ['b'] });
    const [before, after] = [
      new Map([
        ['a', '1'],
        ['b', '1'],
        ['c', '1'],
      ]),
      new Map([
        ['b', '2'],
        ['c', '1'],
        ['d', '1'],
      ]),
    ];
    assert.deepEqual(diffDigests(before, after), { added: ['d'], removed: ['a'], changed: ['b'] });
  });
});
