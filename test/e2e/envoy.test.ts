import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ask, type Envoy, startEnvoy, startUpstream } from '../support/envoy.ts';
import { eventually } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';

const policy = `package envoy.authz

default allow := false

path := input.parsed_path[0]

allow if path == "plain"

allow := {
  "allowed": true,
  "headers": {"x-user": "ann", "x-many": ["1", "2"], "x-set": {"value": "policy", "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
  "request_headers_to_remove": ["x-secret"],
  "response_headers_to_add": {"x-answer": "42"},
  "query_parameters_to_set": {"tenant": "acme"},
  "query_parameters_to_remove": ["debug"],
  "dynamic_metadata": {"team": "blue"},
} if path == "rich"

allow := {"allowed": false, "http_status": 402, "body": "pay first", "headers": {"x-why": "unpaid"}} if path == "pay"

allow if {
  path == "body"
  input.parsed_body.open == true
  input.truncated_body == false
}
`;

describe('through a real Envoy', () => {
  const suite = createScope();
  after(suite.close);
  let envoy: Envoy;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;

  before(async () => {
    const folder = scratchFolder(suite);
    const bundle = buildPolicy(policy, folder);
    const server = await startPostern(suite, { args: ['--bundle', bundle], folder });
    upstream = await startUpstream(suite);
    envoy = await startEnvoy(suite, { folder, servers: [server.grpc], upstream: upstream.address, bodyBytes: 64 });
  });

  test('an allowed request reaches the upstream', async () => {
    const reply = await ask(envoy.port, '/plain');
    assert.equal(reply.status, 200);
    assert.equal(upstream.seen.at(-1)?.url, '/plain');
  });

  test('a denied request does not, and Envoy answers 403', async () => {
    const before = upstream.seen.length;
    assert.equal((await ask(envoy.port, '/nothing')).status, 403);
    assert.equal(upstream.seen.length, before);
  });

  test('headers, query parameters and metadata of an allow arrive where they belong', async () => {
    const reply = await ask(envoy.port, '/rich?debug=1&a=b', {
      headers: { 'x-secret': 's', 'x-set': 'client', 'x-user': 'forged' },
    });
    assert.equal(reply.status, 200);
    assert.equal(reply.headers['x-answer'], '42');
    const seen = upstream.seen.at(-1);
    assert.equal(seen?.headers['x-set'], 'policy');
    assert.equal(seen?.headers['x-secret'], undefined);
    // Without an append action Envoy sets a header, so that the last of several stays; the peer's answer is the same.
    assert.equal(seen?.headers['x-many'], '2');
    assert.equal(seen?.url, '/rich?a=b&tenant=acme');
    // Envoy writes its access log once a second.
    const line = await eventually(async () => envoy.metadata().find((text) => text.includes('blue')));
    const metadata = JSON.parse(line) as { readonly [key: string]: unknown };
    assert.equal(metadata['team'], 'blue');
    assert.match(String(metadata['decision_id']), /^[0-9a-f-]{36}$/);
  });

  test("a denial's status, body and headers reach the client", async () => {
    const reply = await ask(envoy.port, '/pay');
    assert.deepEqual([reply.status, reply.body, reply.headers['x-why']], [402, 'pay first', 'unpaid']);
  });

  test('a policy sees the body, and that a longer one was cut off', async () => {
    const headers = { 'content-type': 'application/json' };
    const short = await ask(envoy.port, '/body', { method: 'POST', headers, body: '{"open":true}' });
    assert.equal(short.status, 200);
    const body = `{"open":true,"more":"${'x'.repeat(200)}"}`;
    assert.equal((await ask(envoy.port, '/body', { method: 'POST', headers, body })).status, 403);
    assert.equal((await ask(envoy.port, '/body', { method: 'POST', headers, body: '{"open":' })).status, 400);
  });

  test('ambiguous paths and two Authorization values are refused with 400', async () => {
    for (const path of ['//plain', '/x/../plain', '/x/%2e%2e/plain', '/plain%00', '/%zz', '/a\\plain']) {
      assert.equal((await ask(envoy.port, path)).status, 400, path);
    }
    const headers = { authorization: ['Bearer a', 'Bearer b'] };
    assert.equal((await ask(envoy.port, '/plain', { headers })).status, 400);
  });
});
