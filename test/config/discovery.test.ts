import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { discoveryBundle, discoveryPath, mergeDiscovered, substituteAll } from '../../src/config/discovery.ts';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import type { DiscoveryConfig } from '../../src/config/schema.ts';

const load = (text: string, discovered?: { readonly [key: string]: unknown }): LoadedConfig =>
  loadConfig({
    ...{ text, discovered, env: { A: '"x' }, set: ['postern.paths=strict'], setFile: [] },
    readText: () => '',
    isReadable: () => true,
  });
const boot = 'services: [{ name: ci, url: "http://ci" }]\ndiscovery: { resource: d }\nlabels: { a: "1" }\n';
const problemsOf = (loaded: LoadedConfig): readonly string[] => (loaded.ok ? [] : loaded.problems);

describe('a discovered configuration', () => {
  test('stands under the first one, key by key; what makes no difference is not called overridden', () => {
    const below = { a: { x: 1, y: 2 }, list: [1, 2], same: { k: 1 }, tree: { k: 1 }, only: true };
    const above = { a: { x: 9, z: 3 }, list: [3], same: { k: 1 }, tree: 5 };
    assert.deepEqual(mergeDiscovered(below, above), {
      tree: { a: { x: 9, y: 2, z: 3 }, list: [3], same: { k: 1 }, tree: 5, only: true },
      overridden: ['a.x', 'list', 'tree'],
    });
  });

  test('is validated as a whole, under what flags say', () => {
    const discovered = {
      bundles: { main: { resource: 'r' } },
      labels: { a: '2', b: '$' + '{A}' },
      postern: { paths: 'off', workers: 3 },
      discovery: { resource: 'elsewhere' },
      status: null,
    };
    const loaded = load(boot, discovered);
    assert.ok(loaded.ok, problemsOf(loaded).join());
    const { config, overridden } = loaded;
    assert.deepEqual(
      [{ ...config.labels }, config.postern.paths, config.postern.workers],
      [{ a: '1', b: '"x' }, 'strict', 3],
    );
    assert.deepEqual([config.discovery?.resource, Object.keys(config.bundles)], ['d', ['main']]);
    assert.deepEqual(overridden, ['labels.a', 'postern.paths']);
    assert.deepEqual(problemsOf(load(boot, { bundles: { main: { service: 'no' } }, postern: { x: 1 } })).length, 2);
  });

  test('may not reach what objects are made of', () => {
    const hostile = JSON.parse('{"labels": {"__proto__": {"polluted": true}}}') as { [key: string]: unknown };
    assert.match(problemsOf(load(boot, hostile)).join(), /__proto__/);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    assert.throws(() => substituteAll(JSON.parse('[{"__proto__": 1}]'), {}));
  });

  test('is looked for where OPA looks', () => {
    const at = (over: Partial<DiscoveryConfig>): readonly [string | undefined, string] => {
      const loaded = load(boot);
      assert.ok(loaded.ok && loaded.config.discovery !== undefined);
      const { resource: _resource, ...rest } = loaded.config.discovery;
      const config = { ...rest, ...over };
      return [discoveryBundle(config).resource, discoveryPath(config).join('.')];
    };
    assert.deepEqual(at({ resource: 'x.tar.gz' }), ['x.tar.gz', '']);
    assert.deepEqual(at({ name: 'a/b' }), ['bundles/a/b', 'a.b']);
    assert.deepEqual(at({ name: '/a/', prefix: '/p/q/' }), ['p/q/a', 'a']);
    assert.deepEqual(at({ resource: 'x', name: 'n', decision: '/c/d.e/' }), ['x', 'c.d.e']);
  });

  test('needs a place, and a service where there are several', () => {
    const of = (text: string): string => problemsOf(load(text)).join();
    assert.equal(of('services: { ci: { url: "http://ci" } }\ndiscovery: {}'), 'discovery.resource: needed');
    const two = 'services: { a: { url: "http://a" }, b: { url: "http://b" } }\n';
    assert.match(of(`${two}discovery: { name: d }`), /^discovery\.service: needed, because there are 2 services$/);
    assert.match(of(`${two}discovery: { name: d, service: a, signing: { keyid: k } }`), /^discovery\.signing\.keyid:/);
  });
});
