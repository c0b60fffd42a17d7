import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { casesFolder, type Golden, goldenOf, readGroups } from './support/cases.ts';
import { checkClient } from './support/grpc.ts';
import { root } from './support/process.ts';
import { buildBundle, scratchFolder, startPostern } from './support/servers.ts';

/*
 * What opa-envoy-plugin answered to the same requests, with the same policy and configuration, was recorded by
 * `npm run compare -- --record`.
 */
describe('answers as opa-envoy-plugin answered', () => {
  for (const [i, group] of readGroups().entries()) {
    test(`${group.file} (${i})`, async (context) => {
      const wanted = JSON.parse(readFileSync(join(casesFolder, group.file.replace('.yaml', '.want.json')), 'utf8')) as {
        readonly [name: string]: Golden;
      };
      const folder = scratchFolder(context);
      const bundle = buildBundle([join(root, 'test/fixtures', group.policy)], join(folder, 'bundle.tar.gz'));
      const server = await startPostern(context, { config: group.config, args: ['--bundle', bundle], folder });
      const client = checkClient(server.grpc);
      for (const { name, request } of group.cases) {
        assert.deepEqual(goldenOf(await client.send(request)), wanted[name], name);
      }
      client.close();
    });
  }
});
