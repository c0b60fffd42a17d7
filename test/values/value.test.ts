import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compare } from '../../src/values/compare.ts';
import { fromJavaScript } from '../../src/values/convert.ts';
import { Decimal } from '../../src/values/decimal.ts';
import { dump, dumpJson } from '../../src/values/dump.ts';
import { keyOf } from '../../src/values/key.ts';
import { compareNumbers, numberFromText, type RegoNumber } from '../../src/values/number.ts';
import { parse, parseJson } from '../../src/values/parse.ts';
import { RegoObject, RegoSet, type Value } from '../../src/values/value.ts';

/** A small generator of random numbers in [0, 1), the same on each run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const ATOMS: readonly string[] = [
  'null',
  'true',
  'false',
  '0',
  '-1',
  '1.5',
  '1e400',
  '1e-400',
  '12345678901234567890',
  '0.1234567890123456789',
  '""',
  '"a"',
  '"\\u0000"',
  '"\\u0000:1"',
  '"😀"',
  '"\\uffff"',
  '"__proto__"',
  '"constructor"',
  'set()',
  '[]',
  '{}',
];

function randomTerm(random: () => number, depth = 0): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  if (depth > 2 || random() < 0.5) return pick(ATOMS);
  const members = Array.from({ length: 1 + Math.floor(random() * 3) }, () => randomTerm(random, depth + 1));
  switch (Math.floor(random() * 3)) {
    case 0:
      return `[${members.join(', ')}]`;
    case 1:
      return `{${members.join(', ')}}`;
    default:
      return `{${members.map((member) => `${randomTerm(random, depth + 1)}: ${member}`).join(', ')}}`;
  }
}

const number = (text: string): RegoNumber => {
  const value = numberFromText(text);
  assert.ok(value !== undefined, text);
  return value;
};

describe('numbers', () => {
  test('have one form for each decimal', () => {
    for (const [a, b] of [
      ['1', '1.0'],
      ['100', '1e2'],
      ['0', '-0'],
      ['0', '0e999999'],
      ['0.1', '1e-1'],
      ['9007199254740993', '9007199254740993.0'],
      ['1e400', '10e399'],
      ['1e-400', '0.1e-399'],
    ] as const) {
      assert.deepEqual(number(a), number(b), `${a} and ${b}`);
      assert.equal(keyOf(number(a)), keyOf(number(b)));
    }
  });

  test('are doubles exactly when their shortest text is the number', () => {
    for (const text of ['0.1', '9007199254740992', '1e300', '-1.5', '123456789012345'])
      assert.equal(typeof number(text), 'number', text);
    for (const text of ['9007199254740993', '0.10000000000000000555', '1e400', '1e-400', '1152921504606846976']) {
      assert.ok(number(text) instanceof Decimal, text);
    }
  });

  test('are compared without raising ten to their exponent', () => {
    const ascending = [
      '-1e999999999999',
      '-1e400',
      '-1',
      '-1e-999999999999',
      '0',
      '1e-999999999999',
      '1e-400',
      '1',
      '1e400',
      '1.5e400',
      '1e999999999999',
    ];
    for (let i = 1; i < ascending.length; i++) {
      assert.equal(compareNumbers(number(ascending[i - 1] ?? ''), number(ascending[i] ?? '')), -1, `${ascending[i]}`);
    }
  });

  test('are refused when they are none', () => {
    for (const text of ['', ' 1', '0x10', 'NaN', 'Infinity', '1e', '--1', '1..2', '+1', '1_0']) {
      assert.equal(numberFromText(text), undefined, text);
    }
  });
});

describe('values', () => {
  const random = seeded(7);
  const values = Array.from({ length: 300 }, () => parse(randomTerm(random)));

  test('come back from their text', () => {
    for (const value of values) assert.equal(compare(parse(dump(value)), value), 0, dump(value));
  });

  test('are in a total order', () => {
    const sorted = [...values].sort(compare);
    for (let i = 0; i < sorted.length; i++) {
      for (let j = i; j < sorted.length; j += 7) {
        const [a, b] = [sorted[i] as Value, sorted[j] as Value];
        assert.ok(compare(a, b) <= 0, `${dump(a)} before ${dump(b)}`);
        assert.equal(Math.sign(compare(a, b)), 0 - Math.sign(compare(b, a)));
      }
    }
  });

  test('have equal keys exactly when they are equal', () => {
    for (const a of values) {
      for (const b of values) assert.equal(keyOf(a) === keyOf(b), compare(a, b) === 0, `${dump(a)} and ${dump(b)}`);
    }
  });

  test('are ordered by type, then as OPA orders them', () => {
    const ascending = [
      'null',
      'false',
      'true',
      '-1',
      '2',
      '""',
      '"\\uffff"',
      '"😀"',
      '[]',
      '[1]',
      '[1, 2]',
      '[2]',
      '{}',
      '{"a": 1}',
      '{"a": 1, "b": 0}',
      '{"a": 2}',
      'set()',
      '{1}',
      '{1, 2}',
      '{2}',
    ];
    for (let i = 1; i < ascending.length; i++) {
      assert.equal(compare(parse(ascending[i - 1] ?? ''), parse(ascending[i] ?? '')), -1, `${ascending[i]}`);
    }
  });

  test('keep keys that JavaScript treats in its own way', () => {
    const object = parseJson('{"__proto__": 1, "constructor": 2, "10": 3, "9": 4}');
    assert.ok(object instanceof RegoObject);
    assert.equal(object.get('__proto__'), 1);
    assert.equal(object.get('toString'), undefined);
    assert.equal(dump(object), '{"10":3,"9":4,"__proto__":1,"constructor":2}');
  });

  test('become JSON with sets as arrays and keys as text', () => {
    assert.equal(dumpJson(parse('{{2, 1}: set(), 1: "x", "k": {1: [null]}}')), '{"1":"x","k":{"1":[null]},"[1,2]":[]}');
  });

  test('are made of what JavaScript has, or refused', () => {
    const value = fromJavaScript({
      a: [1, 2n ** 70n, false],
      b: undefined,
      s: new Set([2, 1]),
      m: new Map([[1, 'x']]),
    });
    assert.equal(dump(value), '{"a":[1,1180591620717411303424,false],"m":{1:"x"},"s":{1,2}}');
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const bad of [Number.NaN, () => 1, Symbol('x'), cycle]) assert.throws(() => fromJavaScript(bad), TypeError);
  });

  test('nest to a bounded depth', () => {
    assert.throws(() => parse('['.repeat(100_000)), { name: 'ValueSyntaxError' });
    assert.equal(dump(parse(`${'['.repeat(500)}${']'.repeat(500)}`)).length, 1000);
  });

  test('are not read from what is none', () => {
    for (const text of ['', '{', '[1,]', '{1:}', '"a', '"\\x"', '01', 'nul', '1 2', '{"a"}x', 'set(', '"\n"']) {
      assert.throws(() => parse(text), { name: 'ValueSyntaxError' }, text);
    }
    for (const text of ['{1,2}', 'set()', '{1:2}', '`a`', '.5']) assert.throws(() => parseJson(text), text);
    assert.equal(new RegoSet([1, 1, 2]).size, 2);
  });
});
