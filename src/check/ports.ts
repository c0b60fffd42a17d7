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

export type RecordDecision = (record: DecisionRecord) => void;
