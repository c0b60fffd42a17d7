import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Bundle, readBundle } from '../../src/bundles/bundle.ts';
import { applyDelta, readDelta } from '../../src/bundles/delta.ts';
import { openBundle } from '../../src/bundles/open.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { eventually, freePorts, startProcess, tool } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { asArchive, asFiles, type Files, verificationWith } from '../support/signing.ts';

const read = (files: Files): Bundle => readBundle(asFiles(files));
const apply = (bundle: Bundle, delta: Files): Bundle => applyDelta(bundle, readDelta(asFiles(delta)));
const plain = (data: JsonObject): unknown => JSON.parse(JSON.stringify(data));

const DATA = {
  o: { a: 1, b: { c: [1, 2, 3] }, 'x/y': 0, 'x~y': 0, 'x y': 0, é: 0 },
  l: [{ k: 1 }, [], 3],
  s: 'text',
  n: null,
};

/** Operations on DATA below a root, and what they make of it; undefined: they are refused. */
type Row = readonly [name: string, operations: readonly object[], data: unknown];
const rows: readonly Row[] = [
  ['set a value', [{ op: 'upsert', path: '/s', value: 1 }], { ...DATA, s: 1 }],
  ['add a value', [{ op: 'upsert', path: 't', value: { u: [] } }], { ...DATA, t: { u: [] } }],
  ['make what leads to a value', [{ op: 'upsert', path: '/p/q/r', value: 1 }], { ...DATA, p: { q: { r: 1 } } }],
  ['set null', [{ op: 'upsert', path: '/s', value: null }], { ...DATA, s: null }],
  ['put an object in the place of another', [{ op: 'upsert', path: '/o', value: { z: 1 } }], { ...DATA, o: { z: 1 } }],
  ['insert into a list', [{ op: 'upsert', path: '/l/1', value: 9 }], { ...DATA, l: [{ k: 1 }, 9, [], 3] }],
  ['insert before a list', [{ op: 'upsert', path: '/l/0', value: 9 }], { ...DATA, l: [9, { k: 1 }, [], 3] }],
  ['add to a list', [{ op: 'upsert', path: '/l/-', value: 9 }], { ...DATA, l: [{ k: 1 }, [], 3, 9] }],
  ['add to a list by its length', [{ op: 'upsert', path: '/l/3', value: 9 }], { ...DATA, l: [{ k: 1 }, [], 3, 9] }],
  ['change what is in a list', [{ op: 'upsert', path: '/l/0/k', value: 2 }], { ...DATA, l: [{ k: 2 }, [], 3] }],
  ['change a list in a list', [{ op: 'upsert', path: '/l/1/-', value: 2 }], { ...DATA, l: [{ k: 1 }, [2], 3] }],
  ['insert behind a list', [{ op: 'upsert', path: '/l/4', value: 9 }], undefined],
  ['insert before a list', [{ op: 'upsert', path: '/l/-1', value: 9 }], undefined],
  ['insert into a list by a word', [{ op: 'upsert', path: '/l/x', value: 9 }], undefined],
  ['lead through the end of a list', [{ op: 'upsert', path: '/l/-/k', value: 9 }], undefined],
  ['lead through a missing place in a list', [{ op: 'upsert', path: '/l/7/k', value: 9 }], undefined],
  ['lead through text', [{ op: 'upsert', path: '/s/t', value: 9 }], undefined],
  ['lead through text for longer', [{ op: 'upsert', path: '/s/t/u', value: 9 }], undefined],
  ['lead through null', [{ op: 'upsert', path: '/n/t', value: 9 }], undefined],
  ['replace', [{ op: 'replace', path: '/o/a', value: 2 }], { ...DATA, o: { ...DATA.o, a: 2 } }],
  ['replace in a list', [{ op: 'replace', path: '/l/2', value: 2 }], { ...DATA, l: [{ k: 1 }, [], 2] }],
  ['replace nothing', [{ op: 'replace', path: '/o/z', value: 2 }], undefined],
  ['replace nothing far away', [{ op: 'replace', path: '/p/q', value: 2 }], undefined],
  ['replace the end of a list', [{ op: 'replace', path: '/l/-', value: 2 }], undefined],
  ['remove', [{ op: 'remove', path: '/s' }], { o: DATA.o, l: DATA.l, n: null }],
  ['remove null', [{ op: 'remove', path: '/n' }], { o: DATA.o, l: DATA.l, s: 'text' }],
  ['remove from a list', [{ op: 'remove', path: '/l/0' }], { ...DATA, l: [[], 3] }],
  ['remove nothing', [{ op: 'remove', path: '/o/z' }], undefined],
  ['remove behind a list', [{ op: 'remove', path: '/l/3' }], undefined],
  ['remove the end of a list', [{ op: 'remove', path: '/l/-' }], undefined],
  ['reach keys with slashes', [{ op: 'remove', path: '/o/x~1y' }], { ...DATA, o: omit('x/y') }],
  ['reach keys with encoded slashes', [{ op: 'remove', path: '/o/x%2Fy' }], { ...DATA, o: omit('x/y') }],
  ['reach keys with tildes', [{ op: 'remove', path: '/o/x~0y' }], { ...DATA, o: omit('x~y') }],
  ['reach keys with spaces', [{ op: 'remove', path: '/o/x%20y' }], { ...DATA, o: omit('x y') }],
  ['reach keys that are not encoded', [{ op: 'remove', path: '/o/x y' }], { ...DATA, o: omit('x y') }],
  ['reach keys beyond ASCII', [{ op: 'remove', path: '/o/%C3%A9' }], { ...DATA, o: omit('é') }],
  ['leave a plus as it is', [{ op: 'upsert', path: '/o/a+b', value: 1 }], { ...DATA, o: { ...DATA.o, 'a+b': 1 } }],
  ['have an empty segment', [{ op: 'upsert', path: '/o//z', value: 1 }], { ...DATA, o: { ...DATA.o, '': { z: 1 } } }],
  ['end in slashes', [{ op: 'upsert', path: '/s//', value: 1 }], { ...DATA, s: 1 }],
  ['have bad escapes', [{ op: 'upsert', path: '/o/%zz', value: 1 }], undefined],
  [
    'follow each other',
    [
      { op: 'upsert', path: '/p', value: { q: [] } },
      { op: 'upsert', path: '/p/q/-', value: 1 },
      { op: 'upsert', path: '/p/q/0', value: 0 },
      { op: 'replace', path: '/p/q/1', value: 2 },
      { op: 'remove', path: '/s' },
      { op: 'upsert', path: '/s/t', value: 3 },
    ],
    { ...DATA, p: { q: [0, 2] }, s: { t: 3 } },
  ],
  [
    'are all taken back when one fails',
    [
      { op: 'upsert', path: '/p', value: 1 },
      { op: 'remove', path: '/nothing' },
    ],
    undefined,
  ],
  ['are called add', [{ op: 'add', path: '/p', value: 1 }], undefined],
  ['are called move', [{ op: 'move', path: '/s', from: '/n' }], undefined],
  ['have no name', [{ path: '/s', value: 1 }], undefined],
];

