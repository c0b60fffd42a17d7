import type { FileRegistry } from '@bufbuild/protobuf';
import type { RequestFacts } from '../model/facts.ts';
import type { Json } from '../model/json.ts';
import { depthOf, parseExact } from '../values/json.ts';
import { readGrpcBody } from './grpc-body.ts';
import { headerParameters, parseMultipart } from './multipart.ts';
import { parseQuery } from './query.ts';

/** `value` is null where there is nothing to parse; `truncated` when only the beginning of the body arrived. */
export type ParsedBody = { readonly value: Json; readonly truncated: boolean };

const nothing: ParsedBody = { value: null, truncated: false };
const truncated: ParsedBody = { value: null, truncated: true };
/** Deeper documents would overflow the stack of a recursive reader. */
const MAX_JSON_DEPTH = 1000;

/** Parses the body by its content type, as opa-envoy-plugin does; `ignoresCase`: of the names of headers. Throws when the body is not what its type says. */
export function parseBody(
  facts: RequestFacts,
  ignoresCase: boolean,
  path: readonly string[],
  registry: FileRegistry | undefined,
): ParsedBody {
  const header = (name: string): string | undefined => headerOf(facts.headers, name, ignoresCase);
  if (header('x-envoy-auth-partial-body') === 'true') return truncated;
  const type = header('content-type');
  if (type === undefined) return nothing;
  if (type.includes('application/grpc') && !type.includes('application/json')) {
    if (registry === undefined || facts.rawBody.byteLength === 0) return nothing;
    const body = readGrpcBody(facts.rawBody, path, registry);
    if (body.kind === 'message') return { value: body.value, truncated: false };
    return body.kind === 'truncated' ? truncated : nothing;
  }
  const parse = parserFor(type);
  if (parse === undefined) return nothing;
  const text = facts.body !== '' ? facts.body : Buffer.from(facts.rawBody).toString('utf8');
  if (text === '') return nothing;
  const received = facts.body !== '' ? Buffer.byteLength(facts.body) : facts.rawBody.byteLength;
  if (isTruncated(header('content-length'), received)) return truncated;
  return { value: parse(text), truncated: false };
}

/** `name` is in lower case. */
function headerOf(headers: RequestFacts['headers'], name: string, ignoresCase: boolean): string | undefined {
  for (const header of headers) if ((ignoresCase ? header.lower : header.name) === name) return header.value;
  return undefined;
}

function parserFor(type: string): ((text: string) => Json) | undefined {
  if (type.includes('application/json')) return parseJson;
  if (type.includes('application/x-www-form-urlencoded')) return parseQuery;
  if (!type.includes('multipart/form-data')) return undefined;
  return (text) => {
    const boundary = headerParameters(type).parameters.get('boundary');
    return boundary === undefined ? null : parseMultipart(text, boundary);
  };
}

function parseJson(text: string): Json {
  if (depthOf(text) > MAX_JSON_DEPTH) throw new SyntaxError('nested too deep');
  return parseExact(text);
}

function isTruncated(contentLength: string | undefined, received: number): boolean {
  if (contentLength === undefined) return false;
  if (!/^[+-]?[0-9]{1,19}$/.test(contentLength)) throw new SyntaxError('content-length is not a number');
  return Number(contentLength) > received;
}
