import type { FileRegistry } from '@bufbuild/protobuf';
import { messageOf } from '../lib/message.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity } from '../model/identity.ts';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, stringify } from '../values/json.ts';
import { parseBody } from './body.ts';
import { type Outcome, refuse } from './outcome.ts';
import { parsePath, queryOf } from './query.ts';
import type { PathMode } from './screen.ts';

export type InputOptions = {
  readonly paths: PathMode;
  readonly skipBody: boolean;
  readonly protoDescriptor: FileRegistry | undefined;
};

export type Input = {
  /** JSON text for the engine. */
  readonly text: string;
  /** The same, for the decision record. */
  readonly document: JsonObject;
};

const version: JsonObject = { ext_authz: 'v3', encoding: 'protojson' };

/** Builds the input document: the message, what is parsed from it, and `identity` and `context` when they are configured. */
export function buildInput(
  facts: RequestFacts,
  identity: Identity | undefined,
  context: JsonObject | undefined,
  options: InputOptions,
): { readonly ok: true; readonly input: Input } | { readonly ok: false; readonly outcome: Outcome } {
  const derived: MutableJsonObject = emptyObject();
  derived['version'] = version;
  const headers = lowerCased(facts.headers, options.paths);
  let path: string[];
  try {
    path = parsePath(facts.path);
  } catch (error) {
    return { ok: false, outcome: refuse('path_ambiguous', messageOf(error)) };
  }
  derived['parsed_path'] = path;
  try {
    derived['parsed_query'] = queryOf(facts.path);
  } catch (error) {
    return { ok: false, outcome: refuse('query_unreadable', messageOf(error)) };
  }
  if (!options.skipBody) {
    try {
      const body = parseBody(facts, headers, path, options.protoDescriptor);
      derived['parsed_body'] = body.value;
      derived['truncated_body'] = body.truncated;
    } catch (error) {
      return { ok: false, outcome: refuse('body_unreadable', error instanceof Error ? error.name : 'unreadable') };
    }
  }
  if (facts.sourcePrincipal !== '') derived['source_principal'] = facts.sourcePrincipal;
  if (identity !== undefined) derived['identity'] = identity as unknown as Json;
  if (context !== undefined) derived['context'] = context;
  const message = headers === facts.headers ? facts.message : withHeaders(facts.message, headers);
  const document: MutableJsonObject = Object.assign(emptyObject(), message, derived);
  return { ok: true, input: { text: stringify(document), document } };
}

/** HTTP header names have no case (RFC 9110 section 5.1); policies compare the lower-case spelling that Envoy sends. */
function lowerCased(headers: RequestFacts['headers'], paths: PathMode): RequestFacts['headers'] {
  if (paths === 'off' || !Object.keys(headers).some((name) => /[A-Z]/.test(name))) return headers;
  const lower = emptyObject() as Record<string, string>;
  for (const [name, value] of Object.entries(headers)) lower[name.toLowerCase()] = value;
  return lower;
}

function withHeaders(message: JsonObject, headers: RequestFacts['headers']): JsonObject {
  const attributes = message['attributes'] as JsonObject;
  const request = attributes['request'] as JsonObject;
  const http = { ...(request['http'] as JsonObject), headers };
  return { ...message, attributes: { ...attributes, request: { ...request, http } } };
}