function omit(key: string): object {
  return Object.fromEntries(Object.entries(DATA.o).filter(([each]) => each !== key));
}

const manifestOf = (root: string, revision: string): string => JSON.stringify({ revision, roots: [root] });
const snapshotOf = (root: string): Files => ({
  '.manifest': manifestOf(root, 'r1'),
  'data.json': JSON.stringify({ [root]: DATA }),
});
const deltaOf = (root: string, operations: readonly object[], revision = 'r2'): Files => ({
  '.manifest': manifestOf(root, revision),
  'patch.json': JSON.stringify({
    data: operations.map((each) =>
      'path' in each ? { ...each, path: `/${root}/${String(each.path).replace(/^\//, '')}` } : each,
    ),
  }),
});

describe('operations of a delta that', () => {
  const scope = createScope();
  const served = new Map<string, { readonly body: Buffer; readonly etag: string }>();
  let api = '';

  before(async () => {
    const server = createServer((request, response) => {
      const { body, etag } = served.get(request.url ?? '') ?? {};
      if (body === undefined || etag === undefined) response.writeHead(404).end();
      else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
      else response.writeHead(200, { etag }).end(body);
    }).listen(0, '127.0.0.1');
    scope.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server, 'listening');
    const names = rows.map((_, i) => `t${i}`);
    for (const name of names) served.set(`/bundles/${name}`, { body: asArchive(snapshotOf(name)), etag: 's' });
    const [port = 0] = await freePorts(1);
    const config = join(scratchFolder(scope), 'opa.json');
    const polling = { min_delay_seconds: 1, max_delay_seconds: 1 };
    writeFileSync(
      config,
      JSON.stringify({
        services: { s: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } },
        bundles: Object.fromEntries(names.map((name) => [name, { service: 's', polling }])),
        status: { console: true },
      }),
    );
    startProcess(scope, tool('opa'), [
      'run',
      '--server',
      '-c',
      config,
      '-a',
      `127.0.0.1:${port}`,
      '--log-level',
      'error',
    ]);
    api = `http://127.0.0.1:${port}`;
    await eventually(async () => ((await fetch(`${api}/health?bundles`)).ok ? true : undefined));
    for (const [i, [, operations]] of rows.entries()) {
      served.set(`/bundles/t${i}`, { body: asArchive(deltaOf(`t${i}`, operations)), etag: 'd' });
    }
  });
  after(scope.close);

  /** What OPA has once it has taken the delta, or said that it does not. */
  async function asOpaHasIt(name: string): Promise<unknown> {
    const status = async (): Promise<{ readonly active_revision?: string; readonly code?: string }> => {
      const answer = (await (await fetch(`${api}/v1/status`)).json()) as {
        result: { bundles: { [name: string]: object } };
      };
      return answer.result.bundles[name] ?? {};
    };
    return eventually(async () => {
      const { active_revision: revision, code } = await status();
      if (code === 'bundle_error') return { refused: true };
      if (revision !== 'r2') return undefined;
      const { result } = (await (await fetch(`${api}/v1/data/${name}`)).json()) as { result: unknown };
      return { result };
    });
  }

  for (const [i, [name, operations, expected]] of rows.entries()) {
    test(`${name} are ${expected === undefined ? 'refused' : 'applied'} as by opa`, async () => {
      const root = `t${i}`;
      const bundle = read(snapshotOf(root));
      const theirs = await asOpaHasIt(root);
      if (expected === undefined) {
        assert.throws(() => apply(bundle, deltaOf(root, operations)), {
          name: 'BundleError',
          message: /^patch\.json: operation \d/,
        });
        assert.deepEqual(theirs, { refused: true });
      } else {
        const changed = apply(bundle, deltaOf(root, operations));
        assert.deepEqual(plain(changed.data), { [root]: expected });
        assert.equal(changed.revision, 'r2');
        assert.deepEqual(theirs, { result: expected });
      }
      assert.deepEqual(plain(bundle.data), { [root]: DATA });
    });
  }
});

