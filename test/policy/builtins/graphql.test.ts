import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError, HaltError } from '../../../src/policy/builtins/builtin.ts';
import { graphqlBuiltins } from '../../../src/policy/builtins/graphql.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { dump } from '../../../src/values/dump.ts';
import { parse } from '../../../src/values/parse.ts';
import { RegoObject, type Value } from '../../../src/values/value.ts';

const options = defaultHostOptions();

function call(name: string, ...args: readonly Value[]): Value | undefined {
  const builtin = graphqlBuiltins.find((one) => one.name === `graphql.${name}`);
  assert.ok(builtin, name);
  assert.equal(builtin.arity, args.length, name);
  return builtin.run(createContext(options, undefined), ...args);
}

const SCHEMA = `
  interface Named { name: String }
  type Dog implements Named { name: String, age(unit: Unit = YEARS): Int, friends(first: Int!): [Named!] }
  type Cat implements Named { name: String, age: Float }
  union Pet = Dog | Cat
  enum Unit { YEARS DAYS }
  scalar Any
  input Filter { name: String!, ages: [Int!], any: Any, size: Int! = 1 }
  input Either @oneOf { a: Int, b: Int }
  type Query { dog(filter: Filter, either: Either): Dog, pet: Pet, named: Named, number(n: Int): Int }
`;

// Expectations were observed in OPA 1.22.2, but where it panics.
describe('graphql.is_valid', () => {
  for (const [want, query] of [
    [true, ''],
    [true, '{ dog(filter: {name: "Rex", ages: 3, any: [{x: 1.5}]}) { name } }'],
    [true, '{ dog(filter: {name: "Rex", any: 9223372036854775807}) { name } }'],
    [false, '{ dog(filter: {name: "Rex", any: 9223372036854775808}) { name } }'],
    [true, '{ number(n: 2147483648) }'],
    [false, '{ number(n: 9223372036854775808) }'],
    [true, 'query($f: Filter!, $n: Int = 1) { dog(filter: $f) { friends(first: $n) { name } } }'],
    [false, 'query($n: Int) { dog { friends(first: $n) { name } } }'],
    [true, '{ dog(either: {a: 1}) { name } }'],
    [false, '{ dog(either: {a: 1, b: 2}) { name } }'],
    [false, 'query($a: Int) { dog(either: {a: $a}) { name } }'],
    [true, '{ pet { ... on Dog { name } ... on Cat { x: name } __typename } }'],
    [false, '{ pet { name } }'],
    [false, '{ pet { ... on Dog { age } ... on Cat { age } } }'],
    [true, '{ dog { age } dog { age name: __typename } }'],
    [false, '{ dog { age } dog { age(unit: YEARS) } }'],
    [false, '{ dog { name } ...F } fragment F on Query { dog { name: age } }'],
    [false, '{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }'],
    [true, '{ __type(name: "x") { fields { type { fields { name } } } } }'],
    [false, '{ __type(name: "x") { fields { type { fields { type { fields { name } } } } } } }'],
    [false, '{ __proto__ constructor: toString }'],
  ] as const) {
    test(`${query} is ${want ? '' : 'not '}valid`, () => assert.equal(call('is_valid', query, SCHEMA), want));
  }

  test('a query that is an object need not have all members; its letter case counts only in selections', () => {
    const valid = (query: string): Value | undefined => call('is_valid', parse(query), SCHEMA);
    assert.equal(valid('{}'), true);
    assert.equal(valid('{"operations": [{"SelectionSet": [{"Name": "number"}]}]}'), true);
    assert.equal(valid('{"Operations": [{"SelectionSet": [{"name": "number"}]}]}'), false);
    assert.equal(valid('{"Operations": [{"SelectionSet": [{"Name": "number"}, 5]}]}'), true);
    assert.equal(valid('{"Operations": [{"SelectionSet": [{"Name": "number"}, null]}]}'), false);
    assert.equal(valid('{"Operations": [{"SelectionSet": 5}]}'), false);
  });

  test('objects that make OPA panic are not valid', () => {
    for (const operation of [
      'null',
      '{"Operation": "other", "SelectionSet": [{"Name": "number"}]}',
      '{"SelectionSet": [{"Name": "number", "Arguments": [{"Name": "n"}]}]}',
      '{"SelectionSet": [{"Name": "number", "Arguments": [{"Name": "n", "Value": {"Kind": 42}}]}]}',
    ]) {
      assert.equal(call('is_valid', parse(`{"Operations": [${operation}]}`), SCHEMA), false, operation);
    }
    assert.equal(
      call('schema_is_valid', 'type A implements I { u: C } interface I { u: U } union U = B type C { a: Int }'),
      false,
    );
  });
});

