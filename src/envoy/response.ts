import type { Answer } from '../check/check.ts';
import { grpcCode, refusals } from '../check/outcome.ts';
import { appendActions, type Decision, type HeaderToSet } from '../model/decision.ts';
import type { JsonObject } from '../model/json.ts';
import type { PassOn } from '../model/pass-on.ts';
import type { RefusalReason } from '../model/reasons.ts';
import { structOf } from './struct.ts';
import { templateOf } from './template.ts';
import { message, messageField, numberField, stringField } from './writer.ts';

/*
 * An answer as envoy.service.auth.v3.CheckResponse. Envoy takes `status.code` 0, which is also what an empty message
 * says, for an allow: only a verdict that allows, or dry-run, may reach `allowing` below.
 */

const RETRY_AFTER_SECONDS = '1';

/** CheckResponse bytes of an answer. */
export function writeResponse({ decisionId, outcome, dryRun, passOn }: Answer): Buffer {
  if (outcome.kind === 'refusal') return refusal(outcome.reason, decisionId);
  const { decision } = outcome;
  if (decision.shape === 'boolean' && passOn === undefined) {
    if (decision.allowed) return allowed(decisionId);
    if (!dryRun) return denied(decisionId);
  }
  const metadata = metadataField({ ...decision.dynamicMetadata, decision_id: decisionId });
  const changes = passOn === undefined ? [] : changesOf(passOn);
  if (decision.allowed) {
    const fields = decision.shape === 'boolean' ? [] : okFields(decision);
    const isBare = decision.shape === 'boolean' && changes.length === 0;
    return message(allowing, ...(isBare ? [] : [messageField(3, message(...changes, ...fields))]), metadata);
  }
  if (dryRun) return message(allowing, messageField(3, message(...changes)), metadata);
  const content = decision.shape === 'boolean' ? [] : [messageField(2, deniedResponse(decision))];
  return message(denying(grpcCode.PERMISSION_DENIED), ...content, metadata);
}

const OVERWRITE = appendActions.indexOf('OVERWRITE_IF_EXISTS_OR_ADD');

/** Fields of OkHttpResponse. What the policy says comes behind, so that it has the last word. */
const changesOf = ({ headersToSet, headersToRemove, queryParametersToRemove }: PassOn): readonly Buffer[] => [
  ...headersToSet.map(([name, value]) =>
    messageField(
      2,
      message(messageField(1, message(stringField(1, name), stringField(2, value))), numberField(3, OVERWRITE)),
    ),
  ),
  ...headersToRemove.map((name) => messageField(5, Buffer.from(name))),
  ...queryParametersToRemove.map((name) => messageField(8, Buffer.from(name))),
];

/** What Postern refuses itself: a category and the decision's id, never a detail. */
export const refusal = (reason: RefusalReason, decisionId: string): Buffer => refused[reason](decisionId);

function makeRefusal(reason: RefusalReason, decisionId: string): Buffer {
  const { grpc, http, category } = refusals[reason];
  const headers: HeaderToSet[] = [{ name: 'content-type', value: 'application/json' }];
  if (http === 401) headers.push({ name: 'www-authenticate', value: challengeOf(reason) });
  if (http === 429 || http === 503) headers.push({ name: 'retry-after', value: RETRY_AFTER_SECONDS });
  const body = JSON.stringify({ error: category, decision_id: decisionId });
  const content = message(
    messageField(1, numberField(1, http)),
    ...headers.map((header) => headerField(2, header)),
    stringField(3, body),
  );
  return message(denying(grpc), messageField(2, content), metadataField({ decision_id: decisionId }));
}

/** RFC 6750 section 3.1: without credentials there is nothing to say about them. */
const challengeOf = (reason: RefusalReason): string =>
  reason === 'token_missing' ? 'Bearer' : 'Bearer error="invalid_token"';

const allowing = messageField(1, message());
const denying = (code: Exclude<(typeof grpcCode)[keyof typeof grpcCode], 0>): Buffer =>
  messageField(1, numberField(1, code));

const metadataField = (metadata: JsonObject): Buffer => messageField(4, structOf(metadata));

/** The answers to what most policies say, and to what none is asked about. */
const allowed = templateOf((id) => message(allowing, metadataField({ decision_id: id })));
const denied = templateOf((id) => message(denying(grpcCode.PERMISSION_DENIED), metadataField({ decision_id: id })));
const refused = Object.fromEntries(
  Object.keys(refusals).map((reason) => [reason, templateOf((id) => makeRefusal(reason as RefusalReason, id))]),
) as { readonly [reason in RefusalReason]: (decisionId: string) => Buffer };

const okFields = (decision: Decision): readonly Buffer[] => [
  ...decision.headers.map((header) => headerField(2, header)),
  ...decision.requestHeadersToRemove.map((name) => messageField(5, Buffer.from(name))),
  ...decision.responseHeadersToAdd.map((header) => headerField(6, header)),
  ...decision.queryParametersToSet.map(([key, value]) =>
    messageField(7, message(stringField(1, key), stringField(2, value))),
  ),
  ...decision.queryParametersToRemove.map((name) => messageField(8, Buffer.from(name))),
];

const deniedResponse = (decision: Decision): Buffer =>
  message(
    messageField(1, numberField(1, decision.httpStatus)),
    ...decision.headers.map((header) => headerField(2, header)),
    stringField(3, decision.body),
  );

/** config.core.v3.HeaderValueOption. */
const headerField = (field: number, { name, value, appendAction }: HeaderToSet): Buffer =>
  messageField(
    field,
    message(
      messageField(1, message(stringField(1, name), stringField(2, value))),
      numberField(3, appendAction === undefined ? 0 : appendActions.indexOf(appendAction)),
    ),
  );
