import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createActivation, type Offer, type Policy } from '../../src/bundles/activate.ts';
import { readAndMerge } from '../../src/bundles/read.ts';

type Parts = { readonly roots?: readonly string[]; readonly data?: object; readonly hasModule?: boolean };

/** A version of a bundle that owns `root`. */
function bundle(root: string, revision: string, parts: Parts = {}): Offer {
  const { roots = [root], data = { [root]: revision }, hasModule = false } = parts;
  const files = new Map([
    ['.manifest', Buffer.from(JSON.stringify({ revision, roots }))],
    ['data.json', Buffer.from(JSON.stringify(data))],
    ...(hasModule ? [['policy.wasm', Buffer.alloc(4)] as const] : []),
  ]);
  return { content: { files }, maxBytes: 1000, verification: undefined, allowRollback: false, nowMs: 0 };
}

/** An activation whose commits are seen and whose preparation can be held or made to fail. */
function activationOf(names: readonly string[], prepare: (policy: Policy) => Promise<Policy> = async (p) => p) {
  const commits: Policy[] = [];
  const activation = createActivation({
    names,
    read: readAndMerge,
    nowMs: () => 0,
    prepare: async (policy) => {
      const prepared = await prepare(policy);
      return { commit: () => void commits.push(prepared), abandon: () => {} };
    },
  });
  const data = (): unknown[] => commits.map((policy) => JSON.parse(Buffer.from(policy.data).toString()));
  const offer = async (name: string, version: Offer): Promise<ReadonlyMap<string, string>> =>
    (await activation.offer(name, version)).fresh;
  return { offer, commits, data };
}

describe('an activation', () => {
  test('waits until every bundle has come once, and tells then what serves', async () => {
    const { offer, commits, data } = activationOf(['a', 'b']);
    assert.deepEqual([...(await offer('a', bundle('a', 'a1')))], []);
    assert.deepEqual([...(await offer('a', bundle('a', 'a2')))], []);
    assert.equal(commits.length, 0);
    assert.deepEqual(Object.fromEntries(await offer('b', bundle('b', 'b1'))), { a: 'a2', b: 'b1' });
    assert.deepEqual(commits[0]?.revisions, { a: 'a2', b: 'b1' });
    assert.deepEqual(data()[0], { a: 'a2', b: 'b1' });
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

  const clashes: readonly (readonly [string, Offer, Offer, RegExp])[] = [
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
    await offer('a', bundle('x', '1', { hasModule: true }));
    await offer('b', bundle('y', '2', { hasModule: true }));
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
    await offer('a', bundle('x', '1', { hasModule: true }));
    await offer('b', bundle('xy', '2'));
    assert.equal(commits[0]?.modules.length, 1);
  });
});