describe('graphql.schema_is_valid', () => {
  for (const [want, schema] of [
    [true, ''],
    [true, 'type constructor { toString: hasOwnProperty } scalar hasOwnProperty'],
    [false, 'type __proto__ { a: Int }'],
    [false, 'scalar Int'],
    [true, 'directive @skip on FIELD'],
    [true, 'extend type A { a: Int }'],
    [true, 'input A { b: B } input B { a: A! }'],
    [false, 'input A { b: B! } input B { a: A! }'],
    [false, 'enum E { true }'],
    [false, 'extend interface A implements B { a: Int }'],
  ] as const) {
    test(`${schema} is ${want ? '' : 'not '}valid`, () => assert.equal(call('schema_is_valid', schema), want));
  }
});

describe('graphql.parse_query', () => {
  const value = (text: string): string => {
    const document = call('parse_query', `{a(x: ${text})}`);
    return /"Raw":("(?:[^"\\]|\\.)*")/.exec(dump(document ?? null))?.[1] ?? 'undefined';
  };
  for (const [want, text] of [
    ['a😀\ufffd\ufffd', '"\\u0061😀\\ud83d\\ude00"'],
    ['a\n   b', '"""a\n   b"""'],
    ['a\nb', '"""\n\n  a\n  b\n  \n"""'],
    ['say "hi"', '"""say "hi""""'],
    ['1.5e3', '1.5e3'],
    ['12', '12b:3'],
  ] as const) {
    test(`${JSON.stringify(text)} is read`, () => assert.equal(value(text), JSON.stringify(want)));
  }
  for (const text of ['"\\u{61}"', '"a\nb"', '00', '1.', '1e', '"\\x"', '"\u0007"', "'a'", '$']) {
    test(`${JSON.stringify(text)} is refused`, () => assert.throws(() => value(text), BuiltinError));
  }
  test('comments are kept', () => {
    const want =
      '{"Operations":[{"Comment":{"List":[{"Value":"# a"},{"Value":"#b"}]},"Name":"","Operation":"query","SelectionSet":[{"Alias":"c","Name":"c"}]}]}';
    assert.equal(dump(call('parse_query', '# a\n#b\nquery { c # d\n }') ?? null), want);
  });
  test('an operation cannot be described', () => {
    assert.throws(() => call('parse_query', '"what it does" query { a }'), BuiltinError);
  });
});

describe('what asks for too much ends the evaluation', () => {
  const nested = Array.from({ length: 500 }).reduce<Value>(
    (inner) => new RegoObject([['SelectionSet', [inner]]]),
    null,
  );
  for (const [what, query] of [
    ['a deep selection', '{a'.repeat(100_000)],
    ['a deep list', `{a(x:${'['.repeat(100_000)}`],
    ['a deep type', `query($x:${'['.repeat(100_000)}`],
    ['a deep object', new RegoObject([['Operations', [nested]]])],
    ['a long text', ' '.repeat(5_000_000)],
    ['many tokens', '{a}'.repeat(40_000)],
    ['many fields to compare', `{${'dog{name}'.repeat(20_000)}}`],
  ] as const) {
    test(what, () => assert.throws(() => call('is_valid', query, SCHEMA), HaltError));
  }
  test('a long chain of fragments does not', () => {
    const fragments = Array.from({ length: 10_000 }, (_, i) => `fragment F${i} on Query{...F${i + 1}}`);
    assert.equal(call('is_valid', `{...F0}${fragments.join('')}fragment F10000 on Query{number}`, SCHEMA), true);
  });
});
