import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Ask, ask, startEnvoy, startUpstream } from '../support/envoy.ts';
import { buildPolicy, type StartOptions, scratchFolder, startPostern } from '../support/servers.ts';

/** A policy that breaks in the way the path names, and allows everything else. */
const fragile = `package envoy.authz

path := input.parsed_path[0]

allow if path == "fine"

allow if {
  path == "memory"
  count([x | some x in numbers.range(1, 100000000)]) > 0
}

allow if {
  path == "deep"
  json.unmarshal(input.attributes.request.http.headers["x-deep"])
}

allow := {"allowed": "yes"} if path == "shape"

conflict := 1 if path == "conflict"
conflict := 2 if startswith(input.attributes.request.http.path, "/conflict")

allow if conflict > 0
`;

type Fault = {
  readonly name: string;
  readonly start: (folder: string) => Omit<StartOptions, 'folder'>;
  readonly path: string;
  readonly status: number;
  readonly ask?: Ask;
};

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const withPolicy = (folder: string): Omit<StartOptions, 'folder'> => ({
  args: ['--bundle', buildPolicy(fragile, folder)],
});

const faults: readonly Fault[] = [
  { name: 'no policy at all', start: () => ({ untilReady: false }), path: '/fine', status: 503 },
  {
    name: 'a bundle that cannot be read',
    start: (folder) => {
      writeFileSync(join(folder, 'bad.tar.gz'), 'nonsense');
      const resource = `file://${join(folder, 'bad.tar.gz')}`;
      return { untilReady: false, config: { bundles: { main: { resource } } } };
    },
    path: '/fine',
    status: 503,
  },
  {
    name: 'an issuer whose keys cannot be fetched',
    start: (folder) => {
      const issuers = [{ issuer: 'https://i.test/', jwks_uri: 'http://127.0.0.1:1/jwks' }];
      return { ...withPolicy(folder), untilReady: false, config: { postern: { identity: { issuers } } } };
    },
    path: '/fine',
    status: 503,
    ask: { headers: { authorization: `Bearer ${part({ alg: 'RS256' })}.${part({ iss: 'https://i.test/' })}.AA` } },
  },
  { name: 'an undefined decision', start: withPolicy, path: '/undefined', status: 403 },
  { name: 'a decision of an odd shape', start: withPolicy, path: '/shape', status: 403 },
  { name: 'conflicting rules', start: withPolicy, path: '/conflict', status: 403 },
  { name: 'an evaluation out of memory', start: withPolicy, path: '/memory', status: 503 },
  {
    name: 'an evaluation that overflows its stack',
    start: withPolicy,
    path: '/deep',
    status: 503,
    ask: { headers: { 'x-deep': '['.repeat(50_000) } },
  },
  {
    name: 'a message above the limit',
    start: (folder) => {
      const base = withPolicy(folder);
      return { ...base, config: { plugins: { envoy_ext_authz_grpc: { 'grpc-max-recv-msg-size': 4096 } } } };
    },
    path: '/fine',
    status: 413,
    ask: { method: 'POST', body: 'x'.repeat(500_000) },
  },
];

async function encounter(context: TestContext, fault: Fault): Promise<void> {
  const folder = scratchFolder(context);
  const server = await startPostern(context, { ...fault.start(folder), folder });
  const upstream = await startUpstream(context);
  const envoy = await startEnvoy(context, {
    folder,
    servers: [server.grpc],
    upstream: upstream.address,
    failureModeAllow: true,
    bodyBytes: 1_000_000,
  });
  for (let i = 0; i < 3; i++) {
    const reply = await ask(envoy.port, fault.path, fault.ask);
    assert.equal(reply.status, fault.status);
    assert.match(reply.body, /^\{"error":"[a-z_]+","decision_id":"[0-9a-f-]{36}"\}$/);
  }
  assert.equal(upstream.seen.length, 0, 'nothing may reach the upstream');
  assert.equal(await envoy.stat('http.in.ext_authz.failure_mode_allowed'), 0);
  assert.equal(await envoy.stat('http.in.ext_authz.error'), 0);
  if (fault.status !== 503 || fault.path !== '/fine') {
    assert.equal((await ask(envoy.port, '/fine')).status, 200, 'others are served afterwards');
  }
}

describe('with failure_mode_allow nothing that is broken here lets a request through', () => {
  for (const fault of faults) test(fault.name, (context) => encounter(context, fault));
});
