/*
 * `npm run bench:engine`: CPU of one evaluation of the default policy on a request's input, by the bare opa-wasm package and
 * by this engine in its three forms, in turn and in one process. Only the ratios mean something.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPolicy } from '../../src/policy/engine/load-policy.ts';
import { createWasmInstance } from '../../src/policy/engine/wasm.ts';
import { root } from '../../test/support/process.ts';

type BarePolicy = {
  readonly evaluate: (input: unknown) => { readonly result: unknown }[];
  setData(data: object): void;
};
const bare = createRequire(import.meta.url)('@open-policy-agent/opa-wasm') as {
  readonly loadPolicy: (wasm: Uint8Array, memory: object) => Promise<BarePolicy>;
};

const ROUNDS = 15;
const PER_ROUND = 10_000;

const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
const archive = join(root, 'bundles/default.tar.gz');
execFileSync('tar', ['-xzf', archive, '-C', folder, '/policy.wasm', '/data.json'], { stdio: 'pipe' });
const wasm = readFileSync(join(folder, 'policy.wasm'));
const data = JSON.parse(readFileSync(join(folder, 'data.json'), 'utf8')) as object;
rmSync(folder, { recursive: true });

const headers = Object.fromEntries(
  Array.from({ length: 14 }, (_, i) => [`x-header-${i}`, `value ${i} of a header with some text in it`]),
);
const input = {
  attributes: {
    source: {
      address: { socketAddress: { address: '10.0.0.7', portValue: 40_000 } },
      principal: 'spiffe://td/ns/a/sa/b',
    },
    destination: { address: { socketAddress: { address: '10.0.0.9', portValue: 8080 } } },
    request: {
      time: { seconds: 1_767_323_045, nanos: 1 },
      http: { id: '1', method: 'GET', path: '/v1/data?x=1', host: 'api', headers },
    },
  },
  identity: {
    authenticated: true,
    subject: 'ann',
    claims: { sub: 'ann', roles: ['analyst'], tenant: 'a', region: 'eu' },
  },
  parsed_path: ['v1', 'data'],
  parsed_query: { x: ['1'] },
};
const text = JSON.stringify(input);

const package_ = await bare.loadPolicy(wasm, { initial: 20, maximum: 1024 });
package_.setData(data);
const policy = await loadPolicy(wasm, { data });
const instance = await createWasmInstance(wasm, JSON.stringify(data), {
  memoryBytes: 64 * 1_048_576,
  steps: 30_000_000,
  builtinMs: 250,
});
const [entrypoint = ''] = policy.entrypoints;

const candidates: { readonly name: string; readonly run: () => unknown; readonly micros: number[] }[] = [
  { name: 'opa-wasm, from an object', run: () => package_.evaluate(input)[0]?.result, micros: [] },
  {
    name: 'engine, from an object',
    run: () => (policy.evaluate(input)[0] as { readonly result: unknown }).result,
    micros: [],
  },
  {
    name: 'engine, from text to text',
    run: () => JSON.parse(policy.evaluateText(text).slice(12, -2)) as unknown,
    micros: [],
  },
  {
    name: 'engine, as the service calls it',
    run: () => {
      const evaluation = instance.evaluate(entrypoint, text);
      return 'ok' in evaluation && evaluation.ok ? evaluation.results[0] : undefined;
    },
    micros: [],
  },
];
const [first, ...others] = candidates.map(({ run }) => JSON.stringify(run()));
for (const other of others) if (first !== other) throw new Error(`the answers differ: ${first} and ${other}`);

for (let round = 0; round < ROUNDS; round++) {
  for (const { run, micros } of candidates) {
    const before = process.cpuUsage();
    for (let i = 0; i < PER_ROUND; i++) run();
    const { user, system } = process.cpuUsage(before);
    micros.push((user + system) / PER_ROUND);
  }
}
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
const base = median(candidates[0]?.micros ?? [1]);
process.stdout.write(`Node ${process.versions.node}, input of ${text.length} bytes, answer ${first}\n\n`);
process.stdout.write('| | CPU per evaluation, µs | ratio |\n|---|---|---|\n');
for (const { name, micros } of candidates) {
  process.stdout.write(`| ${name} | ${median(micros).toFixed(1)} | ${(median(micros) / base).toFixed(2)} |\n`);
}
