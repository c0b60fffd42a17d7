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
  const labelsText = stringify(labels);
  const bundlesOf = remembered(bundlesText);
  const digestsOf = remembered(digestsText);
  const quotedPath = remembered(stringify);
  return (record) => {
    const { facts, path } = record;
    const redacted = redact(
      {
        input: record.document ?? facts?.message,
        text: record.text,
        result: record.result,
        observed: record.observed,
        reasons: record.policyReasons,
        cause: record.cause,
      },
      input,
    );
    const trace = facts === undefined ? undefined : traceContextOf(facts);
    return (
      `{"labels":${labelsText},"decision_id":"${record.decisionId}"` +
      (trace === undefined ? '' : `,"trace_id":"${trace.traceId}","span_id":"${trace.spanId}"`) +
      field('bundles', bundlesOf(record.revisions)) +
      (path === '' ? '' : `,"path":${quotedPath(path)}`) +
      (redacted.text === undefined ? valueField('input', redacted.input) : `,"input":${redacted.text}`) +
      valueField('result', redacted.result) +
      valueField('nd_builtin_cache', redacted.observed) +
      (redacted.erased.length === 0 ? '' : `,"erased":${stringify(redacted.erased)}`) +
      (redacted.masked.length === 0 ? '' : `,"masked":${stringify(redacted.masked)}`) +
      valueField('error', errorOf(record, redacted.cause)) +
      `,"timestamp":"${timestampOf(record.timeMs)}","metrics":${metricsOf(record.timings)},"custom":${customOf(record, redacted, digestsOf(record.digests))}}`
    );
  };
}

/** The last answer, for what hardly ever changes. */
function remembered<K, V>(make: (key: K) => V): (key: K) => V {
  let last: { readonly key: K; readonly value: V } | undefined;
  return (key) => {
    if (last === undefined || last.key !== key) last = { key, value: make(key) };
    return last.value;
  };
}

/** A member behind others; without a value (Go's `omitempty`) there is none. */
const field = (name: string, text: string | undefined): string => (text === undefined ? '' : `,"${name}":${text}`);
const valueField = (name: string, value: Json | undefined): string =>
  value === undefined ? '' : `,"${name}":${stringify(value)}`;

function bundlesText(revisions: DecisionRecord['revisions']): string | undefined {
  const bundles: MutableJsonObject = emptyObject();
  for (const [name, revision] of Object.entries(revisions)) bundles[name] = revision === '' ? {} : { revision };
  return Object.keys(bundles).length === 0 ? undefined : stringify(bundles);
}

const digestsText = (digests: DecisionRecord['digests']): string | undefined =>
  Object.keys(digests).length === 0 ? undefined : stringify(digests);

function errorOf(record: DecisionRecord, cause: string | undefined): JsonObject | undefined {
  if (record.outcome !== 'fault' && cause === undefined) return undefined;
  return { code: record.reason, message: cause ?? record.reason };
}

const nanosField = (name: string, ms: number): string => (ms > 0 ? `"${name}":${Math.round(ms * 1e6)},` : '');
const microsOf = (ms: number): number => Math.round(ms * 1e3);

/** Timers in ns, as OPA names them; one that was not started is not there. */
const metricsOf = (timings: PhaseTimings): string =>
  `{${nanosField('timer_postern_identity_ns', timings.identityMs)}${nanosField('timer_postern_input_ns', timings.inputMs)}${nanosField('timer_rego_query_eval_ns', timings.evaluationMs)}"timer_server_handler_ns":${Math.round(timings.totalMs * 1e6)}}`;

function customOf(record: DecisionRecord, redacted: Redacted, digests: string | undefined): string {
  const { facts, identity, timings } = record;
  return (
    `{"reason":"${record.reason}"` +
    (redacted.reasons.length === 0 ? '' : `,"reasons":${stringify(redacted.reasons)}`) +
    `,"outcome":"${record.outcome}","http_status":${record.httpStatus}` +
    subjectField(identity?.subject) +
    issuerField(identity?.issuer) +
    methodField(facts?.method) +
    hostField(facts?.host) +
    clientField(facts === undefined ? undefined : clientAddress(facts)) +
    field('bundle_digests', digests) +
    `,"dry_run":${record.dryRun}${record.cancelled ? ',"cancelled":true' : ''}` +
    `,"phases":{"identity_us":${microsOf(timings.identityMs)},"input_us":${microsOf(timings.inputMs)}` +
    `,"eval_us":${microsOf(timings.evaluationMs)},"total_us":${microsOf(timings.totalMs)}}}`
  );
}

const scrubbedField = (name: string): ((text: string | undefined) => string) =>
  remembered((text) => (text === undefined || text === '' ? '' : `,"${name}":${stringify(scrub(text))}`));
const subjectField = scrubbedField('subject');
const issuerField = scrubbedField('issuer');
const methodField = scrubbedField('method');
const hostField = scrubbedField('host');
const clientField = scrubbedField('client_ip');

const CLIENT_ADDRESS = ['attributes', 'source', 'address', 'socketAddress', 'address'] as const;

/** `attributes.source.address.socketAddress.address` (envoy.config.core.v3.SocketAddress). */
function clientAddress(facts: RequestFacts): string | undefined {
  let value: Json | undefined = facts.message;
  for (const name of CLIENT_ADDRESS) value = isObject(value) ? value[name] : undefined;
  return typeof value === 'string' ? value : undefined;
}
