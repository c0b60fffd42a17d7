import type { RequestFacts } from '../model/facts.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { isObject } from '../values/json.ts';
import { decode, tableOf } from './decode.ts';
import { CheckRequestSchema } from './gen/envoy/service/auth/v3/external_auth_pb.ts';

const table = tableOf(CheckRequestSchema);
const nothing: JsonObject = Object.freeze(Object.create(null) as JsonObject);
const noBytes = new Uint8Array();

const objectAt = (parent: JsonObject, key: string): JsonObject => {
  const value = parent[key];
  return isObject(value) ? value : nothing;
};
const textAt = (parent: JsonObject, key: string): string => {
  const value = parent[key];
  return typeof value === 'string' ? value : '';
};

/**
 * CheckRequest bytes (envoy.service.auth.v3.CheckRequest) to facts.
 * Throws WireError when the bytes are no CheckRequest.
 */
export function readRequest(bytes: Buffer): RequestFacts {
  return factsOf(decode(bytes, table));
}

/** Facts from a CheckRequest that is JSON already, in the spelling of `input`. */
function factsOf(message: JsonObject): RequestFacts {
  const attributes = objectAt(message, 'attributes');
  const request = objectAt(attributes, 'request');
  const http = objectAt(request, 'http');
  const rawBody = textAt(http, 'rawBody');
  return {
    message,
    method: textAt(http, 'method'),
    path: textAt(http, 'path'),
    host: textAt(http, 'host'),
    fragment: textAt(http, 'fragment'),
    isHttp: isObject(request['http']),
    headers: objectAt(http, 'headers') as Readonly<Record<string, string>>,
    headerList: headerList(objectAt(http, 'headerMap')['headers']),
    body: textAt(http, 'body'),
    rawBody: rawBody === '' ? noBytes : Buffer.from(rawBody, 'base64'),
    sourcePrincipal: textAt(objectAt(attributes, 'source'), 'principal'),
  };
}

function headerList(entries: Json | undefined): RequestFacts['headerList'] {
  if (!Array.isArray(entries)) return [];
  return entries.filter(isObject).map((entry) => {
    const raw = textAt(entry, 'rawValue');
    return [textAt(entry, 'key'), raw === '' ? textAt(entry, 'value') : Buffer.from(raw, 'base64').toString('latin1')];
  });
}
