import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createEventWriter, type InputMode } from '../../../src/decisions/event.ts';
import { createJudge } from '../../../src/decisions/mask/judge.ts';
import type { Evaluation, LogRules } from '../../../src/model/evaluation.ts';
import type { Json, JsonObject } from '../../../src/model/json.ts';
import type { DecisionRecord } from '../../../src/model/record.ts';
import { at, recordOf } from '../records.ts';

const says = (result: Json): Evaluation => ({ ok: true, results: [result] });
const undecided: Evaluation = { ok: true, results: [] };
const failure: Evaluation = { ok: false, reason: 'evaluation_timeout', cause: 's3cr3t' };

const identity = {
  authenticated: true,
  issuer: 'https://idp',
  subject: 'alice',
  claims: { sub: 'alice', tenant: 'acme' },
  workload: { spiffe_id: 'spiffe://td/a', trust_domain: 'td', path: '/a' },
};
const request = { path: '/people/7?pin=1234', headers: { 'x-api-key': 's3cr3t-key-1' } };
const withRules = (logRules: LogRules, over: Partial<DecisionRecord> = {}): DecisionRecord =>
  recordOf(
    request,
    { result: { allowed: true, reasons: ['r'] }, policyReasons: ['r'], observed: [now], logRules, ...over },
    identity,
  );
const now = { builtin: 'time.now_ns', args: [], answer: 7, chars: 10 };

/** What is written of a record, twice, as two sinks do, and what was told of it. */
function written(record: DecisionRecord, input: InputMode = 'masked') {
  const told: string[] = [];
  const judge = createJudge({
    onDropped: () => told.push('dropped'),
    onFailed: (rule, why) => told.push(`${rule}: ${why}`),
  });
  const write = createEventWriter({ id: 'i1' }, input, judge);
  const line = write(record);
  assert.equal(line, write(record));
  const event = line === undefined ? undefined : (JSON.parse(line) as JsonObject);
  return { line, event, told };
}

describe('the policy is shown', () => {
  test('the event as OPA has it, with nothing masked, once', () => {
    const seen: JsonObject[] = [];
    const mask = (event: string): Evaluation => {
      seen.push(JSON.parse(event));
      return undecided;
    };
    for (const mode of ['masked', 'full', 'off'] as const) written(withRules({ mask }), mode);
    assert.equal(seen.length, 3);
    for (const event of seen) {
      assert.deepEqual(event['labels'], { id: 'i1' });
      assert.equal(event['path'], 'envoy/authz/allow');
      assert.deepEqual(event['bundles'], { main: { revision: 'r1' } });
      assert.deepEqual(event['result'], { allowed: true, reasons: ['r'] });
      assert.deepEqual(event['nd_builtin_cache'], { 'time.now_ns': { '[]': 7 } });
      const http = at(event, 'input', 'attributes', 'request', 'http') as JsonObject;
      assert.equal(http['path'], request.path);
      assert.deepEqual(http['headers'], request.headers);
      for (const key of ['masked', 'erased']) assert.ok(!(key in event));
    }
  });

  test('nothing where it has no rules', () => {
    assert.equal(written(recordOf(request)).line, createEventWriter({ id: 'i1' })(recordOf(request)));
  });
});

describe('a decision is dropped', () => {
  test('when the rule says true, and then it is not asked for masks', () => {
    const mask = () => assert.fail('asked');
    const { line, told } = written(withRules({ drop: () => says(true), mask }));
    assert.equal(line, undefined);
    assert.deepEqual(told, ['dropped']);
  });

  test('not when it says anything else', () => {
    const answers = [says(false), says('true'), says(1), says({}), says([true]), undecided];
    answers.push({ ok: true, results: [true, true] });
    for (const answer of answers) {
      const { line, told } = written(withRules({ drop: () => answer }));
      assert.ok(line !== undefined);
      assert.deepEqual(told, []);
    }
  });

  test('not when it fails', () => {
    const throws = () => {
      throw new Error('s3cr3t');
    };
    const drops = [() => failure, throws, () => Promise.resolve(says(true))];
    for (const drop of drops) {
      const { line, told } = written(withRules({ drop, mask: () => says(['/result']) }));
      assert.match(line ?? '', /"erased":\["\/result"\]/);
      assert.equal(told.length, 1);
      assert.match(told[0] ?? '', /^drop: (?!.*s3cr3t)/);
    }
  });
});

