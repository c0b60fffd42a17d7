import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Ask, ask, startEnvoy, startUpstream } from '../support/envoy.ts';
import { root } from '../support/process.ts';
import { scratchFolder, startPostern } from '../support/servers.ts';
import { createSigner } from '../support/tokens.ts';

test('the upstream sees the verified subject in x-user-id, whatever the client sent', async (context) => {
  const folder = scratchFolder(context);
  const issuer = 'https://idp.test/';
  const idp = await createSigner(issuer);
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify(idp.jwks));
  const postern = await startPostern(context, {
    folder,
    args: ['--bundle', join(root, 'bundles/default.tar.gz')],
    config: { postern: { identity: { required: true, issuers: [{ issuer, jwks_file: keys }] } } },
  });
  const upstream = await startUpstream(context);
  const authorization = `Bearer ${await idp.sign({ sub: 'ann', roles: ['analyst'] })}`;
  const forgeries: readonly Ask['headers'][] = [{}, { 'x-user-id': 'admin' }, { 'X-User-Id': ['admin', 'root'] }];
  for (const rawHeaders of [false, true]) {
    const envoy = await startEnvoy(context, {
      folder,
      servers: [postern.grpc],
      upstream: upstream.address,
      rawHeaders,
    });
    for (const forged of forgeries) {
      const before = upstream.seen.length;
      assert.equal((await ask(envoy.port, '/v1/data', { headers: { authorization, ...forged } })).status, 200);
      assert.equal(upstream.seen.length, before + 1);
      assert.equal(upstream.seen.at(-1)?.headers['x-user-id'], 'ann', JSON.stringify(forged));
    }
  }
});
