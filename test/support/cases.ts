import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import { parse } from 'yaml';
import type { Json } from '../../src/model/json.ts';
import { emptyObject, isObject, parseExact, stringify } from '../../src/values/json.ts';
import { encodeRequest, type JsonObject, type Reply, readResponse } from './grpc.ts';
import { root } from './process.ts';

/*
 * Golden cases: what is sent, and (in a .want.json file beside it) what opa-envoy-plugin answered when it was recorded.
 * `request` is a CheckRequest as protojson; `http` is short for its HTTP part, `decisions` for what the answer policy is
 * to say.
 */

export type Policy = 'echo' | 'answer';
export type Case = { readonly name: string; readonly request: Uint8Array };
export type Group = {
  readonly file: string;
  readonly policy: Policy;
  /** Configuration beside bundle and addresses. */
  readonly config: { readonly [key: string]: unknown };
  readonly cases: readonly Case[];
};

type CaseFile = {
  readonly policy: Policy;
  readonly config?: Group['config'];
  readonly cases?: readonly { readonly name: string; readonly request: unknown; readonly config?: Group['config'] }[];
  readonly http?: readonly object[];
  readonly decisions?: readonly unknown[];
};

export const casesFolder = join(root, 'test/cases');

/** Every group of cases; those with a configuration of their own are groups of their own. */
export function readGroups(): Group[] {
  return readdirSync(casesFolder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .flatMap((file) => groupsOf(file, parse(readFileSync(join(casesFolder, file), 'utf8')) as CaseFile));
}

function groupsOf(file: string, content: CaseFile): Group[] {
  const { policy, config = {} } = content;
  const plain: Case[] = [
    ...(content.http ?? []).map((http) => ({
      name: JSON.stringify(http),
      request: encodeRequest({ attributes: { request: { http } } }),
    })),
    ...(content.decisions ?? []).map((decision) => ({
      name: JSON.stringify(decision),
      request: encodeRequest({ attributes: { contextExtensions: { decision: JSON.stringify(decision) } } }),
    })),
  ];
  const special = new Map<string, { config: Group['config']; cases: Case[] }>();
  for (const { name, request, config: own = config } of content.cases ?? []) {
    const key = JSON.stringify(own);
    const group = special.get(key) ?? { config: own, cases: [] };
    group.cases.push({ name, request: encodeRequest(request) });
    special.set(key, group);
  }
  const groups = [...special.values()].map((group) => ({ file, policy, ...group }));
  return plain.length === 0 ? groups : [...groups, { file, policy, config, cases: plain }];
}

/** An answer without what changes from call to call: the decision's id, and the order of headers that Go's maps give. */
export type Golden = JsonObject;

/**
 * A reply in a form that can be compared. A gRPC error, and what Postern says in its stead, is `refused`: that is the
 * one difference it has on purpose. The echo policy's body is the input, in which keys have no order.
 */
export function goldenOf(reply: Reply): Golden {
  if ('grpcError' in reply) return { refused: true };
  const response = readResponse(reply.response);
  const denied = response['deniedResponse'] as JsonObject | undefined;
  const body = denied?.['body'];
  if (denied !== undefined && typeof body === 'string') {
    if (isRefusal(body)) return isBadRequest(denied) ? { unreadable: true } : { refused: true };
    if (body.startsWith('{"attributes"') || body.includes('"version":{')) denied['body'] = canonical(body);
    if (isBadRequest(denied) && !body.startsWith('{')) return { unreadable: true };
  }
  sortHeaders(response);
  return JSON.parse(canonical(JSON.stringify(response))) as Golden;
}

const isRefusal = (body: string): boolean => /^\{"error":"[a-z_]+","decision_id":"[0-9a-f-]{36}"\}$/.test(body);
const isBadRequest = (denied: JsonObject): boolean => (denied['status'] as JsonObject | undefined)?.['code'] === 400;

function sortHeaders(response: JsonObject): void {
  for (const part of ['okResponse', 'deniedResponse']) {
    for (const [field, value] of Object.entries((response[part] as JsonObject | undefined) ?? {})) {
      // Stable: several values of one name keep their order.
      if (Array.isArray(value) && field !== 'headersToRemove') value.sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
    }
  }
}

function nameOf(entry: JsonValue): string {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return String(entry);
  const header = entry['header'] as JsonObject | undefined;
  return String(header?.['key'] ?? entry['key'] ?? '');
}

/** JSON text with sorted keys and every digit kept. */
const canonical = (text: string): string => stringify(sorted(parseExact(text)));

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const result = emptyObject();
  for (const key of Object.keys(value).sort()) result[key] = sorted(value[key] ?? null);
  return result;
}
