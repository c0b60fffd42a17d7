import { dump } from '../../values/dump.ts';
import { parseJson } from '../../values/parse.ts';
import { RegoObject, type Value } from '../../values/value.ts';
import {
  type Builtin,
  type BuiltinContext,
  BuiltinError,
  type HttpRequest,
  type HttpResponse,
  NetworkError,
} from './builtin.ts';
import { booleanAt, type Decoding, readRequest } from './http/request.ts';
import { objectAt } from './operands.ts';

import { readYaml } from './yaml/read.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/http
 */

function send(ctx: BuiltinContext, object: RegoObject): Value {
  const raiseError = booleanAt(object, 'raise_error', true);
  try {
    const { decoding, ...request } = readRequest(object);
    const response = ctx.outside(`http.send ${keyOf(object, request)}`, async () =>
      toValue(await ctx.network().send(request, ctx.nowNs), decoding, ctx.checkDeadline),
    );
    return response ?? null;
  } catch (error) {
    if (!(error instanceof BuiltinError || error instanceof NetworkError)) throw error;
    if (raiseError) throw error instanceof BuiltinError ? error : new BuiltinError(error.message);
    const code = error instanceof NetworkError ? 'eval_http_send_network_error' : 'eval_http_send_internal_error';
    return RegoObject.from({ status_code: 0, error: RegoObject.from({ code, message: error.message }) });
  }
}

/** Requests with one key are sent once per evaluation. */
const keyOf = (object: RegoObject, { headers, ignoredHeaders }: HttpRequest): string =>
  dump([object, headers.filter(([name]) => !ignoredHeaders.includes(name)).map((header) => [...header])]);

function toValue(
  { status, statusText, headers, body }: HttpResponse,
  decoding: Decoding,
  checkDeadline: () => void,
): Value {
  return RegoObject.from({
    status: `${status} ${statusText}`.trimEnd(),
    status_code: status,
    body: decoded(body, headers.get('content-type')?.[0] ?? '', decoding, checkDeadline),
    raw_body: body,
    headers: new RegoObject([...headers].map(([name, values]) => [name, [...values]])),
  });
}

const JSON_TYPE = /^\s*application\/(?:[^;/\s]+\+)?json\s*(?:;|$)/i;

/** Null when it is of another type, or not what it says it is. */
function decoded(body: string, contentType: string, { json, yaml }: Decoding, checkDeadline: () => void): Value {
  try {
    if (json || JSON_TYPE.test(contentType)) return parseJson(body);
    if (yaml || /application\/(?:x-)?yaml/.test(contentType)) return readYaml(body, checkDeadline);
    return null;
  } catch {
    return null;
  }
}

export const httpBuiltins: readonly Builtin[] = [
  { name: 'http.send', arity: 1, run: (ctx, request) => send(ctx, objectAt(1, request)) },
];
