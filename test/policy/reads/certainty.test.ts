import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Reads } from '../../../src/model/reads.ts';
import { decode } from '../../../src/policy/engine/reads/code.ts';
import { interpret } from '../../../src/policy/engine/reads/interpret.ts';
import { readsOf } from '../../../src/policy/engine/reads/reads.ts';
import { NOTHING, numberOf, OTHER } from '../../../src/policy/engine/reads/values.ts';
import { leb } from '../../../src/policy/engine/wasm-binary.ts';
import { buildModule } from '../../support/modules.ts';
import { createRandom } from '../../support/random.ts';
import { createScope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const fixtures = resolve(import.meta.dirname, '../../../bench/fixtures');
const policy = readFileSync(join(fixtures, 'verified/policy.rego'), 'utf8');
const wasm = buildModule(policy, folder, ['envoy/authz/allow']);
const READS: Reads = {
  attributes: { request: { http: { path: true, method: true } } },
  identity: { claims: { roles: true } },
};

const readsIn = (module: Uint8Array): Reads | undefined => readsOf(module, new Map([['allow', 0]])).get('allow');

/** The module with another text of the same length wherever it has this one. */
function replaced(module: Buffer, text: string, other: string): Buffer {
  assert.equal(text.length, other.length);
  const copy = Buffer.from(module.toString('latin1').replaceAll(text, other), 'latin1');
  assert.notDeepEqual(copy, module);
  return copy;
}

describe('a module that is not as OPA makes them', () => {
  test('of the policy in the bench, what it reads is known', () => {
    assert.deepEqual(readsIn(wasm), READS);
  });

  test('is read as a whole when it is cut short', () => {
    for (let length = 0; length < wasm.length; length += length < 2_000 || length > wasm.length - 2_000 ? 1 : 997) {
      const part = wasm.subarray(0, length);
      // Behind the names is who made it.
      const expected: Reads = WebAssembly.validate(part) && part.includes('opa_value_get') ? READS : true;
      assert.deepEqual(readsIn(part), expected, `${length} bytes`);
    }
  });

  test('never throws and comes to an end whatever its bytes are', () => {
    const random = createRandom(3);
    for (let turn = 0; turn < 400; turn++) {
      const broken = Buffer.from(wasm);
      for (let changes = random.below(20) + 1; changes > 0; changes--) {
        broken[random.below(broken.length)] = random.below(256);
      }
      assert.notEqual(readsIn(broken), undefined);
    }
  });

  for (const name of ['opa_value_get', 'opa_memoize_get', 'g0.data', '\x04eval']) {
    test(`is read as a whole without the name ${name.trim()}`, () => {
      assert.equal(readsIn(replaced(wasm, name, `${name.slice(0, -1)}?`)), true);
    });
  }

  test('is read as a whole without any names', () => {
    assert.equal(readsIn(replaced(wasm, '\x04name', '\x04none')), true);
  });

  test('has no function that is known by a name that two of them have', () => {
    const looping = buildModule('package p\n\nx if input.list[_].a == 1\n', folder, ['p/x']);
    assert.deepEqual(readsIn(looping), { list: true });
    assert.deepEqual(readsIn(replaced(looping, 'opa_value_iter', 'opa_value_type')), { list: true });
  });
});

/** Code of no locals of its own. */
const body = (...code: readonly number[]): Uint8Array => Uint8Array.from([0, ...code]);

describe('code that OPA does not emit', () => {
  const refused: { readonly [name: string]: readonly number[] } = {
    'an instruction that it has no use for': [0x20, 0x00, 0x20, 0x00, 0x6a, 0x0f, 0x0b],
    'a global': [0x23, 0x00, 0x0f, 0x0b],
    'a look at one byte of memory': [0x20, 0x00, 0x2d, 0x00, 0x00, 0x0f, 0x0b],
    'a block with a result': [0x02, 0x7f, 0x20, 0x00, 0x0b, 0x0f, 0x0b],
    'an else': [0x20, 0x00, 0x04, 0x40, 0x05, 0x0b, 0x20, 0x00, 0x0f, 0x0b],
    'a branch out of the function': [0x0c, 0x00, 0x0b],
    'a block without an end': [0x02, 0x40, 0x0b],
    'a second table': [0x20, 0x00, 0x11, 0x00, 0x01, 0x0f, 0x0b],
    'nothing at all': [],
  };
  for (const [name, code] of Object.entries(refused)) {
    test(`is not followed: ${name}`, () => {
      assert.throws(() => decode(body(...code)), { name: 'Unsure' });
    });
  }

  const around = {
    spend: () => {},
    typeOfFunction: () => ({ parameters: 0, results: 0 }),
    typeAt: () => ({ parameters: 0, results: 0 }),
    call: () => NOTHING,
    callIndirect: () => NOTHING,
    load: () => OTHER,
    store: () => {},
  };
  const unsound: { readonly [name: string]: readonly number[] } = {
    'an operand that is not there': [0x1a, 0x0b],
    'an operand left from one block to the next': [0x20, 0x00, 0x02, 0x40, 0x0b, 0x0f, 0x0b],
    'a local that is not there': [0x20, 0x09, 0x0f, 0x0b],
  };
  for (const [name, code] of Object.entries(unsound)) {
    test(`is not followed: ${name}`, () => {
      assert.throws(() => interpret(decode(body(...code)), [OTHER], around), { name: 'Unsure' });
    });
  }

  test('learns nothing about a local from what it was before', () => {
    const code = [0x02, 0x40, 0x20, 0x00, 0x41, 0x05, 0x21, 0x00, 0x0d, 0x00, 0x0b, 0x20, 0x00, 0x0f, 0x0b];
    assert.deepEqual(interpret(decode(body(...code)), [OTHER], around), numberOf(5));
  });

  test('is not followed for long', () => {
    let left = 100_000;
    const spend = (steps: number): void => {
      left -= steps;
      if (left < 0) throw new Error('too long');
    };
    // Loops in loops, each of which gives the others another number to begin with.
    const depth = 200;
    const loops = Array.from({ length: depth }, (_, i) => [
      0x03,
      0x40,
      0x41,
      ...leb(i % 60),
      0x21,
      ...leb(i % 90),
    ]).flat();
    const ends = Array.from({ length: depth }, () => [0x20, 0x05, 0x0d, 0x00, 0x0b]).flat();
    const code = decode(Uint8Array.from([1, 100, 0x7f, ...loops, ...ends, 0x0b]));
    assert.doesNotThrow(() => interpret(code, [], { ...around, spend }));
    assert.throws(() => interpret(code, [], { ...around, spend: () => spend(1_000) }), /too long/);
  });
});
