import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEventWriter, type InputMode } from '../../../src/decisions/event.ts';
import { readLine } from '../../../src/decisions/store/line.ts';
import { recordOf } from '../records.ts';

const record = recordOf(
  { path: '/people/4711?q=1', host: 'h.test' },
  {},
  {
    authenticated: true,
    issuer: 'https://idp',
    subject: 'alice',
    claims: { tenant: 'acme' },
    workload: { spiffe_id: 'spiffe://td/a', trust_domain: 'td', path: '/a' },
  },
);
const lineOf = (mode: InputMode): string => createEventWriter({ id: 'i1' }, mode)(record) ?? '';

function columnsOf(line: string) {
  const read = readLine(line, { process: 'p', createdMs: 0 }, { routeOf: (path) => `route of ${path}` });
  assert.ok(read.kind === 'row');
  const { input: _input, rest: _rest, ...columns } = read.row;
  return columns;
}

test('columns are the same with an input, without one, and in lines that have them in the input only', () => {
  const columns = columnsOf(lineOf('masked'));
  const { path, route, tenant, spiffe_id, host } = columns;
  assert.deepEqual(
    { path, route, tenant, spiffe_id, host },
    {
      path: '/people/4711',
      route: 'route of /people/4711',
      tenant: 'acme',
      spiffe_id: 'spiffe://td/a',
      host: 'h.test',
    },
  );
  assert.deepEqual(columnsOf(lineOf('off')), columns);
  const older = lineOf('masked').replace(/,"(?:path|tenant|spiffe_id)":"[^"]*"(?=[^{}]*,"dry_run")/g, '');
  assert.ok(!older.includes('"path":"/people/4711"'));
  assert.deepEqual(columnsOf(older), columns);
});
