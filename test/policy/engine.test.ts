import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Evaluation } from '../../src/model/evaluation.ts';
import type { PolicyInstance } from '../../src/policy/engine/engine.ts';
import { createWasmInstance } from '../../src/policy/engine/wasm.ts';
import { openLane } from '../../src/policy/lane.ts';
import { prepareSnapshot } from '../../src/policy/snapshot.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, scratchFolder } from '../support/servers.ts';
import { createSigner } from '../support/tokens.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const MIB = 1_048_576;
const LIMITS = { memoryBytes: 64 * MIB, steps: 30_000_000, builtinMs: 100 };

function wasmOf(rego: string, entrypoint = 'envoy/authz/allow'): Buffer {
  const bundle = buildPolicy(rego, folder, 'p', { entrypoint });
  execFileSync('tar', ['-xzf', bundle, '-C', folder, '/policy.wasm'], { stdio: 'pipe' });
  return readFileSync(join(folder, 'policy.wasm'));
}
const instanceOf = (body: string, data = '{}', memoryBytes = 64 * MIB): Promise<PolicyInstance> =>
  createWasmInstance(wasmOf(`package envoy.authz\n\n${body}\n`), data, { ...LIMITS, memoryBytes });
function ask(instance: PolicyInstance, input: unknown): Evaluation {
  const evaluation = instance.evaluate('envoy/authz/allow', JSON.stringify(input));
  assert.ok(!(evaluation instanceof Promise));
  return evaluation;
}

describe('the WebAssembly engine', () => {
  test('answers from input and data, and keeps every digit', async () => {
    const instance = await instanceOf('allow := [input.n, data.n]', '{"n":12345678901234567890}');
    const evaluation = instance.evaluate('envoy/authz/allow', '{"n":9007199254740993}');
    assert.equal(JSON.stringify(evaluation), '{"ok":true,"results":[[9007199254740993,12345678901234567890]]}');
  });

  test('says undefined as no result', async () => {
    assert.deepEqual(ask(await instanceOf('allow if input.x == 1'), {}), { ok: true, results: [] });
  });

  test('takes inputs that are no objects', async () => {
    const instance = await instanceOf('allow := [input]');
    for (const input of [false, 0, null, '', [], 'text']) {
      assert.deepEqual(ask(instance, input), { ok: true, results: [[input]] });
    }
  });

  test('refuses a policy whose built-ins are missing, and names them', async () => {
    await assert.rejects(instanceOf('allow := rego.parse_module("p.rego", input.text)'), /rego\.parse_module/);
  });

  test('decodes tokens; what is no token is undefined', async () => {
    const instance = await instanceOf('allow := claims if [_, claims, _] := io.jwt.decode(input.token)');
    const signer = await createSigner('https://i.test/');
    const evaluation = ask(instance, { token: await signer.sign({ sub: 'ann', n: 1.5 }) });
    assert.ok(evaluation.ok);
    assert.equal((evaluation.results[0] as { sub?: string }).sub, 'ann');
    for (const token of ['', 'a.b', 'a.b.c', '..', 5, null, `${Buffer.from('[]').toString('base64url')}.e30.e30`]) {
      assert.deepEqual(ask(instance, { token }), { ok: true, results: [] }, JSON.stringify(token));
    }
  });

  test('calls a conflict an evaluation error and goes on', async () => {
    const instance = await instanceOf('allow := 1 if input.x\nallow := 2 if input.y');
    const conflict = ask(instance, { x: true, y: true });
    assert.ok(!conflict.ok && conflict.reason === 'evaluation_error', JSON.stringify(conflict));
    assert.deepEqual(ask(instance, { x: true }), { ok: true, results: [1] });
  });

  test('stays within its memory and goes on after it ran out', async () => {
    const instance = await instanceOf('allow if count([x | some x in numbers.range(1, input.n)]) > 0', '{}', 8 * MIB);
    for (let i = 0; i < 3; i++) {
      const evaluation = ask(instance, { n: 10_000_000 });
      assert.ok(!evaluation.ok && evaluation.reason === 'out_of_memory', JSON.stringify(evaluation));
      assert.ok(instance.memoryBytes() <= 8 * MIB);
      assert.deepEqual(ask(instance, { n: 10 }), { ok: true, results: [true] });
    }
  });

  test('takes an input that does not fit for out of memory', async () => {
    const instance = await instanceOf('allow if input.x', '{}', 4 * MIB);
    const evaluation = ask(instance, { x: 'x'.repeat(8 * MIB) });
    assert.ok(!evaluation.ok && evaluation.reason === 'out_of_memory');
    assert.deepEqual(ask(instance, { x: true }), { ok: true, results: [true] });
  });

  test('cuts an evaluation off that takes too many steps, and goes on', async () => {
    const instance = await instanceOf(
      'allow if { some a in numbers.range(1, input.n); some b in numbers.range(1, input.n); a * b == -1 }\n\nallow if input.n == 2',
      '{}',
      256 * MIB,
    );
    for (let i = 0; i < 3; i++) {
      const evaluation = ask(instance, { n: 100_000 });
      assert.ok(!evaluation.ok && evaluation.reason === 'evaluation_timeout', JSON.stringify(evaluation));
      assert.deepEqual(ask(instance, { n: 2 }), { ok: true, results: [true] });
    }
  });

  test('gives the memory of a large input back', async () => {
    const instance = await instanceOf('allow if input.x');
    const before = instance.memoryBytes();
    for (let i = 0; i < 20; i++) ask(instance, { x: 'x'.repeat(i % 2 === 0 ? 20 * MIB : 10) });
    ask(instance, { x: true });
    assert.ok(instance.memoryBytes() <= before + 17 * MIB, `${instance.memoryBytes()}`);
  });

  test('survives an input that overflows the stack', async () => {
    const instance = await instanceOf('allow := json.unmarshal(input.text)');
    const evaluation = ask(instance, { text: '['.repeat(200_000) });
    assert.ok(!evaluation.ok && evaluation.reason !== 'evaluation_error', JSON.stringify(evaluation));
    assert.deepEqual(ask(instance, { text: 'true' }), { ok: true, results: [true] });
  });

  test('takes text that it cannot read for an error, not for no input', async () => {
    const instance = await instanceOf('allow if not input.user');
    assert.deepEqual(ask(instance, {}), { ok: true, results: [true] });
    const evaluation = instance.evaluate('envoy/authz/allow', '{"user":');
    assert.ok(!(evaluation instanceof Promise) && !evaluation.ok);
    assert.deepEqual(ask(instance, { user: 1 }), { ok: true, results: [] });
  });

  test('refuses what is no policy module', async () => {
    const bad: readonly Uint8Array[] = [
      Buffer.alloc(0),
      Buffer.from('not wasm'),
      Buffer.from('0061736d01000000', 'hex'),
      // A module that imports four gigabytes of memory.
      Buffer.from('0061736d01000000020f0103656e76066d656d6f7279020080800400', 'hex').subarray(0, 27),
    ];
    for (const wasm of bad) {
      await assert.rejects(createWasmInstance(wasm, '{}', LIMITS), { name: 'EngineError' });
    }
  });
});

