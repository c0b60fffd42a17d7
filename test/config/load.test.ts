import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';

type Extra = {
  readonly env?: { readonly [name: string]: string };
  readonly set?: readonly string[];
  readonly setFile?: readonly string[];
};
const load = (text: string | undefined, { env = {}, set = [], setFile = [] }: Extra = {}): LoadedConfig =>
  loadConfig({
    text,
    env,
    set,
    setFile,
    readText: (file) => `content of ${file}\n`,
    isReadable: (file) => file !== 'missing',
  });

function configOf(loaded: LoadedConfig): Extract<LoadedConfig, { ok: true }> {
  assert.ok(loaded.ok, JSON.stringify(loaded));
  return loaded;
}
function problemsOf(loaded: LoadedConfig): readonly string[] {
  assert.ok(!loaded.ok);
  return loaded.problems;
}

describe('configuration', () => {
  test('without a file everything has its default, and nothing can be changed', () => {
    const { config, warnings } = configOf(load(undefined));
    assert.equal(config.plugins.envoy_ext_authz_grpc.addr, '127.0.0.1:9191');
    assert.equal(config.postern.paths, 'standard');
    assert.deepEqual(warnings, []);
    assert.ok(Object.isFrozen(config.postern.drain) && Object.isFrozen(config.plugins.envoy_ext_authz_grpc));
  });

  test('a file written for the peer is taken, and what is not honoured is named', () => {
    const text = `
services: { s: { url: "https://x", tls: { ca_cert: f } } }
bundles: { b: { resource: r, persist: true } }
decision_logs: { console: true, reporting: { min_delay_seconds: 1 } }
plugins: { envoy_ext_authz_grpc: { addr: ":9191", path: a/b, dry-run: true, enable-performance-metrics: true } }
distributed_tracing: { type: grpc }
`;
    const { config, warnings } = configOf(load(text));
    assert.equal(config.plugins.envoy_ext_authz_grpc['dry-run'], true);
    assert.equal(config.bundles['b']?.polling.min_delay_seconds, 60);
    assert.deepEqual(warnings.map((warning) => warning.split(' ')[0]).sort(), [
      'bundles.b.persist',
      'decision_logs.reporting',
      'distributed_tracing',
      'services.s.tls',
    ]);
  });

  test('services may be a list', () => {
    const { config } = configOf(load('services: [{ name: s, url: "http://x" }]'));
    assert.equal(config.services['s']?.url, 'http://x');
  });

  test('variables are replaced, by nothing when there is no such one', () => {
    const text = 'labels: { a: "$' + '{A}", b: "x$' + '{B}y" }';
    const { config } = configOf(load(text, { env: { A: '1' } }));
    assert.deepEqual({ ...config.labels }, { a: '1', b: 'xy' });
  });

  test('--set and --set-file override, with types, dots in names and lists', () => {
    const set = [
      'postern.paths=strict,labels.a\\.b=c\\,d',
      'postern.evaluation.budget_ms=20',
      'postern.identity.issuers[0].issuer=i',
      'decision_logs.console=true',
    ];
    const { config } = configOf(load('', { set, setFile: ['postern.identity.issuers[0].jwks_file=k'] }));
    assert.equal(config.postern.paths, 'strict');
    assert.equal(config.labels['a.b'], 'c,d');
    assert.equal(config.postern.evaluation.budget_ms, 20);
    assert.equal(config.postern.identity?.issuers[0]?.jwks_file, 'content of k');
    assert.equal(config.decision_logs.console, true);
  });

  test('a key set stays as it was written', () => {
    const keys = [{ kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'k', x5c: ['a'], ours: { deep: [1] } }];
    const issuers = [{ issuer: 'i', jwks: { keys } }];
    const { config, warnings } = configOf(load(JSON.stringify({ postern: { identity: { issuers } } })));
    assert.deepEqual(config.postern.identity?.issuers[0]?.jwks, { keys });
    assert.deepEqual(warnings, []);
  });

  test('a prototype cannot be reached', () => {
    assert.ok(problemsOf(load('', { set: ['__proto__.x=1'] }))[0]?.includes('not a key'));
    assert.equal(({} as { x?: number }).x, undefined);
  });

  test('each problem is listed with its path', () => {
    const text = `
postern: { nope: 1, paths: loose, evaluation: { memory_bytes: 1, budget: 2 }, identity: { issuers: [{ issuer: i }, { issuer: j, jwks_uri: "ftp://x", algorithms: [HS256, none] }] } }
plugins: { envoy_ext_authz_grpc: { addr: 1, query: "data.a[_]", grpc-max-recv-msg-size: big } }
bundles: { a: { service: s, polling: { min_delay_seconds: 9, max_delay_seconds: 1 } }, b: { signing: {} } }
services: { s: { url: x, credentials: { s3_signing: {} } } }
`;
    const problems = problemsOf(load(text));
    for (const path of [
      'postern.nope: unknown option',
      'postern.paths:',
      'postern.evaluation.memory_bytes:',
      'postern.evaluation.budget: unknown option',
      'postern.identity.issuers.1.jwks_uri:',
      'postern.identity.issuers.1.algorithms.0:',
      'plugins.envoy_ext_authz_grpc.addr:',
      'plugins.envoy_ext_authz_grpc.grpc-max-recv-msg-size:',
      'bundles.b.signing:',
      'services.s.url:',
      'services.s.credentials.s3_signing:',
    ]) {
      assert.ok(
        problems.some((problem) => problem.startsWith(path)),
        `${path} in\n${problems.join('\n')}`,
      );
    }
  });

  test('contradictions are problems too', () => {
    const text = `
bundles: { a: { service: nope, polling: { min_delay_seconds: 9, max_delay_seconds: 1 } }, b: {} }
postern: { identity: { issuers: [{ issuer: i }, { issuer: j, jwks_file: missing, discovery: true }] } }
plugins: { envoy_ext_authz_grpc: { query: "data.a[_]", proto-descriptor: missing, grpc-request-duration-seconds-buckets: [1, 1] } }
`;
    const problems = problemsOf(load(text));
    for (const path of [
      'bundles.a.polling',
      'bundles.a.service',
      'bundles.b.service',
      'postern.identity.issuers.0',
      'postern.identity.issuers.1',
      'plugins.envoy_ext_authz_grpc.query',
      'plugins.envoy_ext_authz_grpc.proto-descriptor',
      'plugins.envoy_ext_authz_grpc.grpc-request-duration-seconds-buckets',
      'postern.identity.issuers.1.jwks_file',
    ]) {
      assert.ok(
        problems.some((problem) => problem.startsWith(path)),
        `${path} in\n${problems.join('\n')}`,
      );
    }
  });

  for (const text of ['[]', 'a: [', 'text', '5', 'labels: &l { a: *l }']) {
    test(`${JSON.stringify(text)} is refused`, () => assert.ok(problemsOf(load(text)).length > 0));
  }
});
