import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { walConfig } from '../../src/config/store.ts';

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
  test('has an archive of decisions where its address is one', () => {
    const archive = (address: string): LoadedConfig =>
      load(`postern: { identity: { required: false }, store: { archive: ${JSON.stringify(address)} } }`);
    for (const address of ['s3://bucket', 's3://bucket/', 's3://bucket/a/b/']) configOf(archive(address));
    for (const address of [
      'bucket/a',
      's3://',
      's3:///a',
      's3://bucket//a',
      'https://bucket/a',
      `s3://b/${'a'.repeat(901)}`,
    ])
      assert.deepEqual(problemsOf(archive(address)), ['postern.store.archive: s3://BUCKET/PREFIX is expected']);
    assert.equal(configOf(load('postern: { store: {} }')).config.postern.store?.archive, null);
  });

  test('without a file everything has its default, and nothing can be changed', () => {
    const { config, warnings } = configOf(load(undefined));
    assert.equal(config.plugins.envoy_ext_authz_grpc.addr, '127.0.0.1:9191');
    assert.equal(config.postern.paths, 'standard');
    assert.deepEqual(warnings, []);
    assert.ok(Object.isFrozen(config.postern.drain) && Object.isFrozen(config.plugins.envoy_ext_authz_grpc));
  });

  test('a file written for the peer is taken, and what is not honoured is named', () => {
    const text = `
services: { s: { url: "https://x", tls: { ca_cert: f }, type: rest } }
bundles: { b: { resource: r, persist: true } }
decision_logs: { console: true, reporting: { buffer_type: event }, request_context: { http: { headers: [a] } } }
plugins: { envoy_ext_authz_grpc: { addr: ":9191", path: a/b, dry-run: true, enable-performance-metrics: true } }
distributed_tracing: { type: grpc }
`;
    const { config, warnings } = configOf(load(text));
    assert.equal(config.plugins.envoy_ext_authz_grpc['dry-run'], true);
    assert.equal(config.bundles['b']?.polling.min_delay_seconds, 60);
    assert.deepEqual(warnings.map((warning) => warning.split(' ')[0]).sort(), [
      'decision_logs.reporting.buffer_type',
      'decision_logs.request_context',
      'distributed_tracing',
    ]);
  });

  test('status needs a service that is there, or another way to be told', () => {
    const services = 'services: { a: { url: "http://a" }, b: { url: "http://b" } }\n';
    assert.deepEqual(problemsOf(load(`${services}status: { service: c }`)), ['status.service: no service is called c']);
    assert.match(problemsOf(load(`${services}status: {}`))[0] ?? '', /^status\.service: needed/);
    assert.equal(configOf(load(`${services}status: { console: true }`)).config.status?.service, undefined);
    const buckets =
      'status: { console: true, prometheus_config: { collectors: { bundle_loading_duration_ns: { buckets: [2, 1] } } } }';
    assert.match(problemsOf(load(buckets))[0] ?? '', /buckets: bounds must grow$/);
  });

  test('decision logs go to the service that is named, or to the only one', () => {
    const serviceOf = (text: string) => configOf(load(text)).config.decision_logs.service;
    const [one, two] = [
      'services: { a: { url: "http://a" } }\n',
      'services: [{ name: a, url: "http://a" }, { name: b, url: "http://b" }]\n',
    ];
    assert.equal(serviceOf(`${one}decision_logs: {}`), 'a');
    assert.equal(serviceOf(`${two}decision_logs: { service: b, console: true }`), 'b');
    for (const none of [
      one,
      'decision_logs: {}',
      `${one}decision_logs: { console: true }`,
      `${two}decision_logs: { plugin: p }`,
    ]) {
      assert.equal(serviceOf(none), undefined, none);
    }
    for (const [logs, problem] of [
      ['{}', 'decision_logs.service: needed, because there are 2 services'],
      ['{ service: c }', 'decision_logs.service: no service is called c'],
      [
        '{ service: a, reporting: { max_delay_seconds: 5 } }',
        'decision_logs.reporting: min_delay_seconds is above max_delay_seconds',
      ],
      [
        '{ service: a, reporting: { buffer_size_limit_bytes: 9, max_decisions_per_second: 1 } }',
        'decision_logs.reporting: one of buffer_size_limit_bytes and max_decisions_per_second, not both',
      ],
    ] as const) {
      assert.deepEqual(problemsOf(load(`${two}decision_logs: ${logs}`)), [problem]);
    }
    const { config } = configOf(load(`${one}decision_logs: {}\npersistence_directory: /p`));
    assert.equal(walConfig(config)?.path, '/p/decisions');
    assert.equal(
      walConfig(configOf(load(`${one}decision_logs: {}\npostern: { store: { path: /s } }`)).config)?.path,
      '/s',
    );
    assert.equal(walConfig(configOf(load(one)).config), undefined);
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

  test('a key set in the configuration stays as it is', () => {
    const key = { kty: 'RSA', n: 'AQ', e: 'AQAB', kid: 'k', x5c: ['a'] };
    const issuers = [{ issuer: 'i', jwks: { keys: [key] } }];
    const { config, warnings } = configOf(load(JSON.stringify({ postern: { identity: { issuers } } })));
    assert.deepEqual(config.postern.identity?.issuers[0]?.jwks, { keys: [key] });
    assert.deepEqual(warnings, []);
  });

  test('a path of a rule has whole segments as stars, or is refused', () => {
    const rulesFor = (path: string): LoadedConfig =>
      load(
        JSON.stringify({ postern: { identity: { required: false, rules: [{ paths: [path], token: 'optional' }] } } }),
      );
    for (const path of ['/', '*', '/*', '/a/*', '/v1/*/public', '/*/*', '//a', '/a%2a/']) configOf(rulesFor(path));
    for (const path of ['', 'a', 'a/*', '/a*', '/a/*b', '/**', '/a/**/b', '/a?b', '/a#b', '*/a', '**']) {
      const at = 'postern.identity.rules.0.paths.0:';
      assert.ok(
        problemsOf(rulesFor(path)).some((problem) => problem.startsWith(at)),
        path,
      );
    }
  });

  test('each problem is listed with its path', () => {
    const text = `
postern: { nope: 1, paths: loose, evaluation: { memory_bytes: 1, budget: 2 }, identity: { issuers: [{ issuer: i }, { issuer: j, jwks_uri: "ftp://x", algorithms: [HS256, none] }] } }
plugins: { envoy_ext_authz_grpc: { addr: 1, query: "data.a[_]", grpc-max-recv-msg-size: big } }
bundles: { a: { service: s, polling: { min_delay_seconds: 9, max_delay_seconds: 1 } } }
services: { s: { url: x, credentials: { plugin: x } } }
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
      'services.s.url:',
      'services.s.credentials.plugin:',
    ]) {
      assert.ok(
        problems.some((problem) => problem.startsWith(path)),
        `${path} in\n${problems.join('\n')}`,
      );
    }
  });

  test('services have the credentials that OPA has, one kind each, and what is missing is refused by name', () => {
    const ok = `
keys: { k: { algorithm: ES256, private_key: pem } }
services:
  a: { url: "https://h", tls: { ca_cert: f }, credentials: { client_tls: { cert: f, private_key: f } } }
  b: { url: "https://h", credentials: { oauth2: { token_url: "https://h/t", client_id: i, client_secret: s } } }
  c: { url: "https://h", credentials: { oauth2: { token_url: "https://h/t", grant_type: jwt_bearer, signing_key: k } } }
  d: { url: "https://h", credentials: { oauth2: { token_url: "https://h/t", signing_key: k } } }
`;
    const loaded = load(ok);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(loaded.warnings, []);
    const bad: readonly (readonly [credentials: string, problem: RegExp])[] = [
      ['gcp_metadata: {}', /credentials\.gcp_metadata: not supported; supported are bearer, client_tls, oauth2/],
      ['azure_managed_identity: {}', /credentials\.azure_managed_identity: not supported; supported are bearer/],
      ['plugin: x', /credentials\.plugin: not supported/],
      [
        'bearer: { token: t }, client_tls: { cert: f, private_key: f }',
        /credentials: one of bearer, client_tls, not several/,
      ],
      ['bearer: {}', /bearer: exactly one of token and token_path/],
      ['bearer: { token: t, token_path: f }', /bearer: exactly one of token and token_path/],
      ['client_tls: { cert: f }', /client_tls.*private_key/],
      ['oauth2: { token_url: "https://h/t", client_id: i }', /oauth2: exactly one of client_secret, signing_key/],
      ['oauth2: { token_url: "https://h/t", client_secret: s }', /oauth2\.client_id: needed/],
      ['oauth2: { token_url: "http://h/t", client_id: i, client_secret: s }', /oauth2\.token_url:/],
      ['oauth2: { token_url: "https://h/t", grant_type: jwt_bearer }', /oauth2\.signing_key: needed for jwt_bearer/],
      ['oauth2: { token_url: "https://h/t", signing_key: nope }', /oauth2\.signing_key: no key is called nope/],
      ['oauth2: { token_url: "https://h/t", signing_key: public }', /the key public has no private_key/],
      [
        'oauth2: { token_url: "https://h/t", aws_kms: {} }',
        /oauth2\.aws_kms: not supported; supported are client_secret/,
      ],
      ['oauth2: { token_url: "https://h/t", grant_type: password }', /oauth2\.grant_type:/],
    ];
    for (const [credentials, problem] of bad) {
      const text = `{ keys: { public: {} }, services: { s: { url: "https://h", credentials: { ${credentials} } } } }`;
      const problems = problemsOf(load(text));
      assert.ok(
        problems.some((each) => problem.test(each)),
        `${credentials}: ${problems.join('\n')}`,
      );
    }
  });

  test('what weakens a service is allowed, and said', () => {
    const text = `
services:
  a: { url: "https://h", allow_insecure_tls: true }
  b: { url: "http://h", credentials: { bearer: { token: t } } }
  c: { url: "https://h", credentials: { client_tls: { cert: f, private_key: f, ca_cert: f } } }
  d: { url: "http://h", tls: {}, credentials: { client_tls: { cert: f, private_key: f } } }
`;
    const loaded = load(text);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(
      loaded.warnings.map((warning) => warning.split(': ')[0]),
      [
        'services.a.allow_insecure_tls',
        'services.b.url',
        'services.c.credentials.client_tls.ca_cert',
        'services.d.url',
      ],
    );
  });

  test('a whole URL of a bundle is of the origin of its service', () => {
    const config = (resource: string): string =>
      `{ services: { s: { url: "https://h/base" } }, bundles: { b: { service: s, resource: "${resource}" } } }`;
    assert.ok(load(config('https://h/b.tar.gz')).ok);
    assert.ok(load(config('file:///b.tar.gz')).ok);
    for (const resource of ['https://other/b', 'http://h/b', 'https://h:444/b']) {
      assert.match(problemsOf(load(config(resource))).join(), /bundles\.b\.resource: not of the origin/);
    }
  });

  test('places of bundles are looked at closely', () => {
    const text = `
services:
  s3: { url: "https://b.s3.eu-west-1.amazonaws.com", credentials: { s3_signing: { signature_version: "4", environment_credentials: {} } } }
  ghcr: { type: oci, url: "https://ghcr.io", credentials: { bearer: { token: t } } }
  ecr: { type: oci, url: "https://1.dkr.ecr.eu-1.amazonaws.com", credentials: { s3_signing: { metadata_credentials: { aws_region: eu-1 } } } }
bundles:
  a: { service: s3, resource: b.tar.gz }
  b: { service: ghcr, resource: "ghcr.io/org/policies:v1.2" }
  c: { service: ecr, resource: "r/policies@sha256:${'0'.repeat(64)}" }
  d: { resource: "s3://bucket/some/key?.tar.gz" }
postern: { s3: { endpoint: "http://minio:9000", force_path_style: true } }
`;
    assert.deepEqual(configOf(load(text)).warnings, []);
    const wrong = `
services:
  oci: { type: oci, url: "https://ghcr.io", credentials: { s3_signing: { service: s3, environment_credentials: {} } } }
  none: { url: "https://x", credentials: { s3_signing: { service: ecr } } }
  role: { url: "https://x", credentials: { s3_signing: { assume_role_credentials: { aws_signing: {} } } } }
bundles:
  a: { resource: "s3://bucket" }
  b: { resource: "s3://bucket/key", service: none }
  c: { service: oci, resource: "ghcr.io/org/policies" }
  d: { service: oci }
`;
    assert.deepEqual(problemsOf(load(wrong)), [
      'services.oci.credentials.s3_signing.service: only ecr goes with type oci',
      'services.none.credentials.s3_signing: says not where keys come from, such as environment_credentials',
      'services.none.credentials.s3_signing.service: ecr goes with type oci only',
      'services.role.credentials.s3_signing.assume_role_credentials.aws_signing: says not where keys come from',
      'bundles.a.resource: s3://BUCKET/KEY is expected',
      'bundles.b.service: an s3:// address has none; its keys are found by the SDK',
      'bundles.c.resource: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST is expected',
      'bundles.d.resource: REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST is expected',
    ]);
    const version = 'services: { s: { url: "https://x", credentials: { s3_signing: { signature_version: 4a } } } }';
    assert.match(problemsOf(load(version))[0] ?? '', /s3_signing\.signature_version: must be "4"/);
  });

  test('contradictions are problems too', () => {
    const text = `
bundles: { a: { service: nope, polling: { min_delay_seconds: 9, max_delay_seconds: 1 } }, b: {} }
postern: { context: { geoip: [there, missing] }, identity: { issuers: [{ issuer: i }, { issuer: j, jwks_file: missing, discovery: true }] } }
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
      'postern.context.geoip: missing cannot be read',
    ]) {
      assert.ok(
        problems.some((problem) => problem.startsWith(path)),
        `${path} in\n${problems.join('\n')}`,
      );
    }
  });

  test('an issuer without keys says so, and has a place where its payloads come from', () => {
    const identity = (metadata: object | null, ...issuers: object[]): LoadedConfig =>
      load(JSON.stringify({ postern: { identity: { required: false, token: { metadata }, issuers } } }));
    const [place, envoy] = [{ key: 'jwt_payload' }, { issuer: 'i', verified_by: 'envoy' }];
    const { config } = configOf(identity(place, envoy));
    assert.equal(config.postern.identity?.token.metadata?.namespace, 'envoy.filters.http.jwt_authn');
    assert.equal(configOf(identity(null)).config.postern.identity?.token.metadata, null);
    configOf(identity({ ...place, header_key: 'h' }, { ...envoy, typ: 'at+jwt' }, { issuer: 'j', jwks_file: 'k' }));
    const at = 'postern.identity.issuers.0';
    for (const [loaded, problem] of [
      [identity(place), 'postern.identity.token.metadata: needs issuers'],
      [identity(null, envoy), `${at}.verified_by: envoy needs postern.identity.token.metadata`],
      [identity(place, { ...envoy, jwks_file: 'k' }), `${at}.verified_by: envoy means that there are no keys`],
      [identity(place, { ...envoy, discovery: true }), `${at}.verified_by: envoy means that there are no keys`],
      [identity(place, { ...envoy, jwks_mirrors: ['https://m'] }), `${at}.jwks_mirrors: needs jwks_uri or discovery`],
      [identity(place, { ...envoy, typ: 'at+jwt' }), `${at}.typ: needs postern.identity.token.metadata.header_key`],
      [identity(place, { issuer: 'i' }), `${at}: exactly one of jwks_uri, jwks_file, jwks and discovery is needed`],
      [
        identity(place, envoy, { issuer: 'i', jwks_file: 'k' }),
        'postern.identity.issuers.1.issuer: i is there already',
      ],
      [identity({}, envoy), 'postern.identity.token.metadata: must have required properties key'],
      [identity({ ...place, keys: 1 }, envoy), 'postern.identity.token.metadata.keys: unknown option'],
      [identity({ key: 5 }, envoy), 'postern.identity.token.metadata.key: must be string'],
    ] as const) {
      assert.deepEqual(problemsOf(loaded), [problem]);
    }
  });

  test('metadata that anybody on the network could write is warned about', () => {
    const warned = (addr: string, extra: object = {}, metadata: object | null = { key: 'k' }): boolean => {
      const identity = { token: { metadata }, issuers: [{ issuer: 'i', jwks_file: 'k' }] };
      const plugins = { envoy_ext_authz_grpc: { addr } };
      const { warnings } = configOf(load(JSON.stringify({ plugins, postern: { identity, ...extra } })));
      return warnings.some((warning) => warning.includes('is believed from whoever can connect'));
    };
    for (const addr of ['127.0.0.1:1', 'localhost:1', '[::1]:1', 'unix:///s', 'grpc://127.0.0.1:1']) {
      assert.equal(warned(addr), false, addr);
    }
    const tls = { cert: 'c', key: 'k' };
    for (const addr of [':1', '0.0.0.0:1', '[::]:1', '127.evil.test:1', 'localhost.evil.test:1']) {
      assert.equal(warned(addr), true, addr);
      assert.equal(warned(addr, { tls }), true, addr);
      assert.equal(warned(addr, { tls: { ...tls, client_ca: 'a' } }), false, addr);
      assert.equal(warned(addr, {}, null), false, addr);
    }
  });

  for (const text of ['[]', 'a: [', 'text', '5', 'labels: &l { a: *l }']) {
    test(`${JSON.stringify(text)} is refused`, () => assert.ok(problemsOf(load(text)).length > 0));
  }
});
