import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  AsyncBuiltinError,
  BuiltinError,
  loadPolicy,
  type Policy,
  type PolicyOptions,
} from '../../src/policy/engine/load-policy.ts';
import { buildModule } from '../support/modules.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);

const policyOf = (body: string, options?: PolicyOptions): Promise<Policy> =>
  loadPolicy(buildModule(`package p\n\n${body}\n`, folder, ['p/x']), options);

describe('a policy as a library', () => {
  test('answers a result set, a list of bindings', async () => {
    const policy = await policyOf('x := input.n + data.n', { data: { n: 2 } });
    assert.deepEqual(policy.entrypoints, ['p/x']);
    assert.deepEqual(policy.evaluate({ n: 1 }), [{ result: 3 }]);
    assert.deepEqual(policy.evaluate({ n: 1 }, 'p/x'), [{ result: 3 }]);
    assert.deepEqual(policy.evaluate({}), []);
    policy.setData('{"n": 40}');
    assert.deepEqual(policy.evaluate({ n: 2 }), [{ result: 42 }]);
  });

  test('gives sets as arrays in the order of OPA, and as sets in text', async () => {
    const policy = await policyOf('x := {"b", "a", 10, 9, input.n}');
    assert.deepEqual(policy.evaluate({ n: true }), [{ result: [true, 9, 10, 'a', 'b'] }]);
    assert.match(policy.evaluateText('{"n": true}'), /^\[\{"result": \{[^[]*\}\}\]$/);
  });

  test('keeps digits, sets and keys of any type from text to text', async () => {
    const policy = await policyOf('x := input');
    for (const text of [
      '12345678901234567890',
      '0.1234567890123456789',
      '{1,2}',
      'set()',
      '{1:"a"}',
      'false',
      '""',
      'null',
    ]) {
      assert.equal(policy.evaluateText(text).replaceAll(' ', ''), `[{"result":${text}}]`);
      assert.equal(policy.evaluateText(Buffer.from(text)).replaceAll(' ', ''), `[{"result":${text}}]`);
    }
    assert.equal(policy.evaluateText(''), '[]');
    assert.deepEqual(policy.evaluate(undefined), []);
  });

  test('passes values to built-ins and back as they are', async () => {
    const extraBuiltins = { 'json.patch': (value: unknown) => value, sprintf: () => undefined };
    const policy = await policyOf('x := [json.patch(input, []), object.get({}, sprintf("%v", [1]), 1)]', {
      extraBuiltins,
    });
    assert.deepEqual(policy.evaluate({ a: [1] }), []);
    const other = await policyOf('x := json.patch(input, [])', { extraBuiltins });
    assert.deepEqual(other.evaluate({ a: [1], constructor: 2 }), [{ result: { a: [1], constructor: 2 } }]);
  });

  test('takes the error of a built-in for undefined, or throws it with strict errors', async () => {
    const body = 'x := input.x if not hex.decode(input.x)';
    assert.deepEqual((await policyOf(body)).evaluate({ x: 'zz' }), [{ result: 'zz' }]);
    const strict = await policyOf(body, { strictBuiltinErrors: true });
    assert.throws(() => strict.evaluate({ x: 'zz' }), BuiltinError);
    assert.deepEqual(strict.evaluate({ x: '00' }), []);
  });

  test('throws what a caller’s built-in throws, and answers the next question', async () => {
    const extraBuiltins = {
      sprintf: () => {
        throw new TypeError('broken');
      },
    };
    const policy = await policyOf('x := 1 if not sprintf(input.x, [])\nx := 2 if input.y', { extraBuiltins });
    assert.throws(() => policy.evaluate({ x: 'a' }), /broken/);
    assert.deepEqual(policy.evaluate({ y: 2 }), [{ result: 2 }]);
  });

  test('reads time once per evaluation, from the clock it is given', async () => {
    let now = 1_700_000_000_000;
    const policy = await policyOf('x := [time.now_ns(), time.now_ns()]', { now: () => now++ });
    assert.deepEqual(
      policy.evaluateText('{}').replaceAll(' ', ''),
      '[{"result":[1700000000000000000,1700000000000000000]}]',
    );
    assert.match(policy.evaluateText('{}'), /1700000000001000000/);
  });

  test('names missing built-ins and unknown entrypoints', async () => {
    await assert.rejects(policyOf('x := rego.parse_module("a.rego", input)'), {
      name: 'EngineError',
      message: /rego\.parse_module/,
    });
    const policy = await policyOf('x := 1');
    assert.throws(() => policy.evaluate({}, 'p/y'), /no entrypoint p\/y; the module has: p\/x/);
  });

  test('is refused when it needs more memory than it may have', async () => {
    const policy = await policyOf('x := numbers.range(1, input.n)', { maxMemoryBytes: 8 * 1_048_576 });
    assert.throws(() => policy.evaluate({ n: 10_000_000 }));
    assert.deepEqual(policy.evaluate({ n: 2 }), [{ result: [1, 2] }]);
  });

  test('keeps its data when it is given what is none', async () => {
    const policy = await policyOf('x := data.n', { data: { n: 1 } });
    assert.throws(() => policy.setData('{"n":'), { name: 'EngineError' });
    assert.deepEqual(policy.evaluate({}), [{ result: 1 }]);
  });

  test('is as good after many aborts as before', async () => {
    const policy = await policyOf('x := {k: v | some [k, v] in input}');
    const conflict = [
      ['a', 1],
      ['a', 2],
    ];
    for (let i = 0; i < 1_000; i++) assert.throws(() => policy.evaluate(conflict), { name: 'PolicyAbort' });
    assert.deepEqual(policy.evaluate([['a', 1]]), [{ result: { a: 1 } }]);
  });

  test('takes an input that is no object for an empty one where `with` changes it', async () => {
    const policy = await policyOf('y := input\n\nx := z if z := y with input.a.b as 1');
    for (const input of ['1', '"text"', '[1, 2]', 'null', 'true', '{1, 2}', '{}', '', '{"a": 5}']) {
      assert.equal(policy.evaluateText(input).replaceAll(' ', ''), '[{"result":{"a":{"b":1}}}]', input);
    }
    assert.deepEqual(policy.evaluate({ a: { c: 3 }, d: 4 }), [{ result: { a: { b: 1, c: 3 }, d: 4 } }]);
  });

  test('waits for a caller’s built-ins that return promises, one evaluation at one time', async () => {
    let calls = 0;
    const policy = await policyOf(
      'x := [hex.encode(input.a), hex.encode(input.b), hex.encode(input.a), time.now_ns(), rand.intn("a", 1000000)]',
      {
        extraBuiltins: {
          'hex.encode': (text) => {
            calls++;
            const answer = text === 'none' ? undefined : `<${text}>`;
            // biome-ignore lint/suspicious/noThenProperty: a promise of another library
            return { then: (resolve: (value: unknown) => void) => resolve(answer) };
          },
        },
      },
    );
    const [answer] = (await policy.evaluateAsync({ a: '1', b: '2' })) as { readonly result: readonly unknown[] }[];
    assert.deepEqual(answer?.result.slice(0, 3), ['<1>', '<2>', '<1>']);
    assert.equal(calls, 2);
    assert.deepEqual(await policy.evaluateAsync({ a: '1', b: 'none' }), []);
    assert.throws(() => policy.evaluate({ a: '1', b: '2' }), AsyncBuiltinError);
  });

  test('answers where the module’s own functions do not do what Go does', async () => {
    for (const [body, want] of [
      ['x := replace("abc", input.none, "_")', '"_a_b_c_"'],
      ['x := replace("abcabc", "b", "_")', '"a_ca_c"'],
      ['x := concat(",", {"b", "a", "c", "aa"})', '"a,aa,b,c"'],
      ['x := concat(",", ["b", "a"])', '"b,a"'],
      ['x := json.marshal({"b": {"<"}, "a": [1.5, null]})', String.raw`"{\"a\":[1.5,null],\"b\":[\"\\u003c\"]}"`],
      ['x := net.cidr_contains("10.0.0.0/8", "::ffff:10.0.0.1")', 'true'],
      ['x := net.cidr_contains("10.0.0.0/8", "::10.0.0.1")', 'false'],
      ['x := net.cidr_intersects("::ffff:10.0.0.0/104", "10.1.0.0/16")', 'true'],
      ['x := format_int(18446744073709551617, 16)', '"10000000000000001"'],
    ] as const) {
      const text = (await policyOf(body)).evaluateText('{"none": ""}');
      assert.deepEqual(JSON.parse(text), [{ result: JSON.parse(want) }], body);
    }
    const wrong = await policyOf('x := [replace("a", input.n, "b")]\n\nx := [concat(",", input.n)]');
    assert.deepEqual(wrong.evaluate({ n: 5 }), []);
  });

  test('loads a module whose data needs more memory than it asks for', async () => {
    for (let letters = 9_000; letters <= 14_000; letters += 1_000) {
      const policy = await policyOf(`x := "${'a'.repeat(letters)}" if input.n == 1\n\nx := "b" if input.n == 2`);
      assert.deepEqual(policy.evaluate({ n: 2 }), [{ result: 'b' }]);
    }
  });

  test('refuses text that it cannot read, instead of answering as if there were no input', async () => {
    const policy = await policyOf('x := "answered" if not input.user');
    for (const text of ['{', '{"user":1}x', 'nonsense', '[1,]', '{"user":01}', '{user:1}', '"\u0000"']) {
      assert.throws(() => policy.evaluateText(text), { name: 'ValueSyntaxError' }, text);
      await assert.rejects(policy.evaluateTextAsync(Buffer.from(text)), { name: 'ValueSyntaxError' }, text);
    }
    assert.throws(() => policy.evaluateText(Buffer.from([0x22, 0xff, 0x22])), TypeError);
    assert.match(policy.evaluateText(''), /answered/);
    assert.match(policy.evaluateText('{1, "a"}'), /answered/);
  });
});
