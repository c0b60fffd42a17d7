import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CheckParts, createCheck } from '../../src/check/check.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Snapshot } from '../../src/model/evaluation.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { toDecision } from '../../src/policy/decision.ts';
import { facts } from '../support/facts.ts';

function createSubject(over: Partial<CheckParts>) {
  const records: [record: DecisionRecord, room: number | undefined][] = [];
  let evaluations = 0;
  const snapshot: Snapshot = {
    revisions: {},
    digests: {},
    path: 'envoy/authz/allow',
    evaluate: () => {
      evaluations++;
      return { ok: true, results: [true] };
    },
  };
  const check = createCheck({
    clock: systemClock,
    pin: () => snapshot,
    identify: () => ({ ok: true, identity: undefined }),
    toDecision,
    reserve: undefined,
    record: (record, room) => {
      records.push([record, room]);
      return undefined;
    },
    input: { paths: 'standard', skipBody: false, protoDescriptor: undefined },
    contextOf: undefined,
    passOnOf: undefined,
    dryRun: false,
    maxInFlight: 10,
    budgetMs: 10_000,
    ...over,
  });
  const ask = (isCancelled?: () => boolean) =>
    check({ request: facts(), deadlineMs: Number.POSITIVE_INFINITY, ...(isCancelled && { isCancelled }) });
  return { ask, records, evaluations: () => evaluations };
}

const reasonOf = ({ outcome }: Awaited<ReturnType<ReturnType<typeof createSubject>['ask']>>): string =>
  outcome.kind === 'refusal' ? outcome.reason : 'verdict';

describe('a check whose record must be kept', () => {
  test('asks no policy when there is no room for it, and leaves a record all the same', async () => {
    const { ask, records, evaluations } = createSubject({ reserve: () => undefined });
    assert.equal(reasonOf(await ask()), 'log_unavailable');
    assert.equal(evaluations(), 0);
    assert.deepEqual(
      records.map(([{ outcome, reason, httpStatus, facts }, room]) => [outcome, reason, httpStatus, facts?.path, room]),
      [['fault', 'log_unavailable', 503, '/a', undefined]],
    );
  });

  test('has the last policy say what of that record is logged', async () => {
    const lastLogRules = () => ({ mask: () => ({ ok: true, results: [] }) as const });
    for (const over of [{ reserve: () => undefined }, { pin: () => undefined }]) {
      const { ask, records } = createSubject({ ...over, lastLogRules });
      await ask();
      assert.ok(records[0]?.[0].logRules?.mask);
    }
    const { ask, records } = createSubject({ lastLogRules });
    await ask();
    assert.equal(records[0]?.[0].logRules, undefined, 'a policy without rules has those of another');
  });

  test('gives back the room that was kept, with one record', async () => {
    const { ask, records } = createSubject({ reserve: () => 77 });
    assert.equal(reasonOf(await ask()), 'verdict');
    assert.deepEqual(
      records.map(([{ outcome, input }, room]) => [outcome, input?.derived.includes('parsed_path'), room]),
      [['allow', true, 77]],
    );
  });

  test('waits where the log asks for it, and is refused when the record is not kept', async () => {
    for (const kept of [true, false]) {
      const { ask } = createSubject({ record: async () => kept });
      assert.equal(reasonOf(await ask()), kept ? 'verdict' : 'log_unavailable');
    }
  });

  test('is refused when the log breaks; where records may be lost it is not', async () => {
    const record = (): never => {
      throw new Error('broken');
    };
    assert.equal(reasonOf(await createSubject({ record, reserve: () => 1 }).ask()), 'log_unavailable');
    assert.equal(reasonOf(await createSubject({ record }).ask()), 'verdict');
  });
});

test('for a caller who has gone no policy is asked, and the record says so', async () => {
  const { ask, records, evaluations } = createSubject({});
  assert.equal(reasonOf(await ask(() => true)), 'deadline_expired');
  assert.equal(evaluations(), 0);
  await ask();
  assert.deepEqual(
    records.map(([{ cancelled, outcome }]) => [cancelled, outcome]),
    [
      [true, 'fault'],
      [false, 'allow'],
    ],
  );
});
