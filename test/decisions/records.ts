import { buildInput } from '../../src/check/input.ts';
import { readRequest } from '../../src/envoy/request.ts';
import type { RequestFacts } from '../../src/model/facts.ts';
import type { Identity } from '../../src/model/identity.ts';
import type { InputText } from '../../src/model/input-text.ts';
import type { Json, JsonObject } from '../../src/model/json.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { messageOf } from '../../src/values/request-message.ts';
import { encodeRequest } from '../support/grpc.ts';

export type Request = {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as Envoy's `encode_raw_headers` does: in a list, values as bytes. */
  readonly rawHeaders?: readonly (readonly [name: string, value: string])[];
  readonly body?: string;
  readonly rawBody?: string;
  /** Beside `request` and `source`. */
  readonly attributes?: JsonObject;
};

export function factsOf(request: Request): RequestFacts {
  const { method = 'GET', path = '/', host = 'api.test', headers = {}, rawHeaders = [], body = '' } = request;
  const rawBody = Buffer.from(request.rawBody ?? '');
  const http: JsonObject = {
    method,
    path,
    host,
    ...(rawHeaders.length > 0
      ? { headerMap: { headers: rawHeaders.map(([key, value]) => ({ key, rawValue: base64(value) })) } }
      : { headers }),
    ...(body === '' ? {} : { body }),
    ...(rawBody.byteLength === 0 ? {} : { rawBody: rawBody.toString('base64') }),
  };
  const source = { address: { socketAddress: { address: '10.1.2.3', portValue: 4242 } } };
  return readRequest(Buffer.from(encodeRequest({ attributes: { source, request: { http }, ...request.attributes } })));
}

/** A document as the text of an input. */
export const inputText = (document: Json): InputText => ({
  message: messageOf(document as JsonObject),
  derived: '',
  identity: undefined,
});

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

/** A record as the check makes it, with the parts of the input that the request allows. */
export function recordOf(request: Request, over: Partial<DecisionRecord> = {}, identity?: Identity): DecisionRecord {
  const facts = factsOf(request);
  const built = buildInput(facts, identity, undefined, { paths: 'off', skipBody: false, protoDescriptor: undefined });
  return {
    decisionId: '01890a5d-ac96-774b-bcce-b302099a8057',
    timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    outcome: 'allow',
    reason: 'policy_allowed',
    cause: undefined,
    result: true,
    policyReasons: [],
    httpStatus: 200,
    dryRun: false,
    cancelled: false,
    facts,
    identity,
    input: built.ok ? built.input.whole : undefined,
    observed: [],
    path: 'envoy/authz/allow',
    revisions: { main: 'r1' },
    digests: {},
    timings: { identityMs: 0.1, inputMs: 0.02, evaluationMs: 0.25, totalMs: 0.5 },
    ...over,
  };
}

/** What stands at a path of keys. */
export function at(document: Json | undefined, ...keys: readonly (string | number)[]): Json | undefined {
  let value: unknown = document;
  for (const key of keys) value = (value as Record<string | number, unknown> | undefined)?.[key];
  return value as Json | undefined;
}