const everything = (instance: PolicyInstance): Parameters<typeof prepareSnapshot>[0][number] => ({
  instance,
  entrypoints: instance.entrypoints,
});

describe('a snapshot', () => {
  const prepare = async (rego: string, entrypoint: string, path: string): ReturnType<typeof prepareSnapshot> =>
    prepareSnapshot([everything(await createWasmInstance(wasmOf(rego, entrypoint), '{}', LIMITS))], path);

  test('tells what its decision reads: what the entrypoint does that the path is below', async () => {
    const rego = 'package envoy.authz\n\nallow if input.user == "ann"\nmask if input.secret\n';
    const prepareFor = async (entrypoint: string, path: string): Promise<unknown> => {
      const instance = await createWasmInstance(wasmOf(rego, entrypoint), '{}', LIMITS, path);
      return (await prepareSnapshot([everything(instance)], path)).reads;
    };
    assert.deepEqual(await prepareFor('envoy/authz/allow', 'envoy/authz/allow'), { user: true });
    assert.deepEqual(await prepareFor('envoy/authz', 'envoy/authz/allow'), { user: true, secret: true });
  });

  test('finds a path below an entrypoint, and nothing beyond it', async () => {
    const snapshot = await prepare(
      'package envoy.authz\n\nallow := {"inner": {"deep": true}}\n',
      'envoy/authz',
      'envoy/authz/allow/inner/deep',
    );
    assert.deepEqual(snapshot.evaluate('envoy/authz/allow/inner/deep', '{}'), { ok: true, results: [true] });
    assert.deepEqual(snapshot.evaluate('envoy/authz/allow/constructor', '{}'), { ok: true, results: [] });
    const elsewhere = await snapshot.evaluate('other/path', '{}');
    assert.ok(!elsewhere.ok && elsewhere.reason === 'decision_undefined');
  });

  test('is refused when no entrypoint serves the decision, with the command that helps', async () => {
    await assert.rejects(
      prepare('package a\n\nb := 1\n', 'a/b', 'envoy/authz/allow'),
      /the bundle has: a\/b\); build it with `opa build -t wasm -e envoy\/authz\/allow`/,
    );
  });

  test('is refused when the policy cannot even be asked', async () => {
    const rego = 'package envoy.authz\n\nallow if count([x | some x in numbers.range(1, 100000000)]) > 0\n';
    await assert.rejects(prepare(rego, 'envoy/authz/allow', 'envoy/authz/allow'), /fails when it is asked/);
  });
});

