import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import { uuid7 } from '../lib/uuid7.ts';
import type { Evaluation, LogRules, Observation, Snapshot } from '../model/evaluation.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity, IdentityResult } from '../model/identity.ts';
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

/** At once, unless something has to be waited for. Never throws or rejects. */
export type Check = (call: CheckCall) => Answer | Promise<Answer>;

/** One check under way: what it was asked, and what it has found out so far; the record is made from it whatever happens. */
type Run = {
  readonly call: CheckCall;
  readonly decisionId: string;
  readonly startedAt: number;
  room: ReturnType<ReserveRecord>;
  snapshot: Snapshot | undefined;
  facts: RequestFacts | undefined;
  identity: Identity | undefined;
  input: Input | undefined;
  observed: readonly Observation[];
  identifiedAt: number;
  inputAt: number;
  evaluatedAt: number;
};

const nothing: readonly never[] = [];

/** Makes the check: whatever goes wrong is an Outcome that denies. What is known at once costs no promise. */
export function createCheck(parts: CheckParts): Check {
  const { clock } = parts;
  let inFlight = 0;
  const beginBy = ({ call, startedAt }: Run): number => Math.min(call.deadlineMs, startedAt + parts.budgetMs);

  /** Until something has to be waited for: who is calling. */
  function decide(run: Run): Outcome | Promise<Outcome> {
    const { request } = run.call;
    run.facts = 'unreadable' in request ? undefined : request;
    run.room = parts.reserve?.(run.facts);
    if (parts.reserve !== undefined && run.room === undefined) return refuse('log_unavailable');
    run.snapshot = parts.pin();
    if ('unreadable' in request) return request.unreadable;
    if (inFlight > parts.maxInFlight) return refuse('overloaded');
    if (run.startedAt >= beginBy(run) || run.call.isCancelled?.()) return refuse('deadline_expired');
    const oddity = screen(request, parts.input.paths);
    if (oddity !== undefined) return refuse(oddity);
    const caller = parts.identify(request);
    return caller instanceof Promise
      ? caller.then((known) => evaluate(run, request, known))
      : evaluate(run, request, caller);
  }

  /** What the policy says. */
  function evaluate(run: Run, facts: RequestFacts, caller: IdentityResult): Outcome | Promise<Outcome> {
    const { snapshot } = run;
    run.identifiedAt = clock.monotonicMs();
    if (!caller.ok) return refuse(caller.reason, caller.cause);
    const { identity } = caller;
    run.identity = identity;
    const built = buildInput(facts, identity, parts.contextOf?.(facts, identity), parts.input, snapshot?.reads);
    run.inputAt = clock.monotonicMs();
    if (!built.ok) return built.outcome;
    run.input = built.input;
    if (snapshot === undefined) return refuse('policy_unavailable');
    if (run.inputAt >= beginBy(run)) return refuse('deadline_expired');
    const untilMs = waitUntil(run.inputAt, run.call.deadlineMs);
    const evaluation = snapshot.evaluate(snapshot.path, built.input.text, untilMs);
    return evaluation instanceof Promise ? evaluation.then((done) => judge(run, done)) : judge(run, evaluation);
  }

  function judge(run: Run, evaluation: Evaluation): Outcome {
    run.evaluatedAt = clock.monotonicMs();
    if (evaluation.observed !== undefined) run.observed = evaluation.observed;
    if (!evaluation.ok) return refuse(evaluation.reason, evaluation.cause);
    const { results } = evaluation;
    if (results[0] === undefined) return refuse('decision_undefined');
    if (results.length > 1) return refuse('decision_invalid', 'more than one result');
    try {
      return { kind: 'verdict', decision: parts.toDecision(results[0]) };
    } catch (error) {
      return refuse('decision_invalid', messageOf(error));
    }
  }

  /** Ends a check that came to an outcome. */
  function conclude(run: Run, found: Outcome): Answer | Promise<Answer> {
    inFlight--;
    let outcome = found;
    let passOn: PassOn | undefined;
    try {
      if (outcome.kind === 'verdict' && run.facts !== undefined) passOn = parts.passOnOf?.(run.facts, run.identity);
    } catch (error) {
      outcome = refuse('internal_error', messageOf(error));
    }
    const answer = { decisionId: run.decisionId, outcome, dryRun: parts.dryRun, identity: run.identity, passOn };
    const endedAt = clock.monotonicMs();
    try {
      const kept = parts.record(recordOf(run, outcome, endedAt), run.room, waitUntil(endedAt, run.call.deadlineMs));
      if (kept === undefined) return answer;
      return kept.then((isKept) => (isKept ? answer : unrecorded(answer)));
    } catch {
      // A log that fails must not change the answer; the log counts what it lost.
      return parts.reserve === undefined ? answer : unrecorded(answer);
    }
  }

  return function check(call) {
    const run: Run = {
      call,
      decisionId: uuid7(clock.wallMs()),
      startedAt: clock.monotonicMs(),
      room: undefined,
      snapshot: undefined,
      facts: undefined,
      identity: undefined,
      input: undefined,
      observed: nothing,
      identifiedAt: 0,
      inputAt: 0,
      evaluatedAt: 0,
    };
    inFlight++;
    let outcome: Outcome | Promise<Outcome>;
    try {
      outcome = decide(run);
    } catch (error) {
      outcome = failed(error);
    }
    return outcome instanceof Promise
      ? outcome.catch(failed).then((late) => conclude(run, late))
      : conclude(run, outcome);
  };

  function recordOf(run: Run, outcome: Outcome, endedAt: number): DecisionRecord {
    const { snapshot, startedAt } = run;
    return {
      decisionId: run.decisionId,
      timeMs: clock.wallMs(),
      outcome: classOf(outcome),
      reason: reasonOf(outcome),
      cause: outcome.kind === 'refusal' ? outcome.cause : undefined,
      result: outcome.kind === 'verdict' ? outcome.decision.result : undefined,
      policyReasons: outcome.kind === 'verdict' ? outcome.decision.reasons : nothing,
      httpStatus: httpStatusOf(outcome),
      dryRun: parts.dryRun,
      cancelled: run.call.isCancelled?.() ?? false,
      facts: run.facts,
      identity: run.identity,
      input: run.input?.whole,
      observed: run.observed,
      path: snapshot?.path ?? '',
      revisions: snapshot?.revisions ?? {},
      digests: snapshot?.digests ?? {},
      logRules: snapshot === undefined ? parts.lastLogRules?.() : snapshot.logRules,
      timings: {
        identityMs: span(startedAt, run.identifiedAt),
        inputMs: span(run.identifiedAt, run.inputAt),
        evaluationMs: span(run.inputAt, run.evaluatedAt),
        totalMs: endedAt - startedAt,
      },
    };
  }
}

const unrecorded = (answer: Answer): Answer => ({ ...answer, outcome: refuse('log_unavailable'), passOn: undefined });

const failed = (error: unknown): Outcome => refuse('internal_error', messageOf(error));

const ANSWER_SHARE = 0.2;
const MAX_ANSWER_MS = 100;

/** How long an evaluation may wait: a part of the time is kept for the answer to arrive. */
const waitUntil = (nowMs: number, deadlineMs: number): number =>
  deadlineMs - Math.min((deadlineMs - nowMs) * ANSWER_SHARE, MAX_ANSWER_MS);

const span = (from: number, to: number): number => (to === 0 ? 0 : to - from);
