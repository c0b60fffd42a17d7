import type { Decision } from '../model/decision.ts';
import type { RefusalReason } from '../model/reasons.ts';
import type { OutcomeClass, ReasonLabel } from '../model/record.ts';

/** google.rpc.Code, the part of it that a refusal uses. */
export const grpcCode = {
  OK: 0,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

type Codes = {
  readonly grpc: Exclude<(typeof grpcCode)[keyof typeof grpcCode], 0>;
  readonly http: number;
  /** All that an outsider is told. */
  readonly category: 'unauthenticated' | 'forbidden' | 'bad_request' | 'too_large' | 'unavailable';
  /** A refusal is the caller's doing (deny), or something is broken here (fault). */
  readonly outcome: Exclude<OutcomeClass, 'allow'>;
};

const unauthenticated: Codes = { grpc: 16, http: 401, category: 'unauthenticated', outcome: 'deny' };
const badPolicy: Codes = { grpc: 7, http: 403, category: 'forbidden', outcome: 'fault' };
const unwanted: Codes = { grpc: 7, http: 403, category: 'forbidden', outcome: 'deny' };
const unreadable: Codes = { grpc: 7, http: 400, category: 'bad_request', outcome: 'deny' };
const tooLarge: Codes = { grpc: 8, http: 413, category: 'too_large', outcome: 'deny' };
const unavailable: Codes = { grpc: 14, http: 503, category: 'unavailable', outcome: 'fault' };

/** The one table from a reason to its codes. No entry can be an allow: the type of `grpc` has no 0. */
export const refusals: { readonly [reason in RefusalReason]: Codes } = {
  token_missing: unauthenticated,
  token_forbidden: unwanted,
  token_malformed: unauthenticated,
  token_too_large: unauthenticated,
  token_signature: unauthenticated,
  token_expired: unauthenticated,
  token_not_yet_valid: unauthenticated,
  token_issuer: unauthenticated,
  token_audience: unauthenticated,
  token_algorithm: unauthenticated,
  token_key_unknown: unauthenticated,
  token_claims: unauthenticated,
  decision_undefined: badPolicy,
  decision_invalid: badPolicy,
  evaluation_error: badPolicy,
  request_unreadable: unreadable,
  request_too_large: tooLarge,
  path_ambiguous: unreadable,
  host_invalid: unreadable,
  method_invalid: unreadable,
  query_unreadable: unreadable,
  body_unreadable: unreadable,
  headers_ambiguous: unreadable,
  authorization_ambiguous: unreadable,
  policy_unavailable: unavailable,
  keys_unavailable: unavailable,
  evaluation_trap: unavailable,
  evaluation_timeout: unavailable,
  out_of_memory: unavailable,
  deadline_expired: unavailable,
  overloaded: unavailable,
  log_unavailable: unavailable,
  internal_error: unavailable,
};

/** How a check ended: a policy's verdict, or a refusal of Postern's own with its cause for the log. */
export type Outcome =
  | { readonly kind: 'verdict'; readonly decision: Decision }
  | { readonly kind: 'refusal'; readonly reason: RefusalReason; readonly cause?: string };

export const refuse = (reason: RefusalReason, cause?: string): Outcome & { kind: 'refusal' } =>
  cause === undefined ? { kind: 'refusal', reason } : { kind: 'refusal', reason, cause };

export function classOf(outcome: Outcome): OutcomeClass {
  if (outcome.kind === 'refusal') return refusals[outcome.reason].outcome;
  return outcome.decision.allowed ? 'allow' : 'deny';
}

/** The reason label of metrics and log: a refusal's own, else whether the policy allowed. */
export function reasonOf(outcome: Outcome): ReasonLabel {
  if (outcome.kind === 'refusal') return outcome.reason;
  return outcome.decision.allowed ? 'policy_allowed' : 'policy_denied';
}

/** The HTTP status that the client will see; 200 stands for "passed on to the upstream". */
export function httpStatusOf(outcome: Outcome): number {
  if (outcome.kind === 'refusal') return refusals[outcome.reason].http;
  return outcome.decision.allowed ? 200 : outcome.decision.httpStatus;
}