describe('a mask', () => {
  test('that is undefined or empty changes nothing', () => {
    const plain = written(withRules({})).line;
    for (const answer of [undecided, says([])]) assert.equal(written(withRules({ mask: () => answer })).line, plain);
  });

  test('that fails or is odd leaves neither input nor result, nor what is repeated of them', () => {
    const odd: readonly Evaluation[] = [failure, says('/input'), says([7]), says(['/labels'])];
    const masks = [
      ...odd.map((answer) => () => answer),
      () => ({ ok: true, results: [['/input/a'], ['/input/b']] }) satisfies Evaluation,
      () => Promise.resolve(says([])),
      () => {
        throw new RangeError('s3cr3t');
      },
    ];
    for (const mask of masks) {
      const { line = '', event, told } = written(withRules({ mask }));
      for (const key of ['input', 'result', 'nd_builtin_cache']) assert.ok(!(key in (event ?? {})), key);
      assert.deepEqual(event?.['erased'], ['/input', '/result', '/nd_builtin_cache']);
      for (const word of ['alice', 'acme', 'people', 's3cr3t', 'spiffe', '"r"']) assert.ok(!line.includes(word), word);
      assert.equal(at(event, 'custom', 'outcome'), 'allow');
      assert.equal(told.length, 1);
      assert.match(told[0] ?? '', /^mask: (?!.*s3cr3t)/);
    }
  });

  test('reaches what custom repeats, and no more', () => {
    const custom = (...rules: Json[]) =>
      Object.keys(at(written(withRules({ mask: () => says(rules) })).event, 'custom') ?? {});
    const all = custom();
    const lost = (...rules: Json[]): readonly string[] => {
      const left = custom(...rules);
      return all.filter((name) => !left.includes(name));
    };
    const http = '/input/attributes/request/http';
    assert.deepEqual(lost('/input/identity/claims/tenant'), ['tenant']);
    assert.deepEqual(lost('/input/identity/claims'), ['subject', 'issuer', 'tenant']);
    assert.deepEqual(lost({ op: 'upsert', path: '/input/identity/subject', value: 'x' }), ['subject']);
    assert.deepEqual(lost('/input/identity/workload'), ['spiffe_id']);
    assert.deepEqual(lost(`${http}/path`), ['path']);
    assert.deepEqual(lost('/input/parsed_path/1'), ['path']);
    assert.deepEqual(lost(`${http}/method`, `${http}/host`), ['method', 'host']);
    assert.deepEqual(lost('/input/attributes/source'), ['client_ip']);
    assert.deepEqual(lost('/result/reasons/0'), ['reasons']);
    assert.deepEqual(lost(`${http}/headers`, '/result/allowed', '/nd_builtin_cache', '/input/parsed_body'), []);
    assert.equal(lost('/input').length, 8);
  });

  test('reaches it also when no input is logged', () => {
    const { line = '' } = written(withRules({ mask: () => says(['/input/identity/subject']) }), 'off');
    assert.ok(!line.includes('alice') && !line.includes('erased'));
    assert.ok(line.includes('acme'));
  });
});

test('without an input, custom has what is asked about a decision', () => {
  const { event } = written(withRules({}), 'off');
  assert.ok(event !== undefined && !('input' in event));
  const { subject, issuer, tenant, spiffe_id, method, host, path, client_ip } = event['custom'] as JsonObject;
  assert.deepEqual(
    { subject, issuer, tenant, spiffe_id, method, host, path, client_ip },
    {
      ...{ subject: 'alice', issuer: 'https://idp', tenant: 'acme', spiffe_id: 'spiffe://td/a' },
      ...{ method: 'GET', host: 'api.test', path: '/people/7', client_ip: '10.1.2.3' },
    },
  );
});

test('a path in custom has no secrets', () => {
  const path = '/a;token=s3cr3t-1/eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln/b#?x';
  const { line = '', event } = written(recordOf({ path }));
  assert.equal(at(event, 'custom', 'path'), '/a;token=**REDACTED**/**REDACTED**/b');
  assert.ok(!line.includes('s3cr3t') && !line.includes('eyJ'));
});
