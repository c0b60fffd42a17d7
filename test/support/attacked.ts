import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ecPair, edPair, forge, jwkOf, rsaPair } from './forge.ts';
import { type CheckClient, checkClient, httpRequest, readResponse } from './grpc.ts';
import type { Scope } from './scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern, type Tree } from './servers.ts';

/*
 * A started service with two issuers and everything that a token may come in, and what every attack on it must meet: a
 * refusal that says nothing, and a service that still answers the next one.
 */

const policy = `package envoy.authz

default allow := false

allow if input.identity.subject == "ann"

allow if {
	input.parsed_path[0] == "workload"
	input.identity.workload.spiffe_id == "spiffe://cluster.local/ns/web/sa/front"
}
`;

export const issuerA = 'https://a.test/';
/** Wants claims whose names JavaScript has plans for. */
export const issuerB = 'https://b.test/';
/** Stands in what no answer may repeat. */
export const CANARY = 'c4n4ry';

export const pairs = {
  rsa: rsaPair(),
  free: rsaPair(),
  psOnly: rsaPair(),
  ec: ecPair(),
  ec384: ecPair('P-384'),
  ed: edPair(),
  enc: rsaPair(),
  ops: rsaPair(),
  b: rsaPair(),
  foreign: rsaPair(),
  foreignEc: ecPair(),
};

/** The key sets as the issuers publish them. */
const keysA = [
  jwkOf(pairs.rsa, { kid: 'rsa', alg: 'RS256', use: 'sig' }),
  jwkOf(pairs.free, { kid: 'free' }),
  jwkOf(pairs.psOnly, { kid: 'ps', alg: 'PS256' }),
  jwkOf(pairs.ec, { kid: 'ec', alg: 'ES256' }),
  jwkOf(pairs.ec384, { kid: 'ec384' }),
  jwkOf(pairs.ed, { kid: 'ed', alg: 'EdDSA' }),
  jwkOf(pairs.enc, { kid: 'enc', use: 'enc' }),
  jwkOf(pairs.ops, { kid: 'ops', key_ops: ['encrypt', 'wrapKey'] }),
];
const keysB = [jwkOf(pairs.b, { kid: 'rsa' })];

export const now = (): number => Math.floor(Date.now() / 1000);
export const claims = (more: object = {}): { readonly [name: string]: unknown } => ({
  iss: issuerA,
  sub: 'ann',
  aud: 'api',
  iat: now(),
  exp: now() + 600,
  secret: CANARY,
  ...more,
});
export const header = (more: object = {}): object => ({ alg: 'RS256', kid: 'rsa', ...more });
export const goodToken = (): string => forge(header(), claims(), pairs.rsa, 'RS256');

export type Answer = {
  readonly grpc: number;
  readonly http: number | undefined;
  readonly headers: { readonly [name: string]: string };
  readonly body: string;
  readonly bytes: Buffer;
};

export type Attacked = {
  readonly server: Server;
  /** How often something connected to where tokens point. */
  readonly canaryHits: () => number;
  readonly canaryAddress: string;
  readonly ask: (request: Uint8Array) => Promise<Answer>;
  /** Fails unless the request is refused with this status and nothing else, and the next good one is let through. */
  readonly refused: (name: string, request: Uint8Array, http: number) => Promise<void>;
  readonly allowed: (name: string, request: Uint8Array) => Promise<void>;
};

export const bearer = (token: string): Uint8Array => httpRequest({ headers: { authorization: `Bearer ${token}` } });

export async function startAttacked(scope: Scope, config: Tree = {}): Promise<Attacked> {
  const folder = scratchFolder(scope);
  let hits = 0;
  const canaryAddress = await listen(scope, () => hits++);
  const keys = await serveKeys(scope);
  const identity = {
    token: { cookie: 'session', query: 'access_token' },
    rules: [{ paths: ['/workload/*'], token: 'optional' }],
    issuers: [
      { issuer: issuerA, jwks_uri: keys, audiences: ['api'] },
      { issuer: issuerB, jwks: { keys: keysB }, required_claims: ['__proto__', 'constructor', 'toString'] },
    ],
    workload: { trust_domains: ['cluster.local'] },
    ...config,
  };
  const server = await startPostern(scope, {
    folder,
    args: ['-b', buildPolicy(policy, folder)],
    config: { postern: { identity } },
  });
  const client = checkClient(server.grpc);
  scope.after(client.close);
  const good = goodToken();
  const ask = (request: Uint8Array): Promise<Answer> => answerOf(client, request);
  const allowed = async (name: string, request: Uint8Array): Promise<void> => {
    const answer = await ask(request);
    assert.equal(answer.grpc, 0, `${name}: ${answer.http} ${answer.body}`);
  };
  return {
    server,
    canaryHits: () => hits,
    canaryAddress,
    ask,
    allowed,
    refused: async (name, request, http) => {
      assertRefusal(name, await ask(request), http);
      await allowed(`the next one after ${name}`, bearer(good));
    },
  };
}

async function answerOf(client: CheckClient, request: Uint8Array): Promise<Answer> {
  const reply = await client.send(request);
  assert.ok('response' in reply, JSON.stringify(reply));
  const { status, deniedResponse } = readResponse(reply.response) as {
    readonly status?: { readonly code?: number };
    readonly deniedResponse?: {
      readonly status?: { readonly code?: number };
      readonly headers?: readonly { readonly header: { readonly key: string; readonly value: string } }[];
      readonly body?: string;
    };
  };
  return {
    grpc: status?.code ?? 0,
    http: deniedResponse?.status?.code,
    headers: Object.fromEntries((deniedResponse?.headers ?? []).map(({ header: { key, value } }) => [key, value])),
    body: deniedResponse?.body ?? '',
    bytes: reply.response,
  };
}

const CATEGORIES: { readonly [http: number]: string } = {
  400: 'bad_request',
  401: 'unauthenticated',
  403: 'forbidden',
  413: 'too_large',
  503: 'unavailable',
};

function assertRefusal(name: string, { grpc, http, headers, body, bytes }: Answer, wanted: number): void {
  assert.notEqual(grpc, 0, `${name} was let through`);
  assert.equal(http, wanted, name);
  const { decision_id: id, ...rest } = JSON.parse(body) as { readonly decision_id?: unknown };
  assert.deepEqual(rest, { error: CATEGORIES[wanted] }, name);
  assert.match(String(id), /^[0-9a-f-]{36}$/);
  // RFC 6750 section 3: error codes are fixed words, and nothing is said about why.
  const challenge = headers['www-authenticate'];
  if (wanted === 401) assert.match(String(challenge), /^Bearer(?: error="invalid_token")?$/, name);
  else assert.equal(challenge, undefined, name);
  const text = bytes.toString('latin1');
  for (const leak of [CANARY, 'eyJ', 'ann', 'Error', 'at ', '.ts', '.js', issuerA]) {
    assert.ok(!text.includes(leak), `${name} leaks ${leak}`);
  }
}

async function listen(scope: Scope, onHit: () => void): Promise<string> {
  const server = createServer((_request, response) => response.end(JSON.stringify({ keys: [foreignKey] })));
  server.on('connection', onHit).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const foreignKey = jwkOf(pairs.foreign, { kid: 'rsa', alg: 'RS256', use: 'sig' });

async function serveKeys(scope: Scope): Promise<string> {
  const server = createServer((_request, response) => response.end(JSON.stringify({ keys: keysA })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
}
