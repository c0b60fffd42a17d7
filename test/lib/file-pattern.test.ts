import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { filePattern } from '../../src/lib/file-pattern.ts';

describe('a pattern of files', () => {
  const rows: readonly (readonly [pattern: string, fits: readonly string[], others: readonly string[]])[] = [
    ['data.json', ['data.json'], ['a/data.json', 'data.json5', 'dataXjson']],
    ['*', ['data.json', '.manifest', ''], ['a/data.json']],
    ['*.rego', ['p.rego', '.rego'], ['a/p.rego', 'p.rego.txt']],
    ['*/*.rego', ['a/p.rego'], ['p.rego', 'a/b/p.rego']],
    ['a/**/x', ['a/b/x'], ['a/x', 'a/b/c/x']],
    ['a?c', ['abc', 'a😀c', 'a\nc'], ['ac', 'a/c', 'abbc']],
    ['[a-c]x[!]', ['ax!', 'cx!'], ['dx!', '-x!']],
    ['[^a-c]', ['d', '^'], ['a', '/']],
    ['[\\]\\-x]', [']', '-', 'x'], ['\\']],
    ['\\*\\[', ['*['], ['x[']],
    ['a+(b).{1}|$^', ['a+(b).{1}|$^'], ['aab']],
    ['é[а-я]', ['éж'], ['éz']],
  ];
  for (const [pattern, fits, others] of rows) {
    test(`${pattern} fits what it should`, () => {
      const expression = filePattern(pattern);
      assert.deepEqual(
        [...fits, ...others].filter((path) => expression.test(path)),
        fits,
      );
    });
  }

  for (const pattern of ['[', '[]', '[a', '[a-', '[a-]', '[-a]', '[z-a]', '[^]', 'a\\', '[a\\', 'x'.repeat(1025)]) {
    test(`${pattern.slice(0, 10)} is none`, () => assert.throws(() => filePattern(pattern)));
  }
});
