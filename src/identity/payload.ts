import type { MetadataConfig } from '../config/schema.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, isObject, stringify } from '../values/json.ts';
import { TokenError } from './claims.ts';

/** A token without its text: what Envoy's jwt_authn filter leaves of one that it has verified. */
export type Payload = {
  readonly claims: JsonObject;
  /** The JOSE header; undefined when it is not asked for. */
  readonly header: JsonObject | undefined;
};

const MAX_DEPTH = 32;
/** As long as a token may be, characters and values together. */
const MAX_SIZE = 8192;

/**
 * The payload that a CheckRequest carries (envoy.config.core.v3.Metadata.filter_metadata of
 * AttributeContext.metadata_context); undefined when there is none. Throws TokenError when what is there cannot be one.
 */
export function payloadOf({ message }: RequestFacts, at: MetadataConfig): Payload | undefined {
  let found: Json | undefined = message.tree();
  for (const name of ['attributes', 'metadataContext', 'filterMetadata', at.namespace]) found = member(found, name);
  const claims = member(found, at.key);
  if (claims === undefined) return undefined;
  const left = { size: MAX_SIZE };
  return {
    claims: objectOf(claims, left, 'payload'),
    header: at.header_key === undefined ? undefined : objectOf(member(found, at.header_key), left, 'header'),
  };
}

const member = (value: Json | undefined, name: string): Json | undefined =>
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;

function objectOf(value: Json | undefined, left: { size: number }, what: string): JsonObject {
  const copy = value === undefined ? undefined : plain(value, left, 0);
  if (!isObject(copy)) throw new TokenError('token_malformed', `the ${what} in the metadata is no object`);
  return copy;
}

/** A bounded copy in which each number is what a token would have spelled: Struct has only doubles. */
function plain(value: Json, left: { size: number }, depth: number): Json {
  if (depth > MAX_DEPTH) throw new TokenError('token_malformed', 'the metadata is nested too deep');
  left.size -= typeof value === 'string' ? value.length : 1;
  if (left.size < 0) throw new TokenError('token_too_large', `more than ${MAX_SIZE} characters in the metadata`);
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((item: Json) => plain(item, left, depth + 1));
  if (!isObject(value)) return Number(stringify(value));
  const copy: MutableJsonObject = emptyObject();
  for (const [name, item] of Object.entries(value)) {
    left.size -= name.length;
    copy[name] = plain(item, left, depth + 1);
  }
  return copy;
}
