import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createActivation, type Policy } from '../../src/bundles/activate.ts';
import { readAndMerge } from '../../src/bundles/read.ts';
import { unpack } from '../../src/bundles/unpack.ts';
import { createWasmInstance } from '../../src/policy/engine/wasm.ts';
import { openLane } from '../../src/policy/lane.ts';
import { type PreparedSnapshot, prepareSnapshot, shareOf } from '../../src/policy/snapshot.ts';
import { buildModule } from '../support/modules.ts';
import { tool } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { asFiles, type Files, writeFiles } from '../support/signing.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const LIMITS = { memoryBytes: 67_108_864, steps: 30_000_000, builtinMs: 100 };
const moduleOf = (rego: string, ...entrypoints: readonly string[]): Buffer => buildModule(rego, folder, entrypoints);

/** The policy that bundles make together, as files by bundle. */
async function policyOf(bundles: { readonly [name: string]: Files }): Promise<Policy> {
  const policies: Policy[] = [];
  const activation = createActivation({
    nowMs: () => 0,
    names: Object.keys(bundles),
    read: readAndMerge,
    prepare: async (policy) => ({ commit: () => void policies.push(policy), abandon: () => {} }),
  });
  for (const [name, files] of Object.entries(bundles)) {
    const content = { files: asFiles(files) };
    await activation.offer(name, { content, maxBytes: 1e8, verification: undefined, allowRollback: false, nowMs: 0 });
  }
  assert.equal(policies.length, 1);
  return policies[0] as Policy;
}
async function prepare({ modules, data }: Pick<Policy, 'modules' | 'data'>, path: string): Promise<PreparedSnapshot> {
  const shares = modules.map(async (module) => shareOf(module, await createWasmInstance(module.wasm, data, LIMITS)));
  return prepareSnapshot(await Promise.all(shares), path);
}
async function answersOf(snapshot: PreparedSnapshot, ...paths: readonly string[]): Promise<readonly unknown[]> {
  const evaluations = await Promise.all(paths.map((path) => snapshot.evaluate(path, '{"n":1}')));
  return evaluations.map((evaluation) => (evaluation.ok ? evaluation.results[0] : evaluation.reason));
}
const manifest = (roots: readonly string[], wasm: { readonly [entrypoint: string]: string } = {}): string =>
  JSON.stringify({ roots, wasm: Object.entries(wasm).map(([entrypoint, module]) => ({ entrypoint, module })) });

describe('one bundle', () => {
  test('that opa built with several entrypoints answers for each', async () => {
    const source = join(folder, 'several');
    writeFiles(source, { 'p.rego': 'package app\n\nallow if input.n == 1\n\nwhy := "because"\n\nother := 3\n' });
    const options = ['-t', 'wasm', '-e', 'app/allow', '-e', 'app/why', '-o', join(folder, 'several.tar.gz')];
    execFileSync(tool('opa'), ['build', ...options, '-b', source], { stdio: 'pipe' });
    const files = await unpack(readFileSync(join(folder, 'several.tar.gz')), 10_000_000);
    const snapshot = await prepare(await policyOf({ b: Object.fromEntries(files) }), 'app/allow');
    assert.deepEqual(await answersOf(snapshot, 'app/allow', 'app/why', 'app/other'), [
      true,
      'because',
      'decision_undefined',
    ]);
  });

  test('with two modules asks the one that the manifest names, whatever the other has', async () => {
    const first = moduleOf('package a\n\nallow := "first"\n\nmore := "first"\n', 'a/allow', 'a/more');
    const second = moduleOf('package a\n\nallow := "second"\n\nmore := "second"\n', 'a/allow', 'a/more');
    const files = {
      '.manifest': manifest(['a'], { 'a/allow': '/policy.wasm', 'a/more': '/x/policy.wasm' }),
      'policy.wasm': first,
      'x/policy.wasm': second,
    };
    const snapshot = await prepare(await policyOf({ b: files }), 'a/allow');
    assert.deepEqual(await answersOf(snapshot, 'a/allow', 'a/more'), ['first', 'second']);
  });

  test('is refused when the manifest gives a module what it does not have', async () => {
    const files = {
      '.manifest': manifest(['a'], { 'a/none': '/policy.wasm' }),
      'policy.wasm': moduleOf('package a\n\nallow := 1\n', 'a/allow'),
    };
    const { modules, data } = await policyOf({ b: files });
    const task = { modules, data, path: 'a/none', limits: LIMITS };
    await assert.rejects(openLane(task, 20_000), /the module lacks: a\/none/);
    await assert.rejects(prepare({ modules, data }, 'a/none'), /no entrypoint serves a\/none/);
  });

  test('does not answer outside of its roots, also when the manifest names no entrypoint', async () => {
    const rego = 'package a\n\nallow := 1\n';
    const files = { '.manifest': manifest(['b']), 'policy.wasm': moduleOf(rego, 'a/allow') };
    await assert.rejects(prepare(await policyOf({ b: files }), 'a/allow'), /the bundle has: none/);
    const open = { 'policy.wasm': moduleOf(rego, 'a/allow') };
    assert.deepEqual(await answersOf(await prepare(await policyOf({ b: open }), 'a/allow'), 'a/allow'), [1]);
  });
});

describe('several bundles with modules', () => {
  test('answer for what is below their roots, and see the data of all', async () => {
    const bundles = {
      one: {
        '.manifest': manifest(['a'], { 'a/allow': '/policy.wasm' }),
        'policy.wasm': moduleOf('package a\n\nallow := [data.lists.x, data.b.y]\n', 'a/allow'),
      },
      two: {
        '.manifest': manifest(['b'], { 'b/deny': '/policy.wasm' }),
        'policy.wasm': moduleOf('package b\n\ndeny := data.lists.x\n', 'b/deny'),
        'b/data.json': '{"y":2}',
      },
      lists: { '.manifest': manifest(['lists']), 'lists/data.json': '{"x":1}' },
    };
    const snapshot = await prepare(await policyOf(bundles), 'a/allow');
    assert.deepEqual(await answersOf(snapshot, 'a/allow', 'b/deny'), [[1, 2], 1]);
  });

  test('cannot answer for each other', async () => {
    const bundles = {
      evil: { '.manifest': manifest(['b']), 'policy.wasm': moduleOf('package a\n\nallow := "evil"\n', 'a/allow') },
      good: {
        '.manifest': manifest(['a'], { 'a/allow': '/policy.wasm' }),
        'policy.wasm': moduleOf('package a\n\nallow := "good"\n', 'a/allow'),
      },
    };
    assert.deepEqual(await answersOf(await prepare(await policyOf(bundles), 'a/allow'), 'a/allow'), ['good']);
  });
});
