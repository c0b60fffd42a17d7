import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { parse } from 'yaml';
import { unpack } from '../../src/bundles/unpack.ts';
import { parsePath } from '../../src/check/query.ts';
import { root, tool } from '../support/process.ts';

/* The committed default bundle, asked through WebAssembly and, for comparison, through opa itself. */

type Example = {
  readonly as: string;
  readonly method: string;
  readonly path: string;
  readonly allowed: boolean;
  readonly reasons: readonly string[];
};
type Examples = { readonly callers: { readonly [name: string]: object }; readonly examples: readonly Example[] };
/** What is used of the package's LoadedPolicy (opa-wasm 1.10, src/opa.js). */
type Loaded = {
  readonly wasmInstance: {
    readonly exports: { readonly builtins: () => number; readonly opa_json_dump: (value: number) => number };
  };
  readonly mem: WebAssembly.Memory;
  setData(data: object): void;
  evaluate(input: object): readonly { readonly result: unknown }[];
};
// The package's types describe an ES module, and what Node finds is CommonJS without named exports.
const { loadPolicySync } = createRequire(import.meta.url)('@open-policy-agent/opa-wasm') as {
  readonly loadPolicySync: (wasm: Uint8Array) => Loaded;
};

const file = join(root, 'bundles/default.tar.gz');
const { callers, examples } = parse(readFileSync(join(root, 'test/policies/examples.yaml'), 'utf8')) as Examples;
let files: ReadonlyMap<string, Buffer>;
let policy: Loaded;

before(async () => {
  files = await unpack(readFileSync(file), 10_000_000);
  policy = loadPolicySync(files.get('policy.wasm') ?? Buffer.alloc(0));
  policy.setData(JSON.parse(files.get('data.json')?.toString() ?? '') as object);
});

const inputOf = ({ as, method, path }: Example): object => {
  const identity = callers[as];
  assert.ok(identity, `no caller ${as}`);
  return { attributes: { request: { http: { method, path } } }, parsed_path: parsePath(path), identity };
};

const odd: readonly object[] = [
  {},
  { identity: null },
  { identity: [], attributes: 1, parsed_path: 'v1/data' },
  { ...inputOf({ as: 'ann', method: 'GET', path: '/v1/data', allowed: false, reasons: [] }), parsed_path: null },
  { ...inputOf({ as: 'ann', method: 'GET', path: '/v1/data', allowed: false, reasons: [] }), attributes: {} },
];

function expected({ as, allowed, reasons }: Example): object {
  if (allowed) return { allowed, reasons, headers: { 'x-user-id': (callers[as] as { subject: string }).subject } };
  const error = reasons.includes('unauthenticated') ? 'unauthenticated' : 'forbidden';
  return { allowed, reasons, http_status: 403, body: JSON.stringify({ error }) };
}

const askWasm = (input: object): unknown => {
  const results = policy.evaluate(input);
  assert.equal(results.length, 1);
  return results[0]?.result;
};

/** Every input in one call of opa, which takes the sources: it brings no engine for the module of a bundle. */
function askOpa(inputs: readonly object[]): readonly unknown[] {
  const query = '[decision | some document in input; decision := data.envoy.authz.allow with input as document]';
  const args = ['eval', '--format', 'raw', '--data', 'policies', '--stdin-input', query];
  return JSON.parse(
    execFileSync(tool('opa'), args, { cwd: root, input: JSON.stringify(inputs), encoding: 'utf8' }),
  ) as unknown[];
}

test('the examples are decided as they say', () => {
  assert.ok(examples.length > 30);
  for (const example of examples)
    assert.deepEqual(askWasm(inputOf(example)), expected(example), JSON.stringify(example));
});

test('input of an odd shape is denied', () => {
  for (const input of odd) assert.equal((askWasm(input) as { allowed: unknown }).allowed, false, JSON.stringify(input));
});

test('WebAssembly and opa decide alike', () => {
  const inputs = [...examples.map(inputOf), ...odd];
  assert.deepEqual(inputs.map(askWasm), askOpa(inputs));
});

test('the module needs no built-in function of the host', () => {
  const { builtins, opa_json_dump: dump } = policy.wasmInstance.exports;
  const address = dump(builtins());
  const bytes = Buffer.from(policy.mem.buffer);
  assert.equal(bytes.toString('utf8', address, bytes.indexOf(0, address)), '{}');
});

test('the bundle carries the Rego it was made from, no tests, and the roots it owns', () => {
  const names = [...files.keys()].sort();
  assert.ok(names.includes('envoy/authz/authz.rego'));
  assert.deepEqual(
    names.filter((name) => /_test\.rego$|\.md$/.test(name)),
    [],
  );
  const manifest = JSON.parse(files.get('.manifest')?.toString() ?? '') as { roots: string[]; revision: string };
  assert.deepEqual(manifest.roots, ['envoy/authz', 'postern', 'tenants']);
  assert.match(manifest.revision, /^[0-9a-f]{12}$/);
  const report = JSON.parse(execFileSync(tool('opa'), ['inspect', '--format', 'json', file], { encoding: 'utf8' })) as {
    manifest: { revision: string };
  };
  assert.equal(report.manifest.revision, manifest.revision);
});
