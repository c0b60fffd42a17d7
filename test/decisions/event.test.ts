import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createEventWriter } from '../../src/decisions/event.ts';
import type { JsonObject } from '../../src/model/json.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { parseExact } from '../../src/values/json.ts';
import { at, recordOf } from './records.ts';

const writer = createEventWriter({ id: 'i1', version: '0.1.0', app: 'shop' });
const write = (record: DecisionRecord): string => writer(record) ?? '';
const eventOf = (record: DecisionRecord): JsonObject => JSON.parse(write(record)) as JsonObject;
const identity = { authenticated: true, issuer: 'https://idp', subject: 'alice' };

/** Every key that EventV1 of OPA 1.22 can have. */
const opaKeys = [
  ...['labels', 'decision_id', 'batch_decision_id', 'trace_id', 'span_id', 'revision', 'bundles', 'path', 'query'],
  ...['input', 'result', 'intermediate_results', 'mapped_result', 'nd_builtin_cache', 'erased', 'masked', 'error'],
  ...['requested_by', 'timestamp', 'metrics', 'req_id', 'rule_labels', 'request_context', 'custom'],
];

test('an allowed decision has all keys in the spelling of OPA', () => {
  const headers = { accept: 'text/html', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };
  const event = eventOf(
    recordOf({ path: '/a/b?x=1', host: 'h.test', headers }, { result: { allowed: true } }, identity),
  );
  assert.deepEqual(event, {
    labels: { id: 'i1', version: '0.1.0', app: 'shop' },
    decision_id: '01890a5d-ac96-774b-bcce-b302099a8057',
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    span_id: '00f067aa0ba902b7',
    bundles: { main: { revision: 'r1' } },
    path: 'envoy/authz/allow',
    input: {
      attributes: {
        source: { address: { socketAddress: { address: '10.1.2.3', portValue: 4242 } } },
        request: { http: { method: 'GET', path: '/a/b?x=1', host: 'h.test', headers } },
      },
      version: { ext_authz: 'v3', encoding: 'protojson' },
      parsed_path: ['a', 'b'],
      parsed_query: { x: ['1'] },
      parsed_body: null,
      truncated_body: false,
      identity,
    },
    result: { allowed: true },
    timestamp: '2026-01-02T03:04:05.678000000Z',
    metrics: {
      timer_postern_identity_ns: 100_000,
      timer_postern_input_ns: 20_000,
      timer_rego_query_eval_ns: 250_000,
      timer_server_handler_ns: 500_000,
    },
    custom: {
      reason: 'policy_allowed',
      outcome: 'allow',
      http_status: 200,
      subject: 'alice',
      issuer: 'https://idp',
      method: 'GET',
      host: 'h.test',
      path: '/a/b',
      client_ip: '10.1.2.3',
      dry_run: false,
      phases: { identity_us: 100, input_us: 20, eval_us: 250, total_us: 500 },
    },
  });
});

test('every event is one line of JSON with no key that OPA does not know', () => {
  const records = [
    recordOf({ path: '/a\n\u2028?token=\n1', body: 'a\nb' }),
    recordOf(
      {},
      {
        outcome: 'fault',
        reason: 'internal_error',
        cause: 'a\nb',
        facts: undefined,
        input: undefined,
      },
    ),
  ];
  for (const record of records) {
    const line = write(record);
    assert.ok(!line.includes('\n'));
    for (const key of Object.keys(JSON.parse(line) as JsonObject)) assert.ok(opaKeys.includes(key), key);
  }
});

test('a request that could not be read has no input and no result', () => {
  const event = eventOf(
    recordOf(
      {},
      {
        ...{ outcome: 'deny', reason: 'request_unreadable', cause: 'truncated field', httpStatus: 400 },
        ...{ facts: undefined, input: undefined, result: undefined, path: '', revisions: {} },
        timings: { identityMs: 0, inputMs: 0, evaluationMs: 0, totalMs: 0.0631 },
      },
    ),
  );
  for (const key of ['input', 'result', 'path', 'bundles', 'masked', 'erased', 'trace_id'])
    assert.ok(!(key in event), key);
  assert.deepEqual(event['error'], { code: 'request_unreadable', message: 'truncated field' });
  assert.deepEqual(event['metrics'], { timer_server_handler_ns: 63_100 });
  assert.deepEqual(event['custom'], {
    reason: 'request_unreadable',
    outcome: 'deny',
    http_status: 400,
    dry_run: false,
    phases: { identity_us: 0, input_us: 0, eval_us: 0, total_us: 63 },
  });
});

