import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { BuiltinError, loadPolicy, type Policy, type PolicyOptions } from '../../src/policy/engine/load-policy.ts';
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
});
