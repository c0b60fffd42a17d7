import type { Decision } from '../model/decision.ts';
import type { Snapshot } from '../model/evaluation.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity, IdentityResult } from '../model/identity.ts';
import type { Json, JsonObject } from '../model/json.ts';
import type { PassOn } from '../model/pass-on.ts';
import type { DecisionRecord } from '../model/record.ts';

/*
 * What the check asks of the other rooms. None of them knows this file; compose.ts is where the compiler proves that
 * they fit.
 */

/** May answer at once, so that a token that was verified before costs no promise. */
export type Identify = (facts: RequestFacts) => IdentityResult | Promise<IdentityResult>;

/** The snapshot of now; undefined before the first policy. */
export type PinSnapshot = () => Snapshot | undefined;

/** A policy's result as a decision. Throws when its shape is odd. */
export type ReadDecision = (result: Json) => Decision;

export type DescribeContext = (facts: RequestFacts, identity: Identity | undefined) => JsonObject;

/** Undefined: the request goes on as it is. */
export type PassRequestOn = (facts: RequestFacts, identity: Identity | undefined) => PassOn | undefined;

/** Room that was kept in the log, to be given back with the record. */
type Room = number;

/** Keeps room for the record of a check that begins; undefined: there is none, and the decision must not be made. */
export type ReserveRecord = (facts: RequestFacts | undefined) => Room | undefined;

/**
 * Remembers a decision. A promise when the answer has to wait for that, until `untilMs` (monotonic) at most; it tells
 * whether the answer may be given, and never rejects.
 */
export type RecordDecision = (
  record: DecisionRecord,
  room: Room | undefined,
  untilMs: number,
) => Promise<boolean> | undefined;
