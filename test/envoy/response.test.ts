import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import type { Answer } from '../../src/check/check.ts';
import { refusals, refuse } from '../../src/check/outcome.ts';
import { CheckResponseSchema } from '../../src/envoy/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { writeResponse } from '../../src/envoy/response.ts';
import type { Json } from '../../src/model/json.ts';
import { refusalReasons } from '../../src/model/reasons.ts';
import { toDecision } from '../../src/policy/decision.ts';
import { readResponse } from '../support/grpc.ts';

const decisionId = '01a20d3d-b29a-7549-8aa6-a41e9f70dd7b';
const answer = (outcome: Answer['outcome'], dryRun = false): Answer => ({
  decisionId,
  outcome,
  dryRun,
  identity: undefined,
  passOn: undefined,
});
const verdict = (result: Json): Answer['outcome'] => ({ kind: 'verdict', decision: toDecision(result) });

describe('each refusal', () => {
  for (const reason of refusalReasons) {
    test(`${reason} is a denial in its bytes, and tells no detail, in dry-run too`, () => {
      for (const dryRun of [false, true]) {
        const bytes = writeResponse(answer(refuse(reason, 'a secret cause'), dryRun));
        const response = fromBinary(CheckResponseSchema, bytes);
        assert.equal(response.status?.code, refusals[reason].grpc);
        assert.notEqual(response.status?.code, 0);
        assert.equal(response.httpResponse.case, 'deniedResponse');
        const denied = response.httpResponse.case === 'deniedResponse' ? response.httpResponse.value : undefined;
        assert.equal(denied?.status?.code, refusals[reason].http);
        assert.deepEqual(JSON.parse(denied?.body ?? ''), { error: refusals[reason].category, decision_id: decisionId });
        assert.equal(response.dynamicMetadata?.['decision_id'], decisionId);
        const names = denied?.headers.map(({ header }) => header?.key) ?? [];
        assert.equal(names.includes('www-authenticate'), refusals[reason].http === 401);
        assert.equal(names.includes('retry-after'), [429, 503].includes(refusals[reason].http));
        assert.ok(!bytes.includes('secret'));
      }
    });
  }
});

describe('each answer', () => {
  const other = '01a20d3d-b29a-7549-8aa6-0123456789ab';
  const outcomes: readonly Answer['outcome'][] = [
    ...refusalReasons.map((reason) => refuse(reason)),
    ...[verdict(true), verdict(false), verdict({ allowed: true }), verdict({ allowed: false })],
  ];

  test('has the id of its own decision, and no other one, also when its like was given before', () => {
    for (const outcome of outcomes) {
      const first = writeResponse(answer(outcome));
      const second = writeResponse({ ...answer(outcome), decisionId: other });
      for (const [bytes, own, foreign] of [
        [first, decisionId, other],
        [second, other, decisionId],
      ] as const) {
        assert.equal(fromBinary(CheckResponseSchema, bytes).dynamicMetadata?.['decision_id'], own);
        assert.ok(!bytes.includes(foreign));
      }
      assert.equal(second.toString('latin1').replaceAll(other, decisionId), first.toString('latin1'));
    }
  });

  test('has an id of any length', () => {
    for (const outcome of outcomes) {
      const bytes = writeResponse({ ...answer(outcome), decisionId: 'short' });
      assert.equal(fromBinary(CheckResponseSchema, bytes).dynamicMetadata?.['decision_id'], 'short');
    }
  });
});

describe('a verdict', () => {
  test('of a boolean says only its status', () => {
    assert.deepEqual(readResponse(writeResponse(answer(verdict(true)))), { status: {}, dynamicMetadata: {} });
    assert.deepEqual(readResponse(writeResponse(answer(verdict(false)))), { status: { code: 7 }, dynamicMetadata: {} });
  });

  test('that denies is an empty allow in dry-run', () => {
    const denial = verdict({ allowed: false, http_status: 402, headers: { a: 'b' }, body: 'x' });
    assert.deepEqual(readResponse(writeResponse(answer(denial, true))), {
      status: {},
      okResponse: {},
      dynamicMetadata: {},
    });
  });

  test('may say how a header is appended', () => {
    const actions = ['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD', 'OVERWRITE_IF_EXISTS'];
    actions.forEach((append_action, i) => {
      const response = readResponse(
        writeResponse(answer(verdict({ allowed: true, headers: { a: { value: 'b', append_action } } }))),
      );
      const expected = { header: { key: 'a', value: 'b' }, ...(i === 0 ? {} : { appendAction: i }) };
      assert.deepEqual(response['okResponse'], { headers: [expected] });
    });
  });

  test('carries metadata of every kind', () => {
    const dynamic_metadata = { a: [1, -2.5, true, false, null, '', 'ä🙂', {}, []], '': { deep: { er: 1e300 } } };
    const response = readResponse(writeResponse(answer(verdict({ allowed: true, dynamic_metadata }))));
    assert.deepEqual(response['dynamicMetadata'], dynamic_metadata);
  });

  const odd: readonly Json[] = [
    { allowed: true, headers: { 'x a': 'b' } },
    { allowed: true, headers: { '': 'b' } },
    { allowed: true, headers: { 'x-ä': 'b' } },
    { allowed: true, headers: { a: 'b\r\nc: d' } },
    { allowed: true, headers: { a: 'b\u0000' } },
    { allowed: true, headers: { a: '\ud800' } },
    { allowed: true, headers: { a: { value: 'b' } } },
    { allowed: true, headers: { a: { value: 'b', append_action: 'DROP' } } },
    { allowed: true, response_headers_to_add: { a: 'b\nc' } },
    { allowed: true, dynamic_metadata: { a: '\ud800' } },
    { allowed: false, body: '\ud800' },
    { allowed: false, http_status: 700 },
    { allowed: 'true' },
    { allowed: [true] },
    'true',
    1,
    null,
    [],
    [true],
  ];
  for (const result of odd) {
    test(`${JSON.stringify(result)} is none`, () => assert.throws(() => toDecision(result), { name: 'DecisionError' }));
  }
});