describe('the lane for long evaluations', () => {
  const taskOf = (wasm: Uint8Array, steps = LIMITS.steps): Parameters<typeof openLane>[0] => ({
    modules: [{ path: 'p', wasm, entrypoints: [], roots: [''] }],
    data: '{}',
    path: 'envoy/authz/allow',
    limits: { ...LIMITS, steps },
  });
  const heavy = `package envoy.authz

allow if {
	some x in input.xs
	some y in input.ys
	x == y
}
`;
  const inputOf = (n: number, y: string): string =>
    JSON.stringify({ xs: Array.from({ length: n }, (_, i) => `x${i}`), ys: Array.from({ length: n }, () => y) });
  const inTime = (): number => performance.now() + 60_000;

  test('opens for a good policy', async () => {
    const { lane } = await openLane(taskOf(wasmOf('package envoy.authz\n\nallow if input.x\n')), 20_000);
    assert.deepEqual(await lane.evaluate('envoy/authz/allow', '{"x":true}', inTime()), { ok: true, results: [true] });
    lane.close();
  });

  test('does not open for a policy that is not done in time', async () => {
    const task = taskOf(wasmOf('package envoy.authz\n\nallow if input.x\n'));
    await assert.rejects(openLane(task, 1), /does not answer within 1 ms/);
  });

  test('does not open for the reason that its thread found', async () => {
    await assert.rejects(openLane(taskOf(Buffer.from('nonsense')), 20_000), { name: 'EngineError' });
  });

  test('refuses at once those whose turn would come too late, and answers the others', async () => {
    const { lane } = await openLane(taskOf(wasmOf(heavy)), 20_000);
    const input = inputOf(700, 'y');
    const ask = (withinMs: number): Promise<Evaluation> =>
      lane.evaluate('envoy/authz/allow', input, performance.now() + withinMs);
    const startMs = performance.now();
    assert.deepEqual(await ask(60_000), { ok: true, results: [] });
    const eachMs = performance.now() - startMs;
    const patient = ask(60_000);
    let settled = 0;
    const late = Array.from({ length: 10 }, () => ask(eachMs / 2).finally(() => settled++));
    await Promise.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(settled, 10, 'nobody waits in vain');
    for (const evaluation of await Promise.all(late)) {
      assert.deepEqual(evaluation, { ok: false, reason: 'evaluation_timeout', cause: 'too many long evaluations' });
    }
    assert.ok((await patient).ok);
    assert.ok((await ask(60_000)).ok, 'and it opens again');
    lane.close();
  });

  test('answers what the instance has no time for, and keeps every digit', async () => {
    const wasm = wasmOf('package envoy.authz\n\nallow := [count(numbers.range(1, input.n)), input.big]\n');
    const { lane } = await openLane(taskOf(wasm), 20_000);
    const snapshot = await prepareSnapshot(
      [
        everything(
          await createWasmInstance(wasm, '{}', { ...LIMITS, inline: { ...LIMITS, steps: 20_000, builtinMs: 5 } }),
        ),
      ],
      'envoy/authz/allow',
      lane,
    );
    const small = snapshot.evaluate('envoy/authz/allow', '{"n":1,"big":1}', inTime());
    assert.deepEqual(small, { ok: true, results: [[1, 1]] });
    const large = snapshot.evaluate('envoy/authz/allow', '{"n":100000,"big":12345678901234567890}', inTime());
    assert.ok(large instanceof Promise);
    assert.equal(JSON.stringify(await large), '{"ok":true,"results":[[100000,12345678901234567890]]}');
    // The instance that was interrupted answers as before.
    assert.deepEqual(snapshot.evaluate('envoy/authz/allow', '{"n":1,"big":1}', inTime()), small);
    snapshot.close();
  });

  test('cuts off what takes too many steps, refuses what would wait too long, and goes on', async () => {
    const { lane } = await openLane(taskOf(wasmOf(heavy)), 20_000);
    const ask = (n: number, y: string, untilMs: number): Promise<Evaluation> =>
      lane.evaluate('envoy/authz/allow', inputOf(n, y), untilMs);
    const answers = await Promise.all([
      ...Array.from({ length: 60 }, () => ask(3_000, 'none', inTime())),
      ask(2, 'x1', performance.now() + 1),
    ]);
    const reasons = answers.map((answer) => (answer.ok ? 'answered' : answer.reason));
    assert.deepEqual([...new Set(reasons)], ['evaluation_timeout']);
    assert.deepEqual(await ask(2, 'x1', inTime()), { ok: true, results: [true] });
    lane.close();
  });
});
