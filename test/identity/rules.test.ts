import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdentityConfig } from '../../src/config/schema.ts';
import { createRules } from '../../src/identity/rules.ts';
import type { RequestFacts } from '../../src/model/facts.ts';

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
    const facts = { method: 'GET', host: 'h', path, ...over } as unknown as RequestFacts;
    assert.equal(needOf(facts), want, JSON.stringify([path, over]));
  }
});
