import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { timeBuiltins } from '../../../src/policy/builtins/time.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { NumberRangeError } from '../../../src/values/decimal.ts';
import { dump } from '../../../src/values/dump.ts';
import { parse } from '../../../src/values/parse.ts';
import type { Value } from '../../../src/values/value.ts';

/** Calls a built-in with arguments written as Rego terms. */
function call(name: string, ...args: readonly string[]): Value | undefined {
  const builtin = timeBuiltins.find((one) => one.name === `time.${name}`);
  assert.ok(builtin, name);
  assert.equal(builtin.arity, args.length, name);
  return builtin.run(createContext(defaultHostOptions(), undefined), ...args.map(parse));
}

// Results are those of OPA 1.22.2.
describe('time built-ins answer as OPA does', () => {
  for (const [want, name, ...args] of [
    ['"1970-01-01T00:00:00Z"', 'format', '0'],
    ['"1677-09-21T00:12:43.145224192Z"', 'format', '-9223372036854775808'],
    ['"2262-04-11T23:47:16.854775807Z"', 'format', '9223372036854775807'],
    ['"Wed, 31 Dec 1969 23:59:59 UTC"', 'format', '[-1, "", "RFC1123"]'],
    ['"2024-03-31T01:59:59.999999999+01:00"', 'format', '[1711846799999999999, "Europe/Berlin"]'],
    ['"2024-03-31T03:00:00+02:00"', 'format', '[1711846800000000000, "Europe/Berlin"]'],
    ['"Sunday, 27-Oct-24 02:00:00 CEST"', 'format', '[1729987200000000000, "Europe/Berlin", "RFC850"]'],
    ['"Sunday, 27-Oct-24 02:00:00 CET"', 'format', '[1729990800000000000, "Europe/Berlin", "RFC850"]'],
    ['"+03"', 'format', '[1720000000000000000, "Europe/Istanbul", "MST"]'],
    ['"EEST"', 'format', '[1440000000000000000, "Europe/Istanbul", "MST"]'],
    ['"+0545"', 'format', '[1720000000000000000, "Asia/Kathmandu", "MST"]'],
    ['"-004430 -00:44 -00 MMT"', 'format', '[63593069000000000, "Africa/Monrovia", "-070000 -07:00 -07 MST"]'],
    ['".123456789 .12 ,1"', 'format', '[123456789, "UTC", ".000000000000 .99 ,0"]'],
    ['".0a .01"', 'format', '[0, "UTC", ".0a .01"]'],
    ['"Month Janus _1970   1"', 'format', '[0, "UTC", "Month Janus _2006 __2"]'],
    ['[1970,1,1]', 'date', '[0, "UTC", "2006", 4, "more"]'],
    ['"Thursday"', 'weekday', '-0.0'],
    ['[2,1,0,23,59,59]', 'diff', '951868799000000000', '1017532798000000000'],
    ['[0,0,27,23,0,0]', 'diff', '[1711753200000000000, "Europe/Berlin"]', '[1709337600000000000, "Asia/Tokyo"]'],
    ['1711848600000000000', 'add_date', '[1711762200000000000, "Europe/Berlin"]', '0', '0', '1'],
    ['1709164800000000000', 'add_date', '1706659200000000000', '0', '0', '29'],
    ['0', 'add_date', '0', '10000000', '0', '-3652425000'],
    ['1483228800000000000', 'parse_ns', '"2006 MST"', '"2017 GMT+3"'],
    ['1483228800000000000', 'parse_ns', '"2006 -07:00:00"', '"2017 -00:00:01"'],
    ['1483228800012000000', 'parse_ns', '"2006 .000"', '"2017 .+12"'],
    ['1483228807123456789', 'parse_ns', '"2006 5"', '"2017 7,1234567899"'],
    ['788918400000000000', 'parse_ns', '"06"', '"-5"'],
    ['1483138860000000000', 'parse_rfc3339_ns', '"2017-01-01T00:00:00+24:59"'],
    ['0', 'parse_duration_ns', '"9223372036854775808ns9223372036854775808ns"'],
    ['-9223372036854775808', 'parse_duration_ns', '"-9223372036854775808ns"'],
    ['130500000000000', 'parse_duration_ns', '"1.5d15m"'],
    ['360000', 'parse_duration_ns', '"0.0000001h"'],
    ['8640', 'parse_duration_ns', '"0.0000000001d"'],
  ] as const) {
    test(`time.${name}(${args.join(', ')})`, () => {
      const value = call(name, ...args);
      assert.equal(value === undefined ? 'undefined' : dump(value), want);
    });
  }
});

describe('time built-ins cannot answer, as in OPA', () => {
  for (const [name, ...args] of [
    ['format', '[0, "europe/berlin"]'],
    ['format', '[0, "../Europe/Berlin"]'],
    ['format', '[0, "/etc/localtime"]'],
    ['format', '[0, "+01:00"]'],
    ['format', '[0, "PST"]'],
    ['format', '[0, "__proto__"]'],
    ['date', '[]'],
    ['date', '["0"]'],
    ['date', '[0, null]'],
    ['date', '1.5'],
    ['date', '9223372036854775808'],
    ['date', '1e999999999'],
    ['add_date', '0', '293', '0', '0'],
    ['add_date', '0', '9223372036854775808', '0', '0'],
    ['add_date', '0', '0', '1e999999999', '0'],
    ['parse_rfc3339_ns', '"2262-04-11T23:47:16.854775808Z"'],
    ['parse_rfc3339_ns', '"2017-02-29T00:00:00Z"'],
    ['parse_rfc3339_ns', '"２０１７-01-01T00:00:00Z"'],
    ['parse_ns', '""', '""'],
    ['parse_ns', '"2006 002 Jan"', '"2017 060 Feb"'],
    ['parse_duration_ns', '"9223372036854775808ns"'],
    ['parse_duration_ns', '"1d1μs"'],
    ['parse_duration_ns', '"1 h"'],
  ] as const) {
    test(`time.${name}(${args.join(', ')})`, () => {
      assert.throws(
        () => call(name, ...args),
        (error) => error instanceof BuiltinError || error instanceof NumberRangeError,
      );
    });
  }
});

describe('time built-ins with arguments that ask for too much', () => {
  test('a layout of more than 65536 characters ends the evaluation', () => {
    const layout = JSON.stringify('Monday'.repeat(20_000));
    assert.throws(() => call('format', `[0, "UTC", ${layout}]`), HaltError);
    assert.throws(() => call('parse_ns', layout, '""'), HaltError);
  });

  test('long text is read in little time', () => {
    const cannot = (name: string, ...args: readonly string[]): void => {
      assert.throws(() => call(name, ...args.map((text) => JSON.stringify(text))), BuiltinError);
    };
    const start = performance.now();
    cannot('parse_duration_ns', '1'.repeat(1_000_000));
    cannot('parse_duration_ns', `${'1d'.repeat(500_000)}!`);
    cannot('parse_ns', ' '.repeat(60_000), ' '.repeat(1_000_000));
    cannot('parse_ns', `.${'0'.repeat(60_000)}1`, `.${'0'.repeat(1_000_000)}`);
    assert.ok(performance.now() - start < 2000);
  });

  test('years that Go wraps around are refused', () => {
    assert.throws(() => call('add_date', '0', '0', '0', '4611686018427387904'), BuiltinError);
  });
});
