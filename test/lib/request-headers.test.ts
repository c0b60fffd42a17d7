import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headersNamed, joinedHeader, onlyHeader } from '../../src/lib/request-headers.ts';
import { facts } from '../support/facts.ts';

test('headers are found in every case, by name and in the list, and joined only where their order is known', () => {
  const cases: readonly (readonly [object, (readonly [string, string])[], string[], string?, string?])[] = [
    [{}, [], []],
    [{ 'x-a': '1' }, [], ['1'], '1', '1'],
    [{ 'X-A': '' }, [], [''], '', ''],
    [{ 'x-a': '1', 'X-a': '2' }, [], ['1', '2']],
    [{ 'x-a': '1' }, [['x-A', '2']], ['1', '2']],
    [{}, [['X-A', '1']], ['1'], '1', '1'],
    [
      {},
      [
        ['X-A', '1'],
        ['x-b', '0'],
        ['x-a', '2'],
      ],
      ['1', '2'],
      undefined,
      '1,2',
    ],
    [{ 'x-ab': '1', x_a: '2', x: '3' }, [], []],
  ];
  for (const [headers, headerList, values, only, joined] of cases) {
    const request = facts({ headers: headers as Record<string, string>, headerList });
    const about = JSON.stringify([headers, headerList]);
    assert.deepEqual(
      headersNamed(request, 'X-a').map(({ value }) => value),
      values,
      about,
    );
    assert.equal(onlyHeader(request, 'x-a'), only, about);
    assert.equal(joinedHeader(request, 'x-a'), joined, about);
  }
});
