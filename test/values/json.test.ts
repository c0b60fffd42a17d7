import assert from 'node:assert/strict';
import { test } from 'node:test';
import { depthOf, isObject, parseExact, stringify } from '../../src/values/json.ts';

test('every digit survives parsing and writing', () => {
  const texts = [
    '0',
    '-0',
    '1.10',
    '1e5',
    '1E+5',
    '-0.0',
    '12345678901234567890',
    '9007199254740993',
    '0.1000000000000000055511151231257827',
    '{"a":[1.0,{"b":-0}],"c":"1.10"}',
    '[1,2,"x"]',
    '""',
    'null',
    '{"__proto__":{"a":1.0}}',
    '{"__proto__":{"a":1}}',
  ];
  for (const text of texts) assert.equal(stringify(parseExact(text)), text);
});

test('a kept number is no object, and a key with plans is a key', () => {
  assert.equal(isObject(parseExact('12345678901234567890')), false);
  for (const text of ['{"__proto__":{"x":1}}', '{"__proto__":{"x":1.0}}']) {
    const value = parseExact(text);
    assert.ok(isObject(value) && Object.hasOwn(value, '__proto__'));
    assert.equal(({} as { x?: unknown }).x, undefined);
  }
});

test('depth counts brackets outside of strings', () => {
  assert.equal(depthOf('{"a":[{"[[[":"\\"[["}]}'), 3);
  assert.equal(depthOf('1'), 0);
  assert.equal(depthOf('['.repeat(5000)), 5000);
});