describe('a delta', () => {
  const base = read({ ...snapshotOf('a'), '.manifest': '{"revision":"r1","roots":["a","b"],"metadata":{"m":1}}' });
  const manifest = '{"revision":"r2","roots":["b","a"],"metadata":{"m":2}}';
  const deltaWith = (patch: unknown, more: Files = {}): Files => ({
    '.manifest': manifest,
    'patch.json': typeof patch === 'string' ? patch : JSON.stringify(patch),
    ...more,
  });
  const set = (path: string, value: unknown = 1): object => ({ data: [{ op: 'upsert', path, value }] });

  test('brings its revision and metadata, and leaves the rest', () => {
    const changed = apply(base, deltaWith(set('/b/x')));
    assert.deepEqual([changed.revision, plain(changed.metadata), changed.roots], ['r2', { m: 2 }, base.roots]);
    assert.equal(changed.data['a'], base.data['a']);
    assert.equal(base.data['b'], undefined);
  });

  test('keeps digits, and keys that JavaScript has plans for', () => {
    const changed = apply(
      base,
      deltaWith('{"data":[{"op":"upsert","path":"/b/__proto__/x","value":{"__proto__":1.0}}]}'),
    );
    assert.equal(JSON.stringify(changed.data['b']), '{"__proto__":{"x":{"__proto__":1.0}}}');
    assert.equal(({} as { x?: number }).x, undefined);
    assert.throws(
      () => apply(base, deltaWith({ data: [{ op: 'remove', path: '/a/constructor' }] })),
      /nothing at its path/,
    );
  });

  test('may name the entrypoints of the bundle, and no others', () => {
    const wasm = [{ entrypoint: 'a/allow', module: '/policy.wasm' }];
    const policy = read({ '.manifest': JSON.stringify({ roots: ['a', 'b'], wasm }), 'policy.wasm': 'wasm' });
    const withWasm = (list: readonly object[]): Files =>
      deltaWith(set('/b/x'), { '.manifest': JSON.stringify({ roots: ['a', 'b'], wasm: list }) });
    assert.equal(apply(policy, withWasm([])).modules, policy.modules);
    assert.equal(apply(policy, withWasm(wasm)).modules, policy.modules);
    assert.throws(
      () => apply(policy, withWasm([{ entrypoint: 'a/deny', module: '/policy.wasm' }])),
      /entrypoints are not/,
    );
  });

  const refused: readonly (readonly [name: string, delta: Files, message: RegExp])[] = [
    ['without operations', deltaWith({ data: [] }), /no operations/],
    ['without data', deltaWith({}), /is not \{"data"/],
    ['with null for data', deltaWith({ data: null }), /is not \{"data"/],
    ['with more beside its data', deltaWith({ ...set('/b'), Data: [] }), /is not \{"data"/],
    ['that is a list', deltaWith([]), /is not \{"data"/],
    ['that is no JSON', deltaWith('{"data":'), /is not JSON/],
    ['with data twice', deltaWith('{"data":[{"op":"remove","path":"/a"}],"data":[]}'), /key twice/],
    ['with an operation that is none', deltaWith({ data: [null] }), /operation 0 is no object/],
    [
      'with more in an operation',
      deltaWith({ data: [{ op: 'remove', path: '/a', Op: 'upsert' }] }),
      /operation 0 is no object/,
    ],
    ['without a path', deltaWith({ data: [{ op: 'remove' }] }), /no path/],
    ['with a path that is no text', deltaWith({ data: [{ op: 'remove', path: ['a'] }] }), /no path/],
    ['for all of the data', deltaWith(set('/', {})), /no path/],
    ['without a value', deltaWith({ data: [{ op: 'upsert', path: '/a' }] }), /has no value/],
    ['outside of its roots', deltaWith(set('/c')), /operation 0: its path is outside of the roots/],
    ['above its roots', deltaWith(set('/b/../c'), { '.manifest': '{"roots":["b/x"]}' }), /outside of the roots/],
    ['with a root hidden in an escape', deltaWith(set('/a%2Fx')), /outside of the roots/],
    ['with a key like a root', deltaWith(set('/ab')), /outside of the roots/],
    ['with other roots', deltaWith(set('/a/x'), { '.manifest': '{"roots":["a"]}' }), /roots are not those/],
    ['without a manifest', { 'patch.json': JSON.stringify(set('/a/x')) }, /roots are not those/],
    ['with data', deltaWith(set('/a/x'), { 'data.json': '{}' }), /only, and not data\.json/],
    ['with a policy', deltaWith(set('/a/x'), { 'a/policy.wasm': '' }), /only, and not a\/policy\.wasm/],
    ['with anything else', deltaWith(set('/a/x'), { 'README.md': '' }), /only, and not README\.md/],
    ['with another delta', deltaWith(set('/a/x'), { 'a/patch.json': '{}' }), /only, and not a\/patch\.json/],
    [
      'with too many operations',
      deltaWith({ data: Array(10_001).fill({ op: 'remove', path: '/a' }) }),
      /more than 10000/,
    ],
    ['that makes data too deep', deltaWith(set(`/a/${'x/'.repeat(600)}y`)), /nested too deep/],
    [
      'with a value that is too deep',
      deltaWith(`{"data":[{"op":"upsert","path":"/a","value":${'['.repeat(501)}${']'.repeat(501)}}]}`),
      /nested too deep/,
    ],
    [
      'with a path and a value that are too deep together',
      deltaWith(
        `{"data":[{"op":"upsert","path":"/a/${'x/'.repeat(300)}y","value":${'['.repeat(300)}${']'.repeat(300)}}]}`,
      ),
      /nested too deep/,
    ],
    ['with a bad manifest', deltaWith(set('/a/x'), { '.manifest': '{"roots":"a"}' }), /roots is not a list/],
  ];
  for (const [name, delta, message] of refused) {
    test(`${name} is refused`, () => assert.throws(() => apply(base, delta), { name: 'BundleError', message }));
  }

  test('for a bundle that has not come yet is refused', () => {
    assert.throws(() => applyDelta(undefined, readDelta(asFiles(deltaWith(set('/a/x'))))), /before the bundle/);
  });

  test('is told from a bundle, wherever its patch is', () => {
    const open = (files: Files) => openBundle(asFiles(files), undefined, 0);
    assert.equal(open(deltaWith(set('/a/x'))).kind, 'delta');
    assert.throws(() => open({ 'a/patch.json': '{}' }), /only, and not a\/patch\.json/);
    assert.throws(() => open({ ...snapshotOf('a'), 'patch.json': '{"data":[]}' }), /only, and not data\.json/);
  });

  test('is refused where bundles have to be signed, unless that is allowed', () => {
    const delta = asFiles(deltaWith(set('/a/x')));
    const verification = verificationWith('ES256');
    assert.throws(() => openBundle(delta, verification, 0), /delta cannot be signed, and the bundle/);
    assert.equal(openBundle(delta, { ...verification, allowUnsignedDeltas: true }, 0).kind, 'delta');
    assert.equal(openBundle(delta, { ...verification, required: false }, 0).kind, 'delta');
    const signed = asFiles(deltaWith(set('/a/x'), { '.signatures.json': '{}' }));
    assert.throws(
      () => openBundle(signed, { ...verification, allowUnsignedDeltas: true }, 0),
      /delta cannot be signed/,
    );
  });

  test('of many operations on large data is applied in time that grows with both', () => {
    const large = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`k${i}`, [i]]));
    const bundle = { ...base, data: { a: large } };
    const data = Array.from({ length: 10_000 }, (_, i) => ({ op: 'upsert', path: `/a/k${i}/0`, value: -i }));
    const started = performance.now();
    const changed = apply(bundle, deltaWith({ data }));
    assert.ok(performance.now() - started < 5000);
    assert.deepEqual((changed.data['a'] as typeof large)['k7'], [-7, 7]);
    assert.deepEqual(large['k7'], [7]);
  });
});
