import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Ask, ask, type Envoy, type Reply, startEnvoy, startUpstream } from '../support/envoy.ts';
import { checkClient, encodeRequest, readResponse } from '../support/grpc.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';
import { createSigner, type Signer } from '../support/tokens.ts';

const issuer = 'https://envoy.test/';
const NAMESPACE = 'envoy.filters.http.jwt_authn';
/** Lets everybody through whom Postern lets through, and shows what the policy saw. */
const policy = `package envoy.authz

allow := {"allowed": true, "response_headers_to_add": {"x-identity": json.marshal(object.get(input, "identity", null))}}
`;

type Identity = {
  readonly authenticated: boolean;
  readonly subject?: string;
  readonly claims?: { readonly [name: string]: unknown };
  readonly token?: object;
};
const identityOf = (reply: Reply): Identity => JSON.parse(String(reply.headers['x-identity'])) as Identity;

/** Verifies what is there, and lets the rest pass, so that Postern has to turn it away. */
const jwtAuthn = (signer: Signer, forward: boolean): object => ({
  name: NAMESPACE,
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    providers: {
      idp: {
        issuer,
        local_jwks: { inline_string: JSON.stringify(signer.jwks) },
        from_headers: [{ name: 'authorization', value_prefix: 'Bearer ' }, { name: 'x-token' }],
        from_params: ['access_token'],
        forward,
        payload_in_metadata: 'jwt_payload',
        header_in_metadata: 'jwt_header',
        normalize_payload_in_metadata: { space_delimited_claims: ['scope'] },
      },
    },
    rules: [
      {
        match: { prefix: '/' },
        requires: { requires_any: { requirements: [{ provider_name: 'idp' }, { allow_missing_or_failed: {} }] } },
      },
    ],
  },
});

