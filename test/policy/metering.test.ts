import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EngineError } from '../../src/policy/engine/engine.ts';
import { withSteps } from '../../src/policy/engine/metering.ts';

const HEAD = '0061736d01000000';
const TYPES = '010401600000';
const MEMORY_IMPORT = '020f0103656e76066d656d6f72790200 02'.replace(' ', '');
const GLOBALS = '0606017f0141000b';
const FUNCTION = '03020100';
const EXPORTS = '0705010166 0000'.replace(' ', '');
/** A function of no locals. */
const code = (body: string): string => {
  const length = body.length / 2 + 2;
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  return `0a${hex(length + 2)}01${hex(length)}00${body}0b`;
};
const moduleOf = (body: string): Buffer =>
  Buffer.from(HEAD + TYPES + MEMORY_IMPORT + FUNCTION + GLOBALS + EXPORTS + code(body), 'hex');

type Running = { readonly f: () => void; readonly postern_steps_left: WebAssembly.Global };

async function run(wasm: Uint8Array): Promise<Running> {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
  const instance = new WebAssembly.Instance(await WebAssembly.compile(withSteps(wasm)), { env: { memory } });
  return instance.exports as unknown as Running;
}

describe('a module with a budget of steps', () => {
  test('stops an endless loop', async () => {
    const { f, postern_steps_left: steps } = await run(moduleOf('03400c000b'));
    steps.value = 1000;
    assert.throws(f, /unreachable/);
    assert.ok(Number(steps.value) < 0);
  });

  test('stops an endless recursion before the stack is full', async () => {
    const { f, postern_steps_left: steps } = await run(moduleOf('1000'));
    steps.value = 10;
    assert.throws(f, /unreachable/);
  });

  test('lets a function through that stays within its budget', async () => {
    const { f, postern_steps_left: steps } = await run(moduleOf('01'));
    steps.value = 1;
    f();
    assert.equal(steps.value, 0);
  });

  test('refuses what it cannot read', () => {
    const good = moduleOf('03400c000b');
    for (let length = 0; length < good.length; length++) {
      const part = good.subarray(0, length);
      // Cut between two sections it is a module still, one that lacks what its functions are.
      if (WebAssembly.validate(part)) continue;
      const isRefused = (): boolean => {
        try {
          return !WebAssembly.validate(withSteps(part));
        } catch (error) {
          return error instanceof EngineError;
        }
      };
      assert.ok(isRefused(), `${length} bytes`);
    }
    assert.throws(() => withSteps(moduleOf('fe00')), { name: 'EngineError', message: /0xfe/ });
  });
});
