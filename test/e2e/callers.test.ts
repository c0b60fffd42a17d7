import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Ask, ask, type Envoy, type Reply, startEnvoy, startUpstream } from '../support/envoy.ts';
import { checkClient, encodeRequest, readResponse } from '../support/grpc.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';
import { createSigner, type Signer } from '../support/tokens.ts';

const issuer = 'https://i.test/';
/** Lets everybody through whom Postern lets through, and shows what the policy saw. */
const policy = `package envoy.authz

allow := {"allowed": true, "response_headers_to_add": {"x-input": json.marshal(seen)}}

seen := {"identity": object.remove(object.get(input, "identity", {}), ["claims"]), "context": object.get(input, "context", null)}
`;

describe('callers, through a real Envoy', () => {
  const suite = createScope();
  after(suite.close);
  let server: Server;
  let envoy: Envoy;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;
  let signer: Signer;

  before(async () => {
    const folder = scratchFolder(suite);
    signer = await createSigner(issuer);
    writeFileSync(join(folder, 'keys.json'), JSON.stringify(signer.jwks));
    const config = {
      postern: {
        context: { client_ip: { trusted_hops: 0 }, time_zone: 'Europe/Berlin' },
        identity: {
          issuers: [{ issuer, jwks_file: join(folder, 'keys.json') }],
          token: { cookie: 'session', query: 'access_token', forward: false },
          rules: [
            { paths: ['/public/*'], methods: ['GET'], token: 'optional' },
            { hosts: ['hooks.test'], token: 'forbidden' },
          ],
          workload: { trust_domains: ['cluster.local'] },
          claims_to_headers: { sub: 'x-user-id', 'org.tenant': 'x-tenant', roles: 'x-roles' },
          identity_headers: ['x-user-*', 'x-admin'],
          remove_forwarded: true,
        },
      },
    };
    server = await startPostern(suite, { folder, args: ['-b', buildPolicy(policy, folder)], config });
    upstream = await startUpstream(suite);
    envoy = await startEnvoy(suite, { folder, servers: [server.grpc], upstream: upstream.address });
  });

  const token = (claims: object = {}): Promise<string> => signer.sign({ sub: 'ann', ...claims });
  const bearer = async (claims: object = {}): Promise<string> => `Bearer ${await token(claims)}`;
  async function send(
    path: string,
    options: Ask = {},
  ): Promise<Reply & { readonly upstream: Record<string, unknown> }> {
    const reply = await ask(envoy.port, path, options);
    return { ...reply, upstream: reply.status === 200 ? { ...upstream.seen.at(-1)?.headers } : {} };
  }
  type Input = { readonly identity: Record<string, unknown>; readonly context: Record<string, unknown> };
  const inputOf = (reply: Reply): Input => JSON.parse(String(reply.headers['x-input'])) as Input;

  test('are told to the upstream by verified claims only, whatever the client says in any spelling', async () => {
    const claims = { org: { tenant: 'acme' }, roles: ['a', 'b'] };
    const spoofed = {
      'x-user-id': 'root',
      'X-User-Email': 'root@evil.test',
      X_User_Id: 'root',
      'x-user.id': 'root',
      'x-tenant': 'evil',
      'X-ADMIN': 'true',
      'x-forwarded-client-cert': 'URI=spiffe://cluster.local/admin',
      'x-other': 'stays',
    };
    const seen = (await send('/x', { headers: { authorization: await bearer(claims), ...spoofed } })).upstream;
    assert.equal(seen['x-user-id'], 'ann');
    assert.equal(seen['x-tenant'], 'acme');
    assert.equal(seen['x-roles'], 'a,b');
    assert.equal(seen['x-other'], 'stays');
    const names = Object.keys(seen).filter((name) => /x.(?:user|admin)|forwarded/i.test(name));
    assert.deepEqual(
      names.filter((name) => name !== 'x-user-id' && name !== 'x-forwarded-proto'),
      [],
    );
  });

  test('without a token are nobody upstream, where a rule lets them in', async () => {
    const reply = await send('/public/a', { headers: { 'x-user-id': 'root', 'x-tenant': 'evil' } });
    assert.equal(reply.status, 200);
    assert.equal(reply.upstream['x-user-id'], undefined);
    assert.equal(reply.upstream['x-tenant'], undefined);
    assert.deepEqual(inputOf(reply).identity, { authenticated: false });
    for (const path of ['/public', '/publicity/a', '/x?y=/public/a', '/Public/a', '/public%2fa', '/x']) {
      const refused = await send(path);
      assert.equal(refused.status, 401, path);
      assert.equal(refused.headers['www-authenticate'], 'Bearer');
    }
    assert.equal((await send('/public/a', { method: 'POST' })).status, 401);
    const bad = await send('/public/a', { headers: { authorization: 'Bearer a.b.c' } });
    assert.equal(bad.status, 401, 'a bad token is refused where none is needed');
    assert.equal(bad.headers['www-authenticate'], 'Bearer error="invalid_token"');
  });

  test('with a token where none may be are refused', async () => {
    const refused = await send('/x', { headers: { host: 'hooks.test', authorization: await bearer() } });
    assert.equal(refused.status, 403);
    assert.equal((await send('/x', { headers: { host: 'Hooks.test:80' } })).status, 200);
  });

  test('may bring their token in a header, a cookie or the query, and it goes no further', async () => {
    const plain = await token();
    const header = await send('/x', { headers: { authorization: `Bearer ${plain}`, cookie: 'a=1; b=2' } });
    assert.equal(header.upstream['authorization'], undefined);
    assert.equal(header.upstream['cookie'], 'a=1; b=2');
    const cookie = await send('/x', { headers: { cookie: `a=1; session=${plain}; b=2` } });
    assert.equal(cookie.status, 200);
    assert.equal(cookie.upstream['cookie'], 'a=1; b=2');
    assert.equal((inputOf(cookie).identity['token'] as { source?: string }).source, 'cookie');
    assert.equal((await send('/x', { headers: { cookie: `session=${plain}` } })).upstream['cookie'], undefined);
    const query = await send(`/x?a=1&access_token=${plain}&b=2`);
    assert.equal(query.status, 200);
    assert.equal(upstream.seen.at(-1)?.url, '/x?a=1&b=2');
    assert.equal(query.upstream['x-user-id'], 'ann');
  });

  test('with two different tokens are refused, the same one twice is one', async () => {
    const [one, two] = [await token(), await token({ sub: 'bob' })];
    for (const [path, headers, status] of [
      ['/x', { authorization: `Bearer ${one}`, cookie: `session=${two}` }, 400],
      [`/x?access_token=${two}`, { authorization: `Bearer ${one}` }, 400],
      ['/x', { cookie: `session=${one}; session=${two}` }, 400],
      [`/x?access_token=${one}&access_token=${two}`, {}, 400],
      [`/x?access_token=${one}`, { authorization: `Bearer ${one}` }, 200],
    ] as const) {
      assert.equal((await send(path, { headers })).status, status, path);
    }
  });

  test('are described by the context of their request', async () => {
    const authTime = Math.floor(Date.now() / 1000) - 100;
    const headers = {
      authorization: await bearer({ auth_time: authTime, sub: 'ctx' }),
      'x-forwarded-for': '203.0.113.9',
    };
    for (let i = 1; i <= 3; i++) {
      const { context } = inputOf(await send('/x', { method: 'POST', headers, body: 'abc' }));
      assert.equal(context['subject_requests_per_minute'], i);
      assert.equal(context['client_ip'], '127.0.0.1');
      const age = Number(context['authentication_age_seconds']);
      assert.ok(age >= 100 && age < 200);
      assert.match(String((context['time'] as { rfc3339?: string }).rfc3339), /\+0[12]:00$/);
    }
  });

  test('come from workloads of the trust domain, and of no other', async () => {
    const client = checkClient(server.grpc);
    suite.after(client.close);
    const workloadOf = async (principal: string): Promise<unknown> => {
      const reply = await client.send(
        encodeRequest({
          attributes: {
            source: { principal },
            request: { http: { method: 'GET', path: '/public/a', host: 'h', scheme: 'http' } },
          },
        }),
      );
      assert.ok('response' in reply);
      const { okResponse } = readResponse(reply.response) as {
        readonly okResponse?: {
          readonly responseHeadersToAdd?: readonly { readonly header: { readonly value: string } }[];
        };
      };
      return (JSON.parse(okResponse?.responseHeadersToAdd?.[0]?.header.value ?? '{}') as Input).identity['workload'];
    };
    assert.deepEqual(await workloadOf('spiffe://cluster.local/ns/web/sa/front'), {
      spiffe_id: 'spiffe://cluster.local/ns/web/sa/front',
      trust_domain: 'cluster.local',
      path: '/ns/web/sa/front',
      namespace: 'web',
      service_account: 'front',
    });
    for (const principal of [
      '',
      'spiffe://other/ns/web/sa/front',
      'spiffe://cluster.local/../x',
      'CN=front',
      'spiffe://cluster.local/a,spiffe://cluster.local/b',
    ]) {
      assert.equal(await workloadOf(principal), undefined, principal);
    }
  });
});
