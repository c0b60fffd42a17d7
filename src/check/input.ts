import type { FileRegistry } from '@bufbuild/protobuf';
import { messageOf as messageOfError } from '../lib/message.ts';
import type { RequestFacts, RequestMessage } from '../model/facts.ts';
import type { Identity } from '../model/identity.ts';
import { type InputText, joined, textOf } from '../model/input-text.ts';
import type { JsonObject } from '../model/json.ts';
import type { Reads } from '../model/reads.ts';
import { emptyObject, stringify } from '../values/json.ts';
import { messageOf } from '../values/request-message.ts';
import { parseBody } from './body.ts';
import { identityText } from './identity-text.ts';
import { type Outcome, refuse } from './outcome.ts';
import { parsePath, queryText } from './query.ts';
import type { PathMode } from './screen.ts';

export type InputOptions = {
  readonly paths: PathMode;
  readonly skipBody: boolean;
  readonly protoDescriptor: FileRegistry | undefined;
};

export type Input = {
  /** JSON text for the engine: what the policy reads of the input, or more. */
  readonly text: string;
  /** All of it, for the decision record. */
  readonly whole: InputText;
};

const version = stringify({ ext_authz: 'v3', encoding: 'protojson' });

/** Builds the input document: the message, what is parsed from it, and `identity` and `context` when they are configured. */
export function buildInput(
  facts: RequestFacts,
  identity: Identity | undefined,
  context: JsonObject | undefined,
  options: InputOptions,
  reads: Reads = true,
): { readonly ok: true; readonly input: Input } | { readonly ok: false; readonly outcome: Outcome } {
  const derived: Members = { all: '', read: '', reads };
  add(derived, 'version', version);
  let path: string[];
  try {
    path = parsePath(facts.path);
  } catch (error) {
    return { ok: false, outcome: refuse('path_ambiguous', messageOfError(error)) };
  }
  add(derived, 'parsed_path', stringify(path));
  try {
    add(derived, 'parsed_query', queryText(facts.path));
  } catch (error) {
    return { ok: false, outcome: refuse('query_unreadable', messageOfError(error)) };
  }
  if (!options.skipBody) {
    try {
      const body = parseBody(facts, options.paths !== 'off', path, options.protoDescriptor);
      add(derived, 'parsed_body', stringify(body.value));
      add(derived, 'truncated_body', String(body.truncated));
    } catch (error) {
      return { ok: false, outcome: refuse('body_unreadable', error instanceof Error ? error.name : 'unreadable') };
    }
  }
  if (facts.sourcePrincipal !== '') add(derived, 'source_principal', stringify(facts.sourcePrincipal));
  if (context !== undefined) add(derived, 'context', stringify(context));
  const caller = identity === undefined ? undefined : identityText(identity, below(reads, 'identity'));
  const message = lowerCased(facts, options.paths);
  const whole: InputText = { message, derived: derived.all, identity: caller?.whole };
  if (reads === true) return { ok: true, input: { text: textOf(whole), whole } };
  const readIdentity = Object.hasOwn(reads, 'identity') ? caller?.read : undefined;
  return { ok: true, input: { text: joined(message.textOf(reads), derived.read, readIdentity), whole } };
}

const below = (reads: Reads, name: string): Reads =>
  reads === true || !Object.hasOwn(reads, name) ? true : (reads[name] ?? true);

/** Members of the input behind those of the message, each with a comma before it. */
type Members = { all: string; read: string; readonly reads: Reads };

function add(members: Members, name: string, text: string): void {
  const member = `,"${name}":${text}`;
  members.all += member;
  if (members.reads !== true && Object.hasOwn(members.reads, name)) members.read += member;
}

/** HTTP header names have no case (RFC 9110 section 5.1); policies compare the lower-case spelling that Envoy sends. */
function lowerCased({ message, headers }: RequestFacts, paths: PathMode): RequestMessage {
  if (paths === 'off' || headers.every(({ name, lower }) => name === lower)) return message;
  const tree = message.tree();
  const lower = emptyObject();
  for (const header of headers) lower[header.lower] = header.value;
  const attributes = tree['attributes'] as JsonObject;
  const request = attributes['request'] as JsonObject;
  const http = { ...(request['http'] as JsonObject), headers: lower };
  return messageOf({ ...tree, attributes: { ...attributes, request: { ...request, http } } });
}
