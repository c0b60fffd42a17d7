import { appendActions, type Decision, type HeaderToSet } from '../model/decision.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { isObject } from '../values/json.ts';

/** A policy's result has a shape that cannot be turned into an answer. The message names the field. */
export class DecisionError extends Error {
  override readonly name = 'DecisionError';
}

/** Every status that Envoy's enum knows (envoy.type.v3.StatusCode), which is what a denied_response may carry. */
const envoyStatuses: ReadonlySet<number> = new Set([
  100, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403,
  404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 426, 428, 429, 431, 500,
  501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]);

const none: readonly never[] = [];
const plain = {
  headers: none,
  responseHeadersToAdd: none,
  requestHeadersToRemove: none,
  queryParametersToSet: none,
  queryParametersToRemove: none,
  httpStatus: 403,
  body: '',
  dynamicMetadata: undefined,
  reasons: none,
};

/**
 * A policy's result as a Decision: a boolean, or an object with a boolean `allowed`. Fields that only an allow (or only
 * a denial) uses are looked at only then, as opa-envoy-plugin does. Throws DecisionError.
 */
export function toDecision(result: Json): Decision {
  if (typeof result === 'boolean') return { ...plain, allowed: result, shape: 'boolean', result };
  if (!isObject(result)) throw new DecisionError('the result is neither a boolean nor an object');
  const allowed = result['allowed'];
  if (typeof allowed !== 'boolean') throw new DecisionError('`allowed` is not a boolean');
  const common = {
    ...plain,
    shape: 'object' as const,
    result,
    headers: headersAt(result, 'headers'),
    dynamicMetadata: metadataOf(result),
    reasons: reasonsOf(result),
  };
  if (!allowed) return { ...common, allowed: false, httpStatus: statusOf(result), body: bodyOf(result) };
  return {
    ...common,
    allowed: true,
    requestHeadersToRemove: stringsAt(result, 'request_headers_to_remove'),
    responseHeadersToAdd: headersAt(result, 'response_headers_to_add'),
    queryParametersToRemove: stringsAt(result, 'query_parameters_to_remove'),
    queryParametersToSet: parametersAt(result, 'query_parameters_to_set'),
  };
}

function stringsAt(result: JsonObject, field: string): readonly string[] {
  const value = result[field];
  if (value === undefined) return none;
  if (!Array.isArray(value)) throw new DecisionError(`\`${field}\` is not a list`);
  return value.map((item: Json) => textOf(item, field));
}

function textOf(value: Json | undefined, field: string): string {
  if (typeof value !== 'string') throw new DecisionError(`\`${field}\` holds something that is not a string`);
  // A lone surrogate has no UTF-8, and protobuf strings are UTF-8.
  if (!value.isWellFormed()) throw new DecisionError(`\`${field}\` holds text that is not UTF-8`);
  return value;
}

const HEADER_NAME = /^:?[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters end a header
const HEADER_BREAK = /[\u0000\r\n]/;

function headersAt(result: JsonObject, field: string): readonly HeaderToSet[] {
  const value = result[field];
  if (value === undefined) return none;
  const maps = Array.isArray(value) ? (value as readonly Json[]) : [value];
  return maps.flatMap((map) => {
    if (!isObject(map)) throw new DecisionError(`\`${field}\` is not an object`);
    return Object.keys(map)
      .sort()
      .flatMap((name) => headerOf(name, map[name] as Json, field));
  });
}

function headerOf(name: string, value: Json, field: string): HeaderToSet[] {
  if (!HEADER_NAME.test(name)) throw new DecisionError(`\`${field}\` holds a name that is no header name`);
  if (Array.isArray(value)) return value.map((item: Json) => ({ name, value: headerText(item, field) }));
  if (!isObject(value)) return [{ name, value: headerText(value, field) }];
  const action = appendActions.find((known) => known === value['append_action']);
  if (action === undefined) throw new DecisionError(`\`${field}.${name}.append_action\` is not one of Envoy's`);
  return [{ name, value: headerText(value['value'], field), appendAction: action }];
}

function headerText(value: Json | undefined, field: string): string {
  const text = textOf(value, field);
  if (HEADER_BREAK.test(text)) throw new DecisionError(`\`${field}\` holds a value with a line break or NUL`);
  return text;
}

function parametersAt(result: JsonObject, field: string): readonly (readonly [string, string])[] {
  const value = result[field];
  if (value === undefined) return none;
  if (!isObject(value)) throw new DecisionError(`\`${field}\` is not an object`);
  return Object.keys(value)
    .sort()
    .flatMap((name) => {
      const item = value[name];
      const items = Array.isArray(item) ? (item as readonly Json[]) : [item];
      return items.map((one) => [textOf(name, field), textOf(one, field)] as const);
    });
}

function statusOf(result: JsonObject): number {
  const value = result['http_status'];
  if (value === undefined) return 403;
  if (typeof value !== 'number' || !envoyStatuses.has(value)) {
    throw new DecisionError('`http_status` is not a status that Envoy knows');
  }
  return value;
}

function bodyOf(result: JsonObject): string {
  const value = result['body'];
  return value === undefined ? '' : textOf(value, 'body');
}

function metadataOf(result: JsonObject): JsonObject | undefined {
  const value = result['dynamic_metadata'];
  if (value === undefined) return undefined;
  if (!isObject(value)) throw new DecisionError('`dynamic_metadata` is not an object');
  requireWellFormed(value);
  return value;
}

function requireWellFormed(value: Json): void {
  if (typeof value === 'string') textOf(value, 'dynamic_metadata');
  else if (Array.isArray(value)) for (const item of value as readonly Json[]) requireWellFormed(item);
  else if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      textOf(key, 'dynamic_metadata');
      requireWellFormed(item);
    }
  }
}

/** `reason` and `reasons` are ours and for the log only, so an odd one is passed over instead of changing the verdict. */
function reasonsOf(result: JsonObject): readonly string[] {
  const one = result['reason'];
  const many = result['reasons'];
  const listed = Array.isArray(many) ? many : [];
  return [one, ...listed].filter((item): item is string => typeof item === 'string');
}
