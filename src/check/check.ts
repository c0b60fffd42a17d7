import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import { uuid7 } from '../lib/uuid7.ts';
import type { LogRules, Observation, Snapshot } from '../model/evaluation.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity } from '../model/identity.ts';
import type { PassOn } from '../model/pass-on.ts';
import type { DecisionRecord } from '../model/record.ts';
import { buildInput, type Input, type InputOptions } from './input.ts';
import { classOf, httpStatusOf, type Outcome, reasonOf, refuse } from './outcome.ts';
import type {
  DescribeContext,
  Identify,
  PassRequestOn,
  PinSnapshot,
  ReadDecision,
  RecordDecision,
  ReserveRecord,
} from './ports.ts';
import { screen } from './screen.ts';

export type CheckParts = {
  readonly clock: Clock;
  readonly pin: PinSnapshot;
  /** What the last policy has to say about the log, also when it may not decide any more. */
  readonly lastLogRules?: () => LogRules | undefined;
  readonly identify: Identify;
  readonly toDecision: ReadDecision;
  /** Given when no decision may be made that cannot be recorded. */
  readonly reserve: ReserveRecord | undefined;
  readonly record: RecordDecision;
  readonly input: InputOptions;
  /** What becomes `input.context`, if it is configured. */
  readonly contextOf: DescribeContext | undefined;
  /** How a request that is let through is changed, if anything about that is configured. */
  readonly passOnOf: PassRequestOn | undefined;
  readonly dryRun: boolean;
  /** Checks under way at once before further ones are turned away. */
  readonly maxInFlight: number;
  /** How long a check may take until its evaluation begins, ms. */
  readonly budgetMs: number;
};

/** One question: the request (or why it could not be read), and when the answer stops being wanted. */
export type CheckCall = {
  readonly request: RequestFacts | { readonly unreadable: Outcome & { kind: 'refusal' } };
  /** Of the caller, on the monotonic clock, ms; Infinity when there is none. */
  readonly deadlineMs: number;
  /** Whether the caller has stopped waiting. */
  readonly isCancelled?: () => boolean;
};

export type Answer = {
  readonly decisionId: string;
  readonly outcome: Outcome;
  readonly dryRun: boolean;
  readonly identity: Identity | undefined;
  /** Only for a request that may be let through. */
  readonly passOn: PassOn | undefined;
};

export type Check = (call: CheckCall) => Promise<Answer>;

/** What one check has found out so far; the record is made from it whatever happens. */
type Progress = {
  facts: RequestFacts | undefined;
  identity: Identity | undefined;
  input: Input | undefined;
  observed: readonly Observation[];
  identifiedAt: number;
  inputAt: number;
  evaluatedAt: number;
};

/** How it ended. */
type Ended = {
  readonly decisionId: string;
  readonly outcome: Outcome;
  readonly snapshot: Snapshot | undefined;
  readonly startedAt: number;
  readonly endedAt: number;
};

