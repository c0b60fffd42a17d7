import type { RequestFacts } from '../model/facts.ts';
import { type InputText, textOf } from '../model/input-text.ts';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import type { DecisionRecord, PhaseTimings } from '../model/record.ts';
import { emptyObject, stringify } from '../values/json.ts';
import { builtinCache } from './builtin-cache.ts';
import { isHidden } from './mask/copies.ts';
import { type Judge, keepAll } from './mask/judge.ts';
import type { Operation } from './mask/operation.ts';
import { type Redactable, type Redacted, redact } from './redact.ts';
import { scrub, scrubTarget } from './scrub.ts';
import { timestampOf } from './timestamp.ts';
import { traceContextOf } from './trace.ts';

/** How much of the input is written: all but secrets, all but bodies and secrets, or nothing. */
export type InputMode = 'full' | 'masked' | 'off';
export type Labels = { readonly [name: string]: string };

/**
 * Writes decisions as OPA's decision log events (EventV1 in open-policy-agent/opa v1/plugins/logs/plugin.go), one line
 * of JSON without its line end. What OPA has no key for stands under `custom`. Secrets are gone when this returns, and so
 * is what the policy's rules hide; undefined: they drop the decision.
 */
export function createEventWriter(
  labels: Labels,
  input: InputMode = 'masked',
  judge: Judge = keepAll,
): (record: DecisionRecord) => string | undefined {
  const write = createWriter(labels);
  return (record) => {
    const verdict = judge(record, () => write(record, rawContents(record), []));
    if (verdict === 'drop') return undefined;
    return write(record, redact(redactableOf(record), input, verdict), verdict);
  };
}

/** Of a check that did not get as far as an input, what there was of one. */
const inputOf = ({ input, facts }: DecisionRecord): InputText | undefined =>
  input ?? (facts === undefined ? undefined : { message: facts.message, derived: '', identity: undefined });

const redactableOf = (record: DecisionRecord): Redactable => ({
  input: undefined,
  text: inputOf(record),
  result: record.result,
  observed: record.observed,
  reasons: record.policyReasons,
  cause: record.cause,
});

/** For the policy, which has seen it all. */
function rawContents(record: DecisionRecord): Redacted {
  const { text, ...parts } = redactableOf(record);
  return {
    ...parts,
    text: text === undefined ? undefined : textOf(text),
    observed: builtinCache(record.observed),
    masked: [],
    erased: [],
  };
}

/** `operations` hide in `custom` what they hide elsewhere. */
type Write = (record: DecisionRecord, contents: Redacted, operations: readonly Operation[]) => string;

function createWriter(labels: Labels): Write {
  const labelsText = stringify(labels);
  const bundlesOf = remembered(bundlesText);
  const digestsOf = remembered(digestsText);
  const quotedPath = remembered(stringify);
  return (record, contents, operations) => {
    const { facts, path } = record;
    const trace = facts === undefined ? undefined : traceContextOf(facts);
    return (
      `{"labels":${labelsText},"decision_id":"${record.decisionId}"` +
      (trace === undefined ? '' : `,"trace_id":"${trace.traceId}","span_id":"${trace.spanId}"`) +
      field('bundles', bundlesOf(record.revisions)) +
      (path === '' ? '' : `,"path":${quotedPath(path)}`) +
      (contents.text === undefined ? valueField('input', contents.input) : `,"input":${contents.text}`) +
      valueField('result', contents.result) +
      valueField('nd_builtin_cache', contents.observed) +
      (contents.erased.length === 0 ? '' : `,"erased":${stringify(contents.erased)}`) +
      (contents.masked.length === 0 ? '' : `,"masked":${stringify(contents.masked)}`) +
      valueField('error', errorOf(record, contents.cause)) +
      `,"timestamp":"${timestampOf(record.timeMs)}","metrics":${metricsOf(record.timings)},"custom":${customOf(record, contents.reasons, operations, digestsOf(record.digests))}}`
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

function customOf(
  record: DecisionRecord,
  reasons: readonly string[],
  operations: readonly Operation[],
  digests: string | undefined,
): string {
  const { facts, identity, timings } = record;
  const copied = (name: keyof typeof copiedFields, text: string | undefined): string =>
    text === undefined || text === '' || isHidden(name, operations) ? '' : copiedFields[name](text);
  return (
    `{"reason":"${record.reason}"` +
    (reasons.length === 0 || isHidden('reasons', operations) ? '' : `,"reasons":${stringify(reasons)}`) +
    `,"outcome":"${record.outcome}","http_status":${record.httpStatus}` +
    copied('subject', identity?.subject) +
    copied('issuer', identity?.issuer) +
    copied('tenant', stringOf(identity?.claims?.['tenant'])) +
    copied('spiffe_id', identity?.workload?.spiffe_id) +
    copied('method', facts?.method) +
    copied('host', facts?.host) +
    copied('path', facts?.isHttp === true ? pathOf(facts) : undefined) +
    copied('client_ip', facts?.sourceAddress) +
    field('bundle_digests', digests) +
    `,"dry_run":${record.dryRun}${record.cancelled ? ',"cancelled":true' : ''}` +
    `,"phases":{"identity_us":${microsOf(timings.identityMs)},"input_us":${microsOf(timings.inputMs)}` +
    `,"eval_us":${microsOf(timings.evaluationMs)},"total_us":${microsOf(timings.totalMs)}}}`
  );
}

/** Without what may be in a query. */
const pathOf = ({ path }: RequestFacts): string => {
  const cut = path.search(/[?#]/);
  return (cut < 0 ? path : path.slice(0, cut)) || '/';
};
const stringOf = (value: Json | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

const scrubbedField = (name: string, scrubText: (text: string) => string = scrub): ((text: string) => string) =>
  remembered((text) => `,"${name}":${stringify(scrubText(text))}`);
const copiedFields = {
  subject: scrubbedField('subject'),
  issuer: scrubbedField('issuer'),
  tenant: scrubbedField('tenant'),
  spiffe_id: scrubbedField('spiffe_id'),
  method: scrubbedField('method'),
  host: scrubbedField('host'),
  path: scrubbedField('path', scrubTarget),
  client_ip: scrubbedField('client_ip'),
} as const;
