import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { hostBuiltins } from '../../../src/policy/builtins/registry.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { NumberRangeError } from '../../../src/values/decimal.ts';
import { dump } from '../../../src/values/dump.ts';
import { parse } from '../../../src/values/parse.ts';
import type { Value } from '../../../src/values/value.ts';

/** Calls a built-in with arguments written as Rego terms. */
function call(name: string, ...args: readonly string[]): Value | undefined {
  const builtin = hostBuiltins.get(name);
  assert.ok(builtin, name);
  assert.equal(builtin.arity, args.length, name);
  return builtin.run(createContext(defaultHostOptions(), undefined), ...args.map(parse));
}
const text = (value: Value | undefined): string => (value === undefined ? 'undefined' : dump(value));

describe('built-ins with arguments that ask for too much', () => {
  for (const [name, ...args] of [
    ['numbers.range_step', '0', '1000000000', '1'],
    ['numbers.range_step', '0', '1e300', '1'],
    ['net.cidr_expand', '"::/0"'],
    ['net.cidr_expand', '"10.0.0.0/8"'],
  ] as const) {
    test(`${name}(${args.join(', ')}) ends the evaluation`, () => {
      assert.throws(() => call(name, ...args), HaltError);
    });
  }

  for (const [name, ...args] of [
    ['numbers.range_step', '0', '1e999999', '1'],
    ['units.parse', '"1e999999"'],
    ['units.parse', '"1e9999999"'],
    ['units.parse_bytes', '"1e-999999"'],
    ['semver.compare', `"${'9'.repeat(2000)}.0.0"`, '"1.0.0"'],
  ] as const) {
    test(`${name}(${args.join(', ').slice(0, 30)}) cannot be answered`, () => {
      assert.throws(
        () => call(name, ...args),
        (error) => error instanceof BuiltinError || error instanceof NumberRangeError,
      );
    });
  }

  test('sprintf takes no width of more than a million', () => {
    assert.equal(call('sprintf', '"%1000000000d"', '[1]'), '%!(BADWIDTH)1');
    assert.equal(call('sprintf', '"%*d"', '[1000000000, 1]'), '%!(BADWIDTH)1');
    assert.throws(() => call('sprintf', `"${'%999999d'.repeat(20)}"`, `[${Array(20).fill(1).join()}]`), HaltError);
  });

  test('print writes a bounded number of lines', () => {
    const lines: string[] = [];
    const context = createContext({ ...defaultHostOptions(), onPrint: (line) => lines.push(line) }, undefined);
    const many = parse(`[{${Array.from({ length: 500 }, (_, i) => i).join()}}, {1, 2}, set()]`);
    hostBuiltins.get('internal.print')?.run(context, many);
    assert.equal(lines.length, 100);
    assert.equal(lines[0], '0 1 <undefined>');
  });
});

describe('built-ins with odd but good arguments', () => {
  for (const [want, name, ...args] of [
    [
      '{"__proto__":1,"constructor":2}',
      'json.patch',
      '{"__proto__": 0}',
      '[{"op":"replace","path":"/__proto__","value":1},{"op":"add","path":"/constructor","value":2}]',
    ],
    ['true', 'object.subset', '{"__proto__": 1}', '{"__proto__": 1}'],
    ['false', 'object.subset', '{}', '{"constructor": 1}'],
    ['{"__proto__":["1"]}', 'urlquery.decode_object', '"__proto__=1"'],
    ['[0,1]', 'indexof_n', '"ää"', '"ä"'],
    ['"12345678901234567890"', 'sprintf', '"%d"', '[12345678901234567890]'],
    [
      '[9223372036854775807,9223372036854775808]',
      'numbers.range_step',
      '9223372036854775807',
      '9223372036854775808',
      '1',
    ],
  ] as const) {
    test(`${name}(${args.join(', ')})`, () => {
      assert.equal(text(call(name, ...args)), want);
    });
  }
});
