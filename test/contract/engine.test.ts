import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, describe, test } from 'node:test';
import { loadPolicy } from '../../src/policy/engine/load-policy.ts';
import { buildModule } from '../support/modules.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

/*
 * What every engine must do alike. The second one is OPA's own package for Node: where it fails, a case says so, and
 * fails as soon as it no longer does, so that a fix upstream is noticed.
 */

type Evaluate = (input: unknown) => unknown;
type Engine = (wasm: Uint8Array, data: object) => Promise<Evaluate>;
type OpaWasm = {
  loadPolicy(
    wasm: Uint8Array,
    memory?: number,
  ): Promise<{ setData(data: object): void; evaluate(input: unknown): unknown }>;
};

const engines: { readonly [name: string]: Engine } = {
  postern: async (wasm, data) => {
    const policy = await loadPolicy(wasm, { data });
    return policy.evaluate;
  },
  'opa-wasm': async (wasm, data) => {
    const { loadPolicy: load } = createRequire(import.meta.url)('@open-policy-agent/opa-wasm') as OpaWasm;
    const policy = await load(wasm);
    policy.setData(data);
    return (input) => policy.evaluate(input);
  },
};

type Case = {
  readonly name: string;
  readonly rego: string;
  readonly input?: unknown;
  readonly data?: object;
  readonly want: unknown;
  /** Why the package does not pass. */
  readonly packageFails?: string;
};

const cases: readonly Case[] = [
  { name: 'a value of input', rego: 'x := input.a.b', input: { a: { b: [1, 'ä😀', null] } }, want: [1, 'ä😀', null] },
  { name: 'a value of data', rego: 'x := data.d.e', data: { d: { e: 1.5 } }, want: 1.5 },
  { name: 'partial objects', rego: 'x[k] := v + 1 if some k, v in input', input: { a: 1, b: 2 }, want: { a: 2, b: 3 } },
  { name: 'every', rego: 'x if every n in input { n > 0 }', input: [1, 2], want: true },
  { name: 'with', rego: 'x := v if v := y with input.a as 5\n\ny := input.a', input: { a: 1 }, want: 5 },
  { name: 'regular expressions', rego: 'x := regex.match("^a+$", input)', input: 'aaa', want: true },
  { name: 'input zero', rego: 'x := input', input: 0, want: 0, packageFails: 'falsy inputs are dropped' },
  { name: 'input false', rego: 'x := input', input: false, want: false, packageFails: 'falsy inputs are dropped' },
  {
    name: 'sets in the order of OPA',
    rego: 'x := {"b", "a", "c", "k", 10, 9, 2}',
    want: [2, 9, 10, 'a', 'b', 'c', 'k'],
    packageFails: 'sets come in the order of their hashes',
  },
  {
    name: 'a built-in that cannot answer is undefined',
    rego: 'x := 1 if not json.patch(input, [{"op": "remove", "path": "/a"}])',
    input: {},
    want: 1,
    packageFails: 'json.patch is not there',
  },
];

for (const [name, engine] of Object.entries(engines)) {
  describe(`the engine ${name}`, () => {
    const suite = createScope();
    after(suite.close);
    const folder = scratchFolder(suite);
    for (const one of cases) {
      const mayFail = name === 'opa-wasm' && one.packageFails !== undefined;
      test(mayFail ? `fails for ${one.name}: ${one.packageFails}` : `answers ${one.name}`, async () => {
        const wasm = buildModule(`package p\n\n${one.rego}\n`, folder, ['p/x']);
        const check = async (): Promise<void> => {
          const evaluate = await engine(wasm, one.data ?? {});
          assert.deepEqual(evaluate('input' in one ? one.input : {}), [{ result: one.want }]);
        };
        await (mayFail ? assert.rejects(check) : check());
      });
    }
  });
}
