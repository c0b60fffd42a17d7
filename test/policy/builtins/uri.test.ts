import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BuiltinError } from '../../../src/policy/builtins/builtin.ts';
import { uriBuiltins } from '../../../src/policy/builtins/uri.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { dump } from '../../../src/values/dump.ts';
import type { Value } from '../../../src/values/value.ts';

function call(name: string, argument: Value): Value | undefined {
  const builtin = uriBuiltins.find((known) => known.name === name);
  assert.ok(builtin, name);
  return builtin.run(createContext(defaultHostOptions(), undefined), argument);
}

// Results are those of OPA 1.22.2.
describe('uri.parse', () => {
  for (const [uri, want] of [
    ['*', '{"path":"*","raw_path":"*"}'],
    ['//user:secret@Host:1/x', '{"hostname":"Host","path":"/x","port":"1","raw_path":"/x"}'],
    ['http://[::1%25eth0]/', '{"hostname":"::1%eth0","path":"/","raw_path":"/","scheme":"http"}'],
    ['http://h/a b', '{"hostname":"h","path":"/a b","raw_path":"/a b","scheme":"http"}'],
    ['http://h/%ff', '{"hostname":"h","path":"/\ufffd","raw_path":"/%ff","scheme":"http"}'],
    ['http://a?b?c', '{"hostname":"a","raw_query":"b?c","scheme":"http"}'],
    ['mailto:a?b#c', '{"fragment":"c","raw_query":"b","scheme":"mailto"}'],
    ['foo://a:b:80/', '{"hostname":"a:b","path":"/","port":"80","raw_path":"/","scheme":"foo"}'],
    ['', '{}'],
  ] as const) {
    test(JSON.stringify(uri), () => {
      assert.equal(dump(call('uri.parse', uri) ?? null), want);
      assert.equal(call('uri.is_valid', uri), uri !== '');
    });
  }

  for (const uri of [
    ':a',
    'a\u0000b',
    'http://h/%zz',
    'http://[1.2.3.4]/',
    'http://[::1',
    'http://a:b:80/',
    'http://h^/',
    'b:c/d'.slice(1),
    'a%20b:c',
  ]) {
    test(`${JSON.stringify(uri)} is none`, () => {
      assert.throws(() => call('uri.parse', uri), BuiltinError);
      assert.equal(call('uri.is_valid', uri), false);
    });
  }

  test('takes only strings', () => {
    assert.throws(() => call('uri.parse', 1), { code: 'eval_type_error' });
    assert.equal(call('uri.is_valid', null), false);
  });

  test('takes a megabyte', () => {
    const uri = `http://h/${'%41'.repeat(300_000)}?${'#'.repeat(1_000)}`;
    assert.equal(call('uri.is_valid', uri), true);
  });
});
