import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PreparedPolicy, preparePolicy } from '../../src/policy/prepare.ts';
import { isLetGo } from '../support/collect.ts';
import { buildModule } from '../support/modules.ts';
import { scratchFolder } from '../support/servers.ts';

const limits = { memoryBytes: 67_108_864, steps: 30_000_000, builtinMs: 250 };

test('a policy that was replaced is let go by the one that has its module and what it reads', async (context) => {
  const wasm = buildModule('package p\n\nx := data.n if not input.blocked\n', scratchFolder(context), ['p/x']);
  const modules = [{ path: 'policy.wasm', wasm, digest: 'd', entrypoints: [], roots: [''] }];
  const prepare = (n: number, previous: PreparedPolicy | undefined): Promise<PreparedPolicy> =>
    preparePolicy(
      { modules, data: Buffer.from(`{"n": ${n}}`), revisions: {}, digests: {} },
      { path: 'p/x', limits, inline: { steps: 300_000, builtinMs: 2 }, network: undefined },
      previous,
    );
  let active: PreparedPolicy | undefined = await prepare(0, undefined);
  const first = new WeakRef(active);
  for (let n = 1; n <= 2; n++) {
    const next: PreparedPolicy = await prepare(n, active);
    active.close();
    active = next;
  }
  context.after(() => active?.close());
  assert.deepEqual(await active.evaluate('p/x', '{}'), { ok: true, results: [2] });
  assert.deepEqual(active.reads, { blocked: true });
  assert.equal(await isLetGo(first), true);
});
