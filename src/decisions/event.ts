import type { RequestFacts } from '../model/facts.ts';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import type { DecisionRecord, PhaseTimings } from '../model/record.ts';
import { emptyObject, isObject, stringify } from '../values/json.ts';
import { type Redacted, redact } from './redact.ts';
import { scrub } from './scrub.ts';
import { timestampOf } from './timestamp.ts';
import { traceContextOf } from './trace.ts';

/** How much of the input is written: all but secrets, all but bodies and secrets, or nothing. */
export type InputMode = 'full' | 'masked' | 'off';
export type Labels = { readonly [name: string]: string };

/**
 * Writes decisions as OPA's decision log events (EventV1 in open-policy-agent/opa v1/plugins/logs/plugin.go), one line
 * of JSON without its line end. What OPA has no key for stands under `custom`. Secrets are gone when this returns.
 */
export function createEventWriter(labels: Labels, input: InputMode = 'masked'): (record: DecisionRecord) => string {
  const shared: JsonObject = Object.assign(emptyObject(), labels);
  return (record) => stringify(eventOf(record, shared, input));
}

function eventOf(record: DecisionRecord, labels: JsonObject, mode: InputMode): JsonObject {
  const { facts } = record;
  const redacted = redact(
    {
      input: record.document ?? facts?.message,
      result: record.result,
      observed: record.observed,
      reasons: record.policyReasons,
      cause: record.cause,
    },
    mode,
  );
  const trace = facts === undefined ? undefined : traceContextOf(facts);
  return compact({
    labels,
    decision_id: record.decisionId,
    trace_id: trace?.traceId,
    span_id: trace?.spanId,
    bundles: bundlesOf(record.revisions),
    path: record.path === '' ? undefined : record.path,
    input: redacted.input,
    result: redacted.result,
    nd_builtin_cache: redacted.observed,
    erased: redacted.erased.length === 0 ? undefined : redacted.erased,
    masked: redacted.masked.length === 0 ? undefined : redacted.masked,
    error: errorOf(record, redacted.cause),
    timestamp: timestampOf(record.timeMs),
    metrics: metricsOf(record.timings),
    custom: customOf(record, redacted),
  });
}

/** Without the keys that have no value (Go's `omitempty`). */
function compact(entries: { readonly [key: string]: Json | undefined }): JsonObject {
  const object: MutableJsonObject = emptyObject();
  for (const [key, value] of Object.entries(entries)) if (value !== undefined) object[key] = value;
  return object;
}

function bundlesOf(revisions: DecisionRecord['revisions']): JsonObject | undefined {
  const bundles: MutableJsonObject = emptyObject();
  for (const [name, revision] of Object.entries(revisions)) bundles[name] = revision === '' ? {} : { revision };
  return Object.keys(bundles).length === 0 ? undefined : bundles;
}

function errorOf(record: DecisionRecord, cause: string | undefined): JsonObject | undefined {
  if (record.outcome !== 'fault' && cause === undefined) return undefined;
  return { code: record.reason, message: cause ?? record.reason };
}

const nanosOf = (ms: number): number | undefined => (ms > 0 ? Math.round(ms * 1e6) : undefined);
const microsOf = (ms: number): number => Math.round(ms * 1e3);

/** Timers in ns, as OPA names them; one that was not started is not there. */
const metricsOf = (timings: PhaseTimings): JsonObject =>
  compact({
    timer_postern_identity_ns: nanosOf(timings.identityMs),
    timer_postern_input_ns: nanosOf(timings.inputMs),
    timer_rego_query_eval_ns: nanosOf(timings.evaluationMs),
    timer_server_handler_ns: Math.round(timings.totalMs * 1e6),
  });

function customOf(record: DecisionRecord, redacted: Redacted): JsonObject {
  const { facts, identity, timings } = record;
  return compact({
    reason: record.reason,
    reasons: redacted.reasons.length === 0 ? undefined : redacted.reasons,
    outcome: record.outcome,
    http_status: record.httpStatus,
    subject: scrubbed(identity?.subject),
    issuer: scrubbed(identity?.issuer),
    method: scrubbed(facts?.method),
    host: scrubbed(facts?.host),
    client_ip: scrubbed(facts === undefined ? undefined : clientAddress(facts)),
    dry_run: record.dryRun,
    cancelled: record.cancelled ? true : undefined,
    phases: {
      identity_us: microsOf(timings.identityMs),
      input_us: microsOf(timings.inputMs),
      eval_us: microsOf(timings.evaluationMs),
      total_us: microsOf(timings.totalMs),
    },
  });
}

const scrubbed = (text: string | undefined): string | undefined =>
  text === undefined || text === '' ? undefined : scrub(text);

/** `attributes.source.address.socketAddress.address` (envoy.config.core.v3.SocketAddress). */
function clientAddress(facts: RequestFacts): string | undefined {
  let value: Json | undefined = facts.message;
  for (const name of ['attributes', 'source', 'address', 'socketAddress', 'address']) {
    value = isObject(value) ? value[name] : undefined;
  }
  return typeof value === 'string' ? value : undefined;
}
