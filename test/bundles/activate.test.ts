import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createActivation, type Policy } from '../../src/bundles/activate.ts';
import type { Bundle } from '../../src/bundles/bundle.ts';
import type { JsonObject } from '../../src/model/json.ts';

const bundle = (root: string, revision: string, over: Partial<Bundle> = {}): Bundle => ({
  revision,
  roots: [root],
  modules: [],
  data: { [root]: revision },
  metadata: {},
  ...over,
});
const modules: Bundle['modules'] = [
  { path: 'policy.wasm', wasm: new Uint8Array(4), entrypoints: ['a/allow'], roots: ['a'] },
];

/** An activation whose commits are seen and whose preparation can be held or made to fail. */
function activationOf(names: readonly string[], prepare: (policy: Policy) => Promise<Policy> = async (p) => p) {
  const commits: Policy[] = [];
  const activation = createActivation(names, prepare, (policy) => void commits.push(policy));
  return { offer: activation.offer, commits, data: () => commits.map(({ data }) => ({ ...data }) as JsonObject) };
}

describe('an activation', () => {
  test('waits until every bundle has come once, and tells then what serves', async () => {
    const { offer, commits } = activationOf(['a', 'b']);
    assert.deepEqual([...(await offer('a', bundle('a', 'a1')))], []);
    assert.deepEqual([...(await offer('a', bundle('a', 'a2')))], []);
    assert.equal(commits.length, 0);
    assert.deepEqual(Object.fromEntries(await offer('b', bundle('b', 'b1'))), { a: 'a2', b: 'b1' });
    assert.deepEqual(commits[0]?.revisions, { a: 'a2', b: 'b1' });
    assert.deepEqual({ ...commits[0]?.data }, { a: 'a2', b: 'b1' });
    assert.deepEqual([...(await offer('b', bundle('b', 'b2')))], [['b', 'b2']]);
  });

  test('leaves what serves when a new version cannot be prepared, and takes the next good one', async () => {
    const { offer, data } = activationOf(['a', 'b'], async (policy) => {
      if (policy.revisions['a'] === 'bad') throw new Error('cannot run');
      return policy;
    });
    await offer('a', bundle('a', 'a1'));
    await offer('b', bundle('b', 'b1'));
    await assert.rejects(offer('a', bundle('a', 'bad')), /cannot run/);
    await offer('b', bundle('b', 'b2'));
    await offer('a', bundle('a', 'a3'));
    assert.deepEqual(data(), [
      { a: 'a1', b: 'b1' },
      { a: 'a1', b: 'b2' },
      { a: 'a3', b: 'b2' },
    ]);
  });

  test('recovers when the bundle that came first was the bad one', async () => {
    const { offer, commits } = activationOf(['a', 'b'], async (policy) => {
      if (policy.revisions['a'] === 'bad') throw new Error('cannot run');
      return policy;
    });
    await offer('a', bundle('a', 'bad'));
    await assert.rejects(offer('b', bundle('b', 'b1')), /cannot run/);
    assert.deepEqual([...(await offer('a', bundle('a', 'a2')))], []);
    assert.deepEqual(Object.fromEntries(await offer('b', bundle('b', 'b1'))), { a: 'a2', b: 'b1' });
    assert.equal(commits.length, 1);
  });

  test('prepares one at a time, in the order in which versions were offered', async () => {
    const gates: (() => void)[] = [];
    const begun: (string | undefined)[] = [];
    const { offer, data } = activationOf(['a'], async (policy) => {
      begun.push(policy.revisions['a']);
      await new Promise<void>((resolve) => gates.push(resolve));
      return policy;
    });
    const both = [offer('a', bundle('a', 'a1')), offer('a', bundle('a', 'a2'))];
    while (gates.length < 1) await new Promise(setImmediate);
    assert.deepEqual(begun, ['a1']);
    gates[0]?.();
    await both[0];
    while (gates.length < 2) await new Promise(setImmediate);
    gates[1]?.();
    await both[1];
    assert.deepEqual(data(), [{ a: 'a1' }, { a: 'a2' }]);
  });

  const clashes: readonly (readonly [string, Bundle, Bundle, RegExp])[] = [
    ['the same root', bundle('x', '1'), bundle('x', '2'), /the roots of b and a overlap at "x"/],
    ['a root within a root', bundle('x', '1'), bundle('y', '2', { roots: ['x/y'], data: {} }), /overlap at "x\/y"/],
    ['a root that owns everything', bundle('x', '1', { roots: [''] }), bundle('y', '2'), /overlap/],
  ];
  for (const [name, a, b, message] of clashes) {
    test(`refuses two bundles with ${name}`, async () => {
      const { offer, commits } = activationOf(['a', 'b']);
      await offer('a', a);
      await assert.rejects(offer('b', b), message);
      assert.equal(commits.length, 0);
    });
  }

  test('takes modules of several bundles, each with its own roots and a name that says where it is from', async () => {
    const { offer, commits } = activationOf(['a', 'b']);
    await offer('a', bundle('x', '1', { modules: modules.map((each) => ({ ...each, roots: ['x'] })) }));
    await offer('b', bundle('y', '2', { modules: modules.map((each) => ({ ...each, roots: ['y'] })) }));
    assert.deepEqual(
      commits[0]?.modules.map(({ path, roots }) => [path, roots]),
      [
        ['a: policy.wasm', ['x']],
        ['b: policy.wasm', ['y']],
      ],
    );
  });

  test('takes roots whose names only begin alike', async () => {
    const { offer, commits } = activationOf(['a', 'b']);
    await offer('a', bundle('x', '1', { modules }));
    await offer('b', bundle('xy', '2'));
    assert.equal(commits[0]?.modules.length, 1);
  });
});
