import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IdentityConfig } from '../../src/config/schema.ts';
import { createRules } from '../../src/identity/rules.ts';
import type { RequestFacts } from '../../src/model/facts.ts';
import { facts } from '../support/facts.ts';

const rule = (token: 'required' | 'optional' | 'forbidden', over: object): IdentityConfig['rules'][number] => ({
  hosts: [],
  paths: [],
  methods: [],
  token,
  ...over,
});

test('the first rule that fits decides, and otherwise what is required', () => {
  const needOf = createRules({
    required: true,
    rules: [
      rule('forbidden', { paths: ['/public/hook'], methods: ['POST'] }),
      rule('optional', { paths: ['/public/*', '/'] }),
      rule('optional', { hosts: ['*.open.test', 'Free.test'] }),
    ],
  } as unknown as IdentityConfig);
  for (const [want, path, over] of [
    ['forbidden', '/public/hook', { method: 'POST' }],
    ['optional', '/public/hook?x=1', {}],
    ['optional', '/public/', {}],
    ['optional', '/%70ublic/a', {}],
    ['optional', '/?x', {}],
    ['required', '/public', {}],
    ['required', '/publicly/a', {}],
    ['required', '/x/public/a', {}],
    ['required', '/public%2fa', {}],
    ['required', '/x#/public/a', {}],
    ['required', '/%zz', {}],
    ['optional', '/x', { host: 'a.Open.test:8080' }],
    ['optional', '/x', { host: 'free.test' }],
    ['required', '/x', { host: 'open.test' }],
    ['required', '/x', { host: 'evilopen.test' }],
    ['required', '/x', { host: 'free.test.evil' }],
  ] as const) {
    const request: RequestFacts = facts({ host: 'h', path, ...over });
    assert.equal(needOf(request), want, JSON.stringify([path, over]));
  }
});

describe('a star in a path', () => {
  const needOf = (token: 'required' | 'optional' | 'forbidden', ...paths: string[]): ((path: string) => string) => {
    const others = token === 'required' ? 'optional' : 'required';
    const read = createRules({
      required: others === 'required',
      rules: [rule(token, { paths })],
    } as unknown as IdentityConfig);
    return (path) => read(facts({ path }));
  };
  const pathsThatFit = (pattern: string, token: 'required' | 'optional' | 'forbidden', paths: readonly string[]) =>
    paths.filter((path) => needOf(token, pattern)(path) === token);

  test('is one whole segment, and at the end all that is below', () => {
    const paths = ['/v1/a/public', '/v1/a/b/public', '/v1/public', '/v1/a/public/', '/v1/a/public/x', '/v2/a/public'];
    assert.deepEqual(pathsThatFit('/v1/*/public', 'optional', paths), ['/v1/a/public']);
    assert.deepEqual(pathsThatFit('/v1/*/public/*', 'optional', paths), ['/v1/a/public/', '/v1/a/public/x']);
    assert.deepEqual(
      pathsThatFit('/*/a/*', 'optional', paths),
      paths.filter((path) => path !== '/v1/public'),
    );
    assert.deepEqual(pathsThatFit('*', 'optional', [...paths, '*', '/']), [...paths, '*', '/']);
    assert.deepEqual(pathsThatFit('/*/*/public', 'optional', ['/a/b/public', '/a/public', '/%2a/%2a/public?x=/']), [
      '/a/b/public',
      '/%2a/%2a/public?x=/',
    ]);
    assert.deepEqual(pathsThatFit('/%2a/x', 'optional', ['/*/x', '/a/x', '/%2A/x']), ['/*/x', '/%2A/x']);
  });

  test('is no segment that can be read in two ways, unless the rule asks for a token', () => {
    const hostile = [
      '/v1//public',
      '/v1/./public',
      '/v1/../public',
      '/v1/%2e/public',
      '/v1/.%2E/public',
      '/v1/..;x/public',
      '/v1/;x/public',
      '/v1/a%2fb/public',
      '/v1/a%2F..%2Fb/public',
      '/v1/%2f/public',
      '/v1/a%5cb/public',
      '/v1/a\\b/public',
      '/v1/a%252fb/public',
      '/v1/%zz/public',
      '/v1/%ff/public',
    ];
    for (const token of ['optional', 'forbidden'] as const) {
      assert.deepEqual(pathsThatFit('/v1/*/public', token, hostile), [], token);
    }
    assert.deepEqual(pathsThatFit('/v1/*/public', 'required', hostile), hostile);
    for (const path of ['/v1/a%2fpublic', '/v1/a/public%2f', '/v1/a/../public', '/v1%2fa/public', '//v1/a/public']) {
      assert.equal(needOf('optional', '/v1/*/public')(path), 'required', path);
    }
    const good = ['/v1/a;b/public', '/v1/.a/public', '/v1/.../public', '/v1/%C3%A4/public', '/v1/a+b/public'];
    assert.deepEqual(pathsThatFit('/v1/*/public', 'optional', good), good);
  });

  test('takes no longer in a long path', () => {
    const path = `/v1${'/a'.repeat(100_000)}/public`;
    assert.equal(needOf('optional', `/v1${'/*'.repeat(50)}/public`)(path), 'required');
  });
});