describe('tokens that Envoy has verified', () => {
  const suite = createScope();
  after(suite.close);
  let server: Server;
  let taking: Envoy;
  let forwarding: Envoy;
  let unaware: Envoy;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;
  let signer: Signer;

  before(async () => {
    const folder = scratchFolder(suite);
    signer = await createSigner(issuer);
    const args = ['-b', buildPolicy(policy, folder)];
    const metadata = { key: 'jwt_payload', header_key: 'jwt_header', space_delimited_claims: ['scope'] };
    const identity = {
      issuers: [{ issuer, verified_by: 'envoy', audiences: ['api'], typ: 'JWT' }],
      token: { query: 'access_token', metadata },
      rules: [
        { paths: ['/open/*'], token: 'optional' },
        { paths: ['/none/*'], token: 'forbidden' },
      ],
      claims_to_headers: { sub: 'x-user-id' },
    };
    server = await startPostern(suite, { folder, args, config: { postern: { identity } } });
    const other = { issuers: [{ issuer, jwks: signer.jwks }] };
    const without = await startPostern(suite, { folder, args, config: { postern: { identity: other } } });
    upstream = await startUpstream(suite);
    const start = (postern: Server, forward: boolean): Promise<Envoy> =>
      startEnvoy(suite, {
        ...{ folder, servers: [postern.grpc], upstream: upstream.address },
        ...{ filters: [jwtAuthn(signer, forward)], metadataNamespaces: [NAMESPACE] },
      });
    [taking, forwarding, unaware] = await Promise.all([
      start(server, false),
      start(server, true),
      start(without, false),
    ]);
  });

  const token = (claims: object = {}): Promise<string> => signer.sign({ sub: 'ann', aud: 'api', ...claims });
  const bearer = (text: string): Ask => ({ headers: { authorization: `Bearer ${text}` } });
  const refusedBy = async (envoy: Envoy, path: string, how: Ask, status: number): Promise<void> => {
    const before = upstream.seen.length;
    assert.equal((await ask(envoy.port, path, how)).status, status);
    assert.equal(upstream.seen.length, before);
  };
  /** The same token with other claims, which nobody has signed. */
  const forged = (text: string, claims: object): string => {
    const [head = '', body = '', signature = ''] = text.split('.');
    const own = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as object;
    return `${head}.${Buffer.from(JSON.stringify({ ...own, ...claims })).toString('base64url')}.${signature}`;
  };

  test('are callers, with claims, algorithm and key, though the token itself never came', async () => {
    const text = await token({
      scope: 'read write',
      org: { id: 7, tags: ['x', null, true] },
      big: 2 ** 53,
      ratio: 0.25,
    });
    const reply = await ask(taking.port, '/x', bearer(text));
    assert.equal(reply.status, 200);
    const { authenticated, subject, claims, token: told } = identityOf(reply);
    const signed = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString('utf8')) as { exp: number };
    assert.deepEqual([authenticated, subject], [true, 'ann']);
    assert.deepEqual(claims, { ...signed, scope: ['read', 'write'] });
    assert.deepEqual(told, { alg: 'RS256', kid: 'k1', expires_at: signed.exp, source: 'metadata' });
    const seen = upstream.seen.at(-1)?.headers;
    assert.equal(seen?.['x-user-id'], 'ann');
    assert.equal(seen?.authorization, undefined);
  });

  test('are checked further by Postern', async () => {
    await refusedBy(taking, '/x', bearer(await signer.sign({ sub: 'ann', aud: 'other' })), 401);
    await refusedBy(taking, '/x', bearer(await signer.sign({ aud: 'api' })), 401);
    await refusedBy(taking, '/x', bearer(await signer.sign({ sub: 'ann', aud: 'api' }, 400 * 86_400)), 401);
  });

  test('are missed where there is none, whatever headers a client makes up', async () => {
    const text = await token();
    const [, body = ''] = text.split('.');
    const made = {
      'jwt-payload': body,
      'x-jwt-payload': body,
      jwt_payload: body,
      [NAMESPACE]: JSON.stringify({ jwt_payload: { iss: issuer, sub: 'ann' } }),
      'x-envoy-dynamic-metadata': body,
      'x-user-id': 'root',
    };
    for (const envoy of [taking, forwarding]) {
      await refusedBy(envoy, '/x', {}, 401);
      await refusedBy(envoy, '/x', { headers: made }, 401);
      const open = await ask(envoy.port, '/open/x', { headers: made });
      assert.deepEqual(identityOf(open), { authenticated: false });
      assert.equal(upstream.seen.at(-1)?.headers['x-user-id'], undefined);
      await refusedBy(envoy, '/x', bearer(forged(text, { sub: 'root' })), 401);
      await refusedBy(envoy, '/open/x', bearer(forged(text, { sub: 'root' })), 401);
      await refusedBy(envoy, '/open/x', bearer(await token({ iss: 'https://other.test/' })), 401);
      await refusedBy(envoy, '/open/x', bearer(await signer.sign({ sub: 'ann', aud: 'api' }, -120)), 401);
    }
  });

  test('count as tokens for the rules', async () => {
    const how = bearer(await token());
    assert.equal(identityOf(await ask(taking.port, '/open/x', how)).subject, 'ann');
    await refusedBy(taking, '/none/x', how, 403);
    assert.equal((await ask(taking.port, '/none/x')).status, 200);
  });

  test('may be forwarded, as far as the text says what was verified', async () => {
    const text = await token({ scope: 'read  write', n: 1.5, roles: ['user'] });
    const reply = await ask(forwarding.port, '/x', bearer(text));
    assert.equal(reply.status, 200);
    assert.equal((identityOf(reply).token as { source?: string }).source, 'metadata');
    assert.equal(upstream.seen.at(-1)?.headers.authorization, `Bearer ${text}`);
    // A good one where only Envoy looks, and a forged one where the upstream does: Envoy lets both pass.
    const admin = forged(text, { roles: ['admin'] });
    const both = { authorization: `Bearer ${admin}`, 'x-token': text };
    await refusedBy(forwarding, '/x', { headers: both }, 401);
    await refusedBy(taking, '/x', { headers: both }, 401);
    await refusedBy(forwarding, `/x?access_token=${text}`, bearer(admin), 400);
    await refusedBy(forwarding, `/x?access_token=${admin}`, bearer(text), 400);
    assert.equal((await ask(forwarding.port, '/x', { headers: { 'x-token': text } })).status, 200);
    assert.equal((await ask(forwarding.port, `/x?access_token=${text}`)).status, 200);
  });

  test('mean nothing to a Postern that is not told of them', async () => {
    const text = await token();
    // Envoy has taken the token away and left its payload.
    await refusedBy(unaware, '/x', bearer(text), 401);
    await refusedBy(unaware, '/x', {}, 401);
  });

  test('that are odd are refused, and it goes on serving', async () => {
    const client = checkClient(server.grpc);
    suite.after(client.close);
    const send = async (told: unknown, header: unknown = { alg: 'RS256', typ: 'JWT' }): Promise<unknown> => {
      const found = { jwt_payload: told, jwt_header: header };
      const metadataContext = { filterMetadata: { [NAMESPACE]: found } };
      const request = { http: { method: 'GET', path: '/x', host: 'h', scheme: 'http' } };
      const reply = await client.send(encodeRequest({ attributes: { request, metadataContext } }));
      assert.ok('response' in reply, JSON.stringify(reply));
      const { status, deniedResponse } = readResponse(reply.response) as {
        status?: { code?: number };
        deniedResponse?: { status?: { code?: number } };
      };
      return deniedResponse?.status?.code ?? (status?.code === undefined ? 'allowed' : 'denied');
    };
    const good = { iss: issuer, sub: 'ann', aud: 'api', exp: Math.floor(Date.now() / 1000) + 600 };
    assert.equal(await send(good), 'allowed');
    const deep = (levels: number): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
      return value;
    };
    for (const odd of [null, 'a', 5, true, [], [good], {}, { ...good, exp: null }, { ...good, exp: '1e99' }]) {
      assert.equal(await send(odd), 401, JSON.stringify(odd));
    }
    for (const odd of [
      { ...good, iss: 5 },
      { ...good, a: deep(40) },
      { ...good, a: 'x'.repeat(1_000_000) },
    ]) {
      assert.equal(await send(odd), 401);
    }
    // More levels than any request may have: it is not even read.
    assert.equal(await send({ ...good, a: deep(80) }), 400);
    assert.equal(await send(good, null), 401);
    assert.equal(await send(good, { alg: 'none', typ: 'JWT' }), 401);
    assert.equal(await send(good), 'allowed');
    assert.equal(server.process.exitCode, null);
  });
});
