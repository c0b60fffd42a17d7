import { type Header, MARK, type RequestFacts } from '../model/facts.ts';
import type { Json, JsonObject } from '../model/json.ts';
import { emptyObject, isObject } from '../values/json.ts';
import { messageOf } from '../values/request-message.ts';
import { decode, tableOf } from './decode.ts';
import { CheckRequestSchema } from './gen/envoy/service/auth/v3/external_auth_pb.ts';
import { planOf } from './message-plan.ts';
import { type Transcoded, transcode, transcodeRead } from './transcode.ts';

const table = tableOf(CheckRequestSchema);
const plan = planOf(CheckRequestSchema, {
  'attributes.request.http.method': 'method',
  'attributes.request.http.path': 'path',
  'attributes.request.http.host': 'host',
  'attributes.request.http.fragment': 'fragment',
  'attributes.request.http.body': 'body',
  'attributes.request.http.headers': 'header',
  'attributes.source.principal': 'sourcePrincipal',
  'attributes.source.address.socketAddress.address': 'sourceAddress',
});
const nothing: JsonObject = Object.freeze(emptyObject());
const noBytes = new Uint8Array();
const noHeaders: readonly Header[] = [];

/**
 * CheckRequest bytes (envoy.service.auth.v3.CheckRequest) to facts. The bytes have to stay as they are while the facts are
 * used. Throws WireError when they are no CheckRequest.
 */
export function readRequest(bytes: Buffer): RequestFacts {
  const transcoded = transcode(bytes, plan);
  return transcoded === undefined ? factsOf(decode(bytes, table)) : factsIn(bytes, transcoded);
}

/** Facts from the strings of a message; one that was transcoded has no bytes and no lists. */
function factsIn(bytes: Buffer, { text, strings }: Transcoded): RequestFacts {
  const { places, spans } = strings;
  const headers: Header[] = [];
  const facts: { -readonly [fact in keyof RequestFacts]: RequestFacts[fact] } = {
    message: {
      text,
      strings,
      tree: () => decode(bytes, table),
      textOf: (reads) => transcodeRead(bytes, plan, reads),
    },
    ...{ method: '', path: '', host: '', fragment: '', isHttp: true, headers, headerList: noHeaders },
    ...{ body: '', rawBody: noBytes, sourcePrincipal: '', sourceAddress: '' },
  };
  for (let i = 0; i < places.length; i++) {
    const place = places[i];
    if (place?.fact === undefined) continue;
    const value = stringAt(text, spans, i);
    if (place.fact === 'header') headers.push({ name: place.name, lower: place.lower, value });
    else facts[place.fact] = value;
  }
  return facts.method === '' ? { ...facts, isHttp: isObject(httpOf(facts.message.tree())) } : facts;
}

function stringAt(text: string, spans: readonly number[], i: number): string {
  const from = spans[i * 3] ?? 0;
  const to = spans[i * 3 + 1] ?? 0;
  // Most stand in JSON as they are.
  if (spans[i * 3 + 2] !== MARK.escaped) return text.slice(from + 1, to - 1);
  return JSON.parse(text.slice(from, to)) as string;
}

const objectAt = (parent: JsonObject, key: string): JsonObject => {
  const value = parent[key];
  return isObject(value) ? value : nothing;
};
const textAt = (parent: JsonObject, key: string): string => {
  const value = parent[key];
  return typeof value === 'string' ? value : '';
};

const httpOf = (message: JsonObject): Json | undefined => objectAt(objectAt(message, 'attributes'), 'request')['http'];

/** Facts from a CheckRequest that is JSON already, in the spelling of `input`. */
function factsOf(message: JsonObject): RequestFacts {
  const source = objectAt(objectAt(message, 'attributes'), 'source');
  const found = httpOf(message);
  const http = isObject(found) ? found : nothing;
  const headers = objectAt(http, 'headers');
  const rawBody = textAt(http, 'rawBody');
  return {
    message: messageOf(message),
    method: textAt(http, 'method'),
    path: textAt(http, 'path'),
    host: textAt(http, 'host'),
    fragment: textAt(http, 'fragment'),
    isHttp: isObject(found),
    headers: Object.keys(headers).map((name) => headerOf(name, textAt(headers, name))),
    headerList: headerList(objectAt(http, 'headerMap')['headers']),
    body: textAt(http, 'body'),
    rawBody: rawBody === '' ? noBytes : Buffer.from(rawBody, 'base64'),
    sourcePrincipal: textAt(source, 'principal'),
    sourceAddress: textAt(objectAt(objectAt(source, 'address'), 'socketAddress'), 'address'),
  };
}

const headerOf = (name: string, value: string): Header => ({ name, lower: name.toLowerCase(), value });

function headerList(entries: Json | undefined): RequestFacts['headerList'] {
  if (!Array.isArray(entries)) return [];
  return entries.filter(isObject).map((entry) => {
    const raw = textAt(entry, 'rawValue');
    const value = raw === '' ? textAt(entry, 'value') : Buffer.from(raw, 'base64').toString('latin1');
    return headerOf(textAt(entry, 'key'), value);
  });
}
