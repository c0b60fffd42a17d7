import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ecPair, forge, jwkOf, type Pair } from '../support/forge.ts';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { startKeyServer } from '../support/key-server.ts';
import { eventually, root } from '../support/process.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';

const issuer = 'https://i.test/';
const policy = 'package envoy.authz\n\ndefault allow := false\n\nallow if input.identity.subject == "ann"\n';

test('a wall clock that jumps an hour, either way: the leeway stays 60 s and the issuer is left in peace', async (context) => {
  const folder = scratchFolder(context);
  const idp = await startKeyServer(context);
  const pair = ecPair();
  idp.keys = [jwkOf(pair, { kid: 'k1' })];
  const clockFile = join(folder, 'clock');
  let offsetSeconds = 0;
  const jump = (seconds: number): void => {
    offsetSeconds += seconds;
    writeFileSync(clockFile, String(offsetSeconds * 1000));
  };
  jump(0);
  const server = await startPostern(context, {
    folder,
    args: ['-b', buildPolicy(policy, folder)],
    config: { postern: { identity: { issuers: [{ issuer, jwks_uri: idp.uri }] } } },
    env: {
      NODE_OPTIONS: `--import ${pathToFileURL(join(root, 'test/support/moved-clock.js')).href}`,
      MOVED_CLOCK: clockFile,
    },
  });
  const client = checkClient(server.grpc);
  context.after(client.close);
  const now = (): number => Math.floor(Date.now() / 1000) + offsetSeconds;
  const sign = (claims: object = {}, kid = 'k1', by: Pair = pair): string =>
    forge({ alg: 'ES256', kid }, { iss: issuer, sub: 'ann', iat: now(), exp: now() + 600, ...claims }, by, 'ES256');
  const statusOf = async (token: string): Promise<number> => {
    const reply = await client.send(httpRequest({ headers: { authorization: `Bearer ${token}` } }));
    assert.ok('response' in reply);
    const { status, deniedResponse } = readResponse(reply.response) as {
      readonly status?: { readonly code?: number };
      readonly deniedResponse?: { readonly status?: { readonly code?: number } };
    };
    return (status?.code ?? 0) === 0 ? 200 : (deniedResponse?.status?.code ?? 403);
  };

  for (const [i, seconds] of [3600, -3600, -3600].entries()) {
    const before = sign();
    assert.equal(await statusOf(before), 200);
    const requests = idp.requests();
    jump(seconds);
    // It was remembered, which must make no difference.
    await eventually(async () => ((await statusOf(before)) === 401 ? true : undefined));
    assert.equal(await statusOf(sign()), 200);
    // Some seconds off the limits, which a busy machine may take.
    assert.equal(await statusOf(sign({ iat: now() - 600, exp: now() - 30 })), 200, 'within the leeway');
    assert.equal(await statusOf(sign({ iat: now() - 600, exp: now() - 62 })), 401, 'beyond it');
    assert.equal(await statusOf(sign({ nbf: now() + 58 })), 200, 'within the leeway');
    assert.equal(await statusOf(sign({ nbf: now() + 90 })), 401, 'beyond it');
    assert.equal(idp.requests(), requests);
    const next = ecPair();
    idp.keys = [jwkOf(next, { kid: `next-${i}` }), ...idp.keys];
    assert.equal(await statusOf(sign({}, `next-${i}`, next)), 200, 'a new key is asked for at once');
    assert.equal(idp.requests(), requests + 1);
  }
});