test('a refusal before the input was built has the message as its input', () => {
  const record = recordOf({ path: '/a' }, { input: undefined, result: undefined, reason: 'token_expired' });
  assert.deepEqual(Object.keys(eventOf(record)['input'] as JsonObject), ['attributes']);
});

test('a denial by policy is no error, and its reasons are there', () => {
  const over = { outcome: 'deny', reason: 'policy_denied', httpStatus: 403, result: false } as const;
  const event = eventOf(recordOf({}, { ...over, policyReasons: ['not the owner', 'outside of hours'] }));
  assert.equal(event['result'], false);
  assert.ok(!('error' in event));
  assert.deepEqual(at(event, 'custom', 'reasons'), ['not the owner', 'outside of hours']);
});

test('a fault without a cause still says what it was', () => {
  const event = eventOf(recordOf({}, { outcome: 'fault', reason: 'policy_unavailable', result: undefined }));
  assert.deepEqual(event['error'], { code: 'policy_unavailable', message: 'policy_unavailable' });
});

test('what was masked is listed, and an absent list is left out', () => {
  const event = eventOf(recordOf({ headers: { Authorization: 'Bearer x' } }));
  assert.deepEqual(event['masked'], ['/input/attributes/request/http/headers/Authorization']);
  assert.ok(!('erased' in event));
});

test('a bundle without a revision is named with an empty object', () => {
  assert.deepEqual(eventOf(recordOf({}, { revisions: { a: '', b: '2' } }))['bundles'], { a: {}, b: { revision: '2' } });
});

test('numbers of the body and of the result keep their digits', () => {
  const big = '12345678901234567890.5';
  const headers = { 'content-type': 'application/json' };
  const line = write(
    recordOf({ headers, body: `{"n":${big}}` }, { result: parseExact(`{"allowed":true,"n":${big}}`) }),
  );
  assert.equal(line.split(`"n":${big}`).length, 3);
});

test('an empty subject, method or host is left out', () => {
  const custom = at(eventOf(recordOf({ method: '', host: '' }, {}, { authenticated: false })), 'custom') as JsonObject;
  for (const key of ['subject', 'issuer', 'method', 'host']) assert.ok(!(key in custom), key);
});

describe('timestamp', () => {
  const cases: readonly (readonly [timeMs: number, text: string])[] = [
    [0, '1970-01-01T00:00:00.000000000Z'],
    [1_767_323_045_000, '2026-01-02T03:04:05.000000000Z'],
    [1_767_323_045_678.25, '2026-01-02T03:04:05.678250000Z'],
    [1_767_323_045_999.75, '2026-01-02T03:04:05.999750000Z'],
  ];
  for (const [timeMs, text] of cases) {
    test(text, () => {
      const timestamp = String(eventOf(recordOf({}, { timeMs }))['timestamp']);
      assert.equal(timestamp, text);
    });
  }
});

describe('traceparent', () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const span = '00f067aa0ba902b7';
  const valid = `00-${trace}-${span}-01`;
  const taken: readonly (readonly [name: string, record: DecisionRecord])[] = [
    ['in lower case', recordOf({ headers: { traceparent: valid } })],
    ['in another case', recordOf({ headers: { TraceParent: valid } })],
    ['in a list of raw headers', recordOf({ rawHeaders: [['Traceparent', valid]] })],
    ['of a later version with more fields', recordOf({ headers: { traceparent: `01-${trace}-${span}-01-more` } })],
  ];
  for (const [name, record] of taken) {
    test(`${name} gives the ids`, () => {
      assert.equal(eventOf(record)['trace_id'], trace);
      assert.equal(eventOf(record)['span_id'], span);
    });
  }
  const refused = [
    '',
    'x',
    `00-${trace}-${span}`,
    `ff-${trace}-${span}-01`,
    `00-${trace}-${span}-01-more`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `${valid},${valid}`,
  ];
  for (const value of refused) {
    test(`${JSON.stringify(value)} is passed over`, () => {
      const event = eventOf(recordOf({ headers: { traceparent: value } }));
      assert.ok(!('trace_id' in event) && !('span_id' in event));
    });
  }
});
