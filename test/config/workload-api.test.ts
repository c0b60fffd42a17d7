import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { endpointTarget } from '../../src/config/workload-api.ts';

const load = (postern: object, env: { readonly [name: string]: string } = {}): LoadedConfig =>
  loadConfig({
    text: JSON.stringify({ postern }),
    env,
    set: [],
    setFile: [],
    readText: () => '',
    isReadable: (file) => file !== 'missing',
  });

describe('the address of the Workload API', () => {
  test('is a socket or an IP address with a port', () => {
    const good = {
      'unix:///run/spire/sockets/agent.sock': 'unix:/run/spire/sockets/agent.sock',
      'unix:/run/a.sock': 'unix:/run/a.sock',
      'unix:///with%20blank': 'unix:/with blank',
      'tcp://127.0.0.1:8000': 'ipv4:127.0.0.1:8000',
      'tcp://[::1]:8000': 'ipv6:[::1]:8000',
    };
    for (const [text, target] of Object.entries(good)) assert.equal(endpointTarget(text), target);
    const bad = [
      ...[
        '',
        'unix://',
        'unix:a.sock',
        'unix://a.sock',
        'unix://host/a.sock',
        'unix:////a',
        'unix:///a?b',
        'unix:///a#b',
      ],
      ...['unix:///%zz', '/run/a.sock', 'http://127.0.0.1:80', 'tcp://localhost:80', 'tcp://127.0.0.1', 'tcp://::1:80'],
      ...[
        'tcp://127.0.0.1:80/a',
        'tcp://u@127.0.0.1:80',
        'tcp://127.0.0.1:99999',
        'tcp://127.0.0.1.5:80',
        'tcp://[127.0.0.1:80',
      ],
    ];
    for (const text of bad) assert.throws(() => endpointTarget(text), text);
  });

  test('is the one of the environment where none is configured, and that of TLS for JWT bundles', () => {
    const jwtSvid = { audiences: ['a'], trust_domains: { 'td.test': { workload_api: true } } };
    const socketsOf = (tls: object | undefined, jwt: object, env: { readonly [name: string]: string }): unknown => {
      const loaded = load({ ...(tls === undefined ? {} : { tls }), identity: { workload: { jwt_svid: jwt } } }, env);
      assert.ok(loaded.ok, JSON.stringify(loaded));
      const { postern } = loaded.config;
      return [postern.tls?.workload_api?.socket, postern.identity?.workload.jwt_svid?.workload_api_socket];
    };
    const env = { SPIFFE_ENDPOINT_SOCKET: 'unix:///env' };
    const own = { workload_api: { socket: 'unix:///own' } };
    assert.deepEqual(socketsOf(own, jwtSvid, env), ['unix:///own', 'unix:///own']);
    assert.deepEqual(socketsOf({ workload_api: {} }, jwtSvid, env), ['unix:///env', 'unix:///env']);
    assert.deepEqual(socketsOf(undefined, jwtSvid, env), [undefined, 'unix:///env']);
    assert.deepEqual(socketsOf(own, { ...jwtSvid, workload_api_socket: 'unix:///jwt' }, {}), [
      'unix:///own',
      'unix:///jwt',
    ]);
  });
});

describe('JWT-SVIDs in the configuration', () => {
  const problemsWith = (jwtSvid: object, identity: object = {}): readonly string[] => {
    const loaded = load({ identity: { ...identity, workload: { jwt_svid: jwtSvid } } });
    return loaded.ok ? [] : loaded.problems;
  };
  const audiences = ['a'];

  test('are enough where tokens are required', () => {
    assert.deepEqual(problemsWith({ audiences, trust_domains: { 'td.test': { bundle_file: 'f' } } }), []);
  });

  const bad: readonly (readonly [string, object, RegExp])[] = [
    ['no audience', { audiences: [], trust_domains: { td: { bundle_file: 'f' } } }, /jwt_svid\.audiences/],
    ['no trust domain', { audiences, trust_domains: {} }, /jwt_svid\.trust_domains/],
    ['no bundle', { audiences, trust_domains: { td: {} } }, /trust_domains\.td: exactly one of/],
    ['two bundles', { audiences, trust_domains: { td: { bundle_file: 'f', workload_api: true } } }, /exactly one of/],
    ['a missing file', { audiences, trust_domains: { td: { bundle_file: 'missing' } } }, /missing cannot be read/],
    [
      'no name',
      { audiences, trust_domains: { 'spiffe://td': { bundle_file: 'f' } } },
      /not the name of a trust domain/,
    ],
    ['a user', { audiences, trust_domains: { td: { bundle_url: 'https://u:p@h/' } } }, /no user name in its URL/],
    ['another scheme', { audiences, trust_domains: { td: { bundle_url: 'ftp://h/' } } }, /bundle_url/],
    ['no address', { audiences, trust_domains: { td: { workload_api: true } } }, /SPIFFE_ENDPOINT_SOCKET is not set/],
    ['EdDSA', { audiences, algorithms: ['EdDSA'], trust_domains: { td: { bundle_file: 'f' } } }, /algorithms\.0/],
    ['an unknown option', { audiences, trust_domains: { td: { bundle_file: 'f', x: 1 } } }, /td\.x: unknown option/],
  ];
  for (const [name, jwtSvid, problem] of bad) {
    test(`with ${name} are refused`, () => assert.match(problemsWith(jwtSvid).join('\n'), problem));
  }

  test('cannot have a trust domain that an issuer is named after', () => {
    const issuers = [{ issuer: 'spiffe://td.test', jwks_file: 'f' }];
    const trustDomains = { 'td.test': { bundle_file: 'f' } };
    assert.match(
      problemsWith({ audiences, trust_domains: trustDomains }, { issuers }).join(),
      /an issuer has the same name/,
    );
  });
});