/** Makes the check. It never rejects: whatever goes wrong is an Outcome that denies. */
export function createCheck(parts: CheckParts): Check {
  const { clock } = parts;
  let inFlight = 0;

  async function decide(
    request: CheckCall['request'],
    deadlineMs: number,
    beginByMs: number,
    snapshot: Snapshot | undefined,
    progress: Progress,
  ): Promise<Outcome> {
    if ('unreadable' in request) return request.unreadable;
    const facts = request;
    progress.facts = facts;
    if (inFlight > parts.maxInFlight) return refuse('overloaded');
    if (clock.monotonicMs() >= beginByMs) return refuse('deadline_expired');

    const oddity = screen(facts, parts.input.paths);
    if (oddity !== undefined) return refuse(oddity);

    const pending = parts.identify(facts);
    const caller = pending instanceof Promise ? await pending : pending;
    progress.identifiedAt = clock.monotonicMs();
    if (!caller.ok) return refuse(caller.reason, caller.cause);
    progress.identity = caller.identity;

    const built = buildInput(facts, caller.identity, parts.contextOf?.(facts, caller.identity), parts.input);
    progress.inputAt = clock.monotonicMs();
    if (!built.ok) return built.outcome;
    progress.input = built.input;

    if (snapshot === undefined) return refuse('policy_unavailable');
    if (progress.inputAt >= beginByMs) return refuse('deadline_expired');
    const evaluated = snapshot.evaluate(snapshot.path, built.input.text, waitUntil(progress.inputAt, deadlineMs));
    const evaluation = evaluated instanceof Promise ? await evaluated : evaluated;
    progress.evaluatedAt = clock.monotonicMs();
    if (evaluation.observed !== undefined) progress.observed = evaluation.observed;
    if (!evaluation.ok) return refuse(evaluation.reason, evaluation.cause);
    const [result, ...more] = evaluation.results;
    if (result === undefined) return refuse('decision_undefined');
    if (more.length > 0) return refuse('decision_invalid', 'more than one result');
    try {
      return { kind: 'verdict', decision: parts.toDecision(result) };
    } catch (error) {
      return refuse('decision_invalid', messageOf(error));
    }
  }

  return async function check(call) {
    const startedAt = clock.monotonicMs();
    const decisionId = uuid7(clock.wallMs());
    const progress: Progress = {
      facts: undefined,
      identity: undefined,
      input: undefined,
      observed: [],
      identifiedAt: 0,
      inputAt: 0,
      evaluatedAt: 0,
    };
    let outcome: Outcome = refuse('internal_error');
    let passOn: PassOn | undefined;
    let snapshot: Snapshot | undefined;
    let room: ReturnType<ReserveRecord>;
    inFlight++;
    try {
      room = parts.reserve?.('unreadable' in call.request ? undefined : call.request);
      if (parts.reserve !== undefined && room === undefined) {
        if (!('unreadable' in call.request)) progress.facts = call.request;
        outcome = refuse('log_unavailable');
      } else {
        snapshot = parts.pin();
        const beginByMs = Math.min(call.deadlineMs, startedAt + parts.budgetMs);
        outcome = await decide(call.request, call.deadlineMs, beginByMs, snapshot, progress);
        if (outcome.kind === 'verdict' && progress.facts !== undefined) {
          passOn = parts.passOnOf?.(progress.facts, progress.identity);
        }
      }
    } catch (error) {
      outcome = refuse('internal_error', messageOf(error));
    } finally {
      inFlight--;
    }
    const endedAt = clock.monotonicMs();
    try {
      const record = recordOf({ decisionId, outcome, snapshot, startedAt, endedAt }, progress, call);
      const kept = parts.record(record, room, waitUntil(endedAt, call.deadlineMs));
      if (kept !== undefined && !(await kept)) {
        outcome = refuse('log_unavailable');
        passOn = undefined;
      }
    } catch {
      // A log that fails must not change the answer; the log counts what it lost.
      if (parts.reserve !== undefined) {
        outcome = refuse('log_unavailable');
        passOn = undefined;
      }
    }
    return { decisionId, outcome, dryRun: parts.dryRun, identity: progress.identity, passOn };
  };

  function recordOf(ended: Ended, progress: Progress, call: CheckCall): DecisionRecord {
    const { outcome, snapshot, startedAt, endedAt } = ended;
    return {
      decisionId: ended.decisionId,
      timeMs: clock.wallMs(),
      outcome: classOf(outcome),
      reason: reasonOf(outcome),
      cause: outcome.kind === 'refusal' ? outcome.cause : undefined,
      result: outcome.kind === 'verdict' ? outcome.decision.result : undefined,
      policyReasons: outcome.kind === 'verdict' ? outcome.decision.reasons : [],
      httpStatus: httpStatusOf(outcome),
      dryRun: parts.dryRun,
      cancelled: call.isCancelled?.() ?? false,
      facts: progress.facts,
      identity: progress.identity,
      document: progress.input?.document,
      text: progress.input?.text,
      observed: progress.observed,
      path: snapshot?.path ?? '',
      revisions: snapshot?.revisions ?? {},
      digests: snapshot?.digests ?? {},
      logRules: snapshot === undefined ? parts.lastLogRules?.() : snapshot.logRules,
      timings: {
        identityMs: span(startedAt, progress.identifiedAt),
        inputMs: span(progress.identifiedAt, progress.inputAt),
        evaluationMs: span(progress.inputAt, progress.evaluatedAt),
        totalMs: endedAt - startedAt,
      },
    };
  }
}

const ANSWER_SHARE = 0.2;
const MAX_ANSWER_MS = 100;

/** How long an evaluation may wait: a part of the time is kept for the answer to arrive. */
const waitUntil = (nowMs: number, deadlineMs: number): number =>
  deadlineMs - Math.min((deadlineMs - nowMs) * ANSWER_SHARE, MAX_ANSWER_MS);

const span = (from: number, to: number): number => (to === 0 ? 0 : to - from);
