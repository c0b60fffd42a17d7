import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EscapeError, parseQuery, queryText } from '../../src/check/query.ts';

const QUERIES: readonly string[] = [
  ...[
    '',
    'a',
    'a=',
    '=a',
    '&',
    'a=1&b=2',
    'a=1&a=2&b=&a',
    'a=b=c',
    '2=x&1=y&2=z',
    '__proto__=1&constructor=2&__proto__=3',
  ],
  ...['q=a+b%20c', '%61=%62', 'q="\\\u0001é%22', 'x=%ff', 'a?b=c?d', '\ud800=1'],
];

test('the text of a query is that of the parsed query', () => {
  for (const query of QUERIES) {
    const text = queryText(`/path?${query}`);
    assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(parseQuery(query))), query);
  }
  assert.equal(queryText('/path'), '{}');
});

test('a query that cannot be read is refused either way', () => {
  for (const query of ['a;b', '%', '%zz=1', 'a=%4', '&'.repeat(10_001)]) {
    assert.throws(() => parseQuery(query), EscapeError);
    assert.throws(() => queryText(`/path?${query}`), EscapeError);
  }
});
