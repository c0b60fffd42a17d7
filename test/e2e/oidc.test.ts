import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type CheckClient, checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { AUDIENCE, type Idp, startIdp } from '../support/idp.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';

const policy = `package envoy.authz

allow if {
	input.identity.subject == "svc"
	input.identity.claims.tenant == "t1"
}
`;

/** What Envoy would tell the client. */
async function statusOf(client: CheckClient, token: string): Promise<number> {
  const reply = await client.send(httpRequest({ headers: { authorization: `Bearer ${token}` } }));
  assert.ok('response' in reply, JSON.stringify(reply));
  const { status, deniedResponse } = readResponse(reply.response) as {
    readonly status?: { readonly code?: number };
    readonly deniedResponse?: { readonly status?: { readonly code?: number } };
  };
  return (status?.code ?? 0) === 0 ? 200 : (deniedResponse?.status?.code ?? 403);
}

async function serve(
  context: TestContext,
  idp: Idp,
  options: { readonly folder?: string; readonly untilReady?: boolean } = {},
): Promise<{ readonly server: Server; readonly client: CheckClient; readonly folder: string }> {
  const folder = options.folder ?? scratchFolder(context);
  const server = await startPostern(context, {
    folder,
    untilReady: options.untilReady ?? true,
    args: ['--bundle', buildPolicy(policy, folder)],
    config: {
      postern: {
        identity: {
          keys_directory: join(folder, 'keys'),
          issuers: [
            { issuer: idp.issuer, discovery: true, audiences: [AUDIENCE], typ: 'at+jwt', required_claims: ['tenant'] },
          ],
        },
      },
    },
  });
  const client = checkClient(server.grpc);
  context.after(client.close);
  return { server, client, folder };
}

describe('tokens of an OpenID provider', () => {
  for (const alg of ['ES256', 'RS256'] as const) {
    test(`are verified with keys found by discovery, new ones at once (${alg})`, async (context) => {
      const idp = await startIdp(context, alg);
      const { client } = await serve(context, idp);
      const old = await idp.token();
      assert.equal(await statusOf(client, old), 200);
      await idp.rotate(true);
      assert.equal(await statusOf(client, await idp.token()), 200);
      assert.equal(await statusOf(client, old), 200, 'an old key that is still published goes on');
      assert.equal(idp.keyRequests(), 2);
    });
  }

  test('go on while the provider is down; those of unknown keys are 503, not 401', async (context) => {
    const idp = await startIdp(context);
    const { client } = await serve(context, idp);
    const [known, other] = [await idp.token(), await idp.token()];
    assert.equal(await statusOf(client, known), 200);
    idp.fault = (_request, response) => response.destroy();
    await idp.rotate(true);
    const unknown = await idp.token();
    const before = idp.keyRequests();
    const answers = await Promise.all([
      ...Array.from({ length: 100 }, () => statusOf(client, unknown)),
      ...Array.from({ length: 100 }, () => statusOf(client, other)),
    ]);
    assert.deepEqual(answers.slice(0, 100), Array(100).fill(503));
    assert.deepEqual(answers.slice(100), Array(100).fill(200));
    assert.ok(idp.keyRequests() - before <= 2, 'an outage is no stampede');
  });

  test('survive a start without the provider by the keys that were kept', async (context) => {
    const idp = await startIdp(context);
    const first = await serve(context, idp);
    const token = await idp.token();
    assert.equal(await statusOf(first.client, token), 200);
    await first.server.stop();
    assert.equal(readdirSync(join(first.folder, 'keys')).length, 1);
    idp.fault = (_request, response) => response.writeHead(500).end();
    const second = await serve(context, idp, { folder: first.folder });
    assert.equal(await statusOf(second.client, token), 200);
    const third = await serve(context, idp, { untilReady: false });
    assert.equal(await statusOf(third.client, token), 503, 'without any keys nobody can be told that a token is bad');
  });

  test('are accepted soon after a provider that was down at the start is back', async (context) => {
    const idp = await startIdp(context);
    idp.fault = (_request, response) => response.destroy();
    const { client, server } = await serve(context, idp, { untilReady: false });
    const token = await idp.token();
    assert.equal(await statusOf(client, token), 503);
    assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 503);
    idp.fault = undefined;
    let status = 503;
    for (let i = 0; i < 200 && status !== 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      status = await statusOf(client, token);
    }
    assert.equal(status, 200);
  });

  for (const [name, fault] of [
    ['a redirect', (_request, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end()],
    ['an empty key set', (_request, response) => response.end('{"keys":[]}')],
    ['a body without an end', (_request, response) => void response.write('x'.repeat(300_000))],
    [
      'half of an answer',
      (_request, response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"keys":');
        response.destroy();
      },
    ],
  ] as const satisfies readonly (readonly [string, Idp['fault']])[]) {
    test(`are verified with the last good keys when the provider answers with ${name}`, async (context) => {
      const idp = await startIdp(context);
      const { client } = await serve(context, idp);
      const token = await idp.token();
      idp.fault = fault;
      await idp.rotate(false);
      assert.equal(await statusOf(client, await idp.token()), 503);
      assert.equal(await statusOf(client, token), 200);
    });
  }
});
