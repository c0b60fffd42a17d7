import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { yamlBuiltins } from '../../../src/policy/builtins/yaml.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { dump } from '../../../src/values/dump.ts';
import { parse } from '../../../src/values/parse.ts';
import type { Value } from '../../../src/values/value.ts';

function call(name: string, argument: Value, options = defaultHostOptions()): Value | undefined {
  const builtin = yamlBuiltins.find((known) => known.name === name);
  assert.ok(builtin, name);
  return builtin.run(createContext(options, undefined), argument);
}

/** For texts that are refused for what is in them; on a busy machine it would be for how long that takes to see. */
const patient = { ...defaultHostOptions(), builtinMs: 60_000 };

// Results are those of OPA 1.22.2.
describe('yaml.unmarshal', () => {
  for (const [yaml, want] of [
    ['', 'null'],
    ['a: 1\n---\nb: 2', '{"a":1}'],
    [
      '[yes, on, TRUE, ~, 017, 0o17, 08, 0b11, 1_000, .5, 2020-01-01, 1:30]',
      '["yes","on",true,null,15,15,8,3,1000,0.5,"2020-01-01","1:30"]',
    ],
    ['[12345678901234567890, 123456789012345678901, 1e400]', '[12345678901234567890,123456789012345680000,"1e400"]'],
    ['a: 1\na: 2', '{"a":2}'],
    ['1: a\n0x1: b\ntrue: c\n1234567.5: d', '{"1":"b","1.2345675e+06":"d","true":"c"}'],
    ['__proto__: {constructor: 1}', '{"__proto__":{"constructor":1}}'],
    ['x: &x {a: 1}\ny: {<<: [*x, {a: 2, b: 3}], c: 4}', '{"x":{"a":1},"y":{"a":1,"b":3,"c":4}}'],
    ['!!binary aGk=', '"hi"'],
    ['! 12', '12'],
    ['a: |\n  x', '{"a":"x"}'],
    ['!!timestamp 2001-1-4 1:59:43.10', '"2001-01-04T01:59:43.1Z"'],
  ] as const) {
    test(JSON.stringify(yaml), () => {
      assert.equal(dump(call('yaml.unmarshal', yaml) ?? null), want);
      assert.equal(call('yaml.is_valid', yaml), true);
    });
  }

  for (const yaml of [
    'a: b: c',
    '? [a]\n: 1',
    'null: 1',
    '*x',
    'a: &x [*x]',
    'a: 1\n---\nb: [',
    '.nan',
    '!!int x',
    '<<: 1',
    '%YAML 1.2\n---\na',
    'a: "\\/"',
    'a:\n\tb: 1',
    '\u0001',
    '...',
    '{'.repeat(100_000),
    'k: '.repeat(50_000),
    `a0: &a0 [x,x]\n${Array.from({ length: 40 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i},*a${i}]\n`).join('')}`,
    `a0: &a0 {x: 1}\n${Array.from({ length: 40 }, (_, i) => `a${i + 1}: &a${i + 1}\n  <<: [*a${i},*a${i}]\n`).join('')}`,
  ]) {
    test(`${JSON.stringify(yaml.slice(0, 40))} is none`, () => {
      assert.throws(() => call('yaml.unmarshal', yaml, patient), BuiltinError);
      assert.equal(call('yaml.is_valid', yaml, patient), false);
    });
  }

  test('takes a bounded text', () => {
    assert.throws(() => call('yaml.is_valid', '# a\n'.repeat(100_000)), HaltError);
    assert.throws(() => call('yaml.unmarshal', 1), { code: 'eval_type_error' });
    assert.equal(call('yaml.is_valid', 1), false);
  });
});

describe('yaml.marshal', () => {
  for (const [value, want] of [
    [
      '{"a": [1, {"b": 2, "c": [3, [4]]}], "d": {}, "e": []}',
      'a:\n  - 1\n  - b: 2\n    c:\n      - 3\n      - - 4\nd: {}\ne: []\n',
    ],
    ['{"a10": 1, "a9": 2, "A": 3, "_": 4, "1": 5}', '_: 4\n"1": 5\nA: 3\na9: 2\na10: 1\n'],
    [
      '["yes", "1", "null", "", "a: b", "it\'s", "- a", "2020-1-1", "1:30", "\\t", "😀"]',
      '- "yes"\n- "1"\n- "null"\n- ""\n- \'a: b\'\n- it\'s\n- \'- a\'\n- "2020-1-1"\n- "1:30"\n- "\\t"\n- "\\U0001F600"\n',
    ],
    [
      '["a\\nb", "a\\n", "a\\n\\n", " a\\n", "a \\nb"]',
      '- |-\n  a\n  b\n- |\n  a\n- |+\n  a\n\n- |2\n   a\n- "a \\nb"\n',
    ],
    ['{"a\\nb": {"c": 1}}', '? |-\n  a\n  b\n: c: 1\n'],
    [
      '[1000000, 1234567.5, 1e21, 18446744073709551616]',
      '- 1000000\n- 1.2345675e+06\n- 1e+21\n- 1.8446744073709552e+19\n',
    ],
    ['{{3, 1}, 2}', '- 2\n- - 1\n  - 3\n'],
  ] as const) {
    test(value, () => assert.equal(call('yaml.marshal', parse(value)), want));
  }

  test('refuses keys and characters that Go cannot read back', () => {
    assert.throws(() => call('yaml.marshal', parse(`{"${'k'.repeat(1_023)}": 1}`)), BuiltinError);
    assert.throws(() => call('yaml.marshal', '\u007f'), BuiltinError);
  });
});
