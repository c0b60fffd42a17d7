import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

/** Rooms from the top down; imports go down only, and rooms of one layer never meet. */
const layers: readonly (readonly string[])[] = [
  ['main', 'store-main'],
  ['compose'],
  ['envoy', 'api', 'cli'],
  ['check'],
  ['identity', 'limits', 'policy', 'bundles', 'decisions', 'threats'],
  ['telemetry'],
  ['config'],
  ['values'],
  ['model', 'lib'],
];

const root = resolve(import.meta.dirname, '..');
const src = join(root, 'src');

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .sort();
const roomOf = (file: string): string => file.split('/')[0]?.replace(/\.ts$/, '') ?? '';
const layerOf = (room: string): number => layers.findIndex((rooms) => rooms.includes(room));

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8');
  return [...text.matchAll(/(?:from|import|require\w*\([^)]*\))\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function violations(file: string, imports: readonly string[]): string[] {
  const room = roomOf(file);
  return imports
    .filter((target) => target.startsWith('.') && !target.endsWith('.json'))
    .map((target) => relative(src, resolve(src, dirname(file), target)))
    .filter((target) => roomOf(target) !== room && layerOf(roomOf(target)) <= layerOf(room))
    .map((target) => `${file} imports ${target}`);
}

test('every file is in a room that has a layer', () => {
  assert.ok(files.length > 30, 'the sources were not found');
  assert.deepEqual(
    files.filter((file) => layerOf(roomOf(file)) < 0),
    [],
  );
});

test('imports go down only and rooms of one layer never meet', () => {
  assert.deepEqual(
    files.flatMap((file) => violations(file, importsOf(file))),
    [],
  );
});

test('the rule finds an import that goes up and one that goes sideways', () => {
  assert.equal(violations('check/a.ts', ['../envoy/b.ts']).length, 1);
  assert.equal(violations('policy/a.ts', ['../bundles/b.ts']).length, 1);
  assert.equal(violations('policy/engine/a.ts', ['../../model/b.ts', '../c.ts']).length, 0);
});

/** Who alone may use what: wire types and the engine's package stay at their edge, the process belongs to main. */
const owners: readonly (readonly [pattern: RegExp, allowed: RegExp])[] = [
  [/'@grpc\/grpc-js'/, /^(?:envoy|identity\/workload-api)\//],
  [/'(?:\.\/|\.\.\/)+(?:envoy\/|workload-api\/)?gen\//, /^(?:envoy|identity\/workload-api)\//],
  [/'@open-policy-agent\/opa-wasm'/, /^policy\/engine\/wasm\.ts$/],
  [/'fastify'/, /^api\//],
  [/'jose'/, /^identity\//],
  [/'prom-client'/, /^telemetry\//],
  [/'pino'/, /^telemetry\//],
  [/'@duckdb\/node-api'/, /^decisions\/(?:store|sql)\//],
  [/'commander'/, /^cli\//],
  [/\bprocess\.(?:argv|cwd|env|exit|kill|on|pid|std)/, /^(?:store-)?main\.ts$/],
];

test('each edge keeps its wire types and libraries to itself', () => {
  const strays = files.flatMap((file) => {
    const text = readFileSync(join(src, file), 'utf8');
    return owners
      .filter(([pattern, allowed]) => pattern.test(text) && !allowed.test(file))
      .map(([p]) => `${file}: ${p}`);
  });
  assert.deepEqual(strays, []);
});

test('the AWS SDK is loaded only when a bundle needs it', () => {
  const loaded = files.filter((file) =>
    /^import (?!type\b).*'@(?:aws-sdk|smithy)\//m.test(readFileSync(join(src, file), 'utf8')),
  );
  assert.deepEqual(loaded, []);
});
