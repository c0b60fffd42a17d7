import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { readAndMerge } from '../../src/bundles/read.ts';
import type { Read, ReadBundle } from '../../src/bundles/reader.ts';
import { loadPolicy } from '../../src/policy/engine/load-policy.ts';
import { bundleOf } from '../support/archive.ts';
import { polled, startBundleServer } from '../support/bundle-server.ts';
import { checkClient, httpRequest } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { scratchFolder, startPostern } from '../support/servers.ts';
import { createArchives } from '../support/versions.ts';

type Event = {
  readonly bundles: { readonly main: { readonly revision: string } };
  readonly input: unknown;
  readonly result: { readonly headers: { readonly 'x-answer': string } };
  readonly custom: { readonly bundle_digests: { readonly main: string } };
};
type Version = { readonly revision: string; readonly archive: string; readonly base?: string };

const delta = bundleOf([
  { name: 'patch.json', content: '{"data":[{"op":"upsert","path":"/version","value":"changed"}]}' },
  { name: '.manifest', content: '{"revision":"v1+delta"}' },
]);

/** What the bundle of a decision is, by nothing but what is kept beside it. */
async function readKept(folder: string, digest: string): Promise<Read> {
  const version = JSON.parse(readFileSync(join(folder, `${digest}.json`), 'utf8')) as Version;
  const archive = readFileSync(join(folder, `${version.archive}.tar.gz`));
  assert.equal(hash('sha256', archive), version.archive);
  const current: ReadBundle | undefined =
    version.base === undefined ? undefined : (await readKept(folder, version.base)).bundle;
  return readAndMerge({
    ...{ content: { archive }, current, name: 'main', maxBytes: 1e8, nowMs: 0 },
    ...{ verification: undefined, allowRollback: false, others: new Map() },
  });
}

async function evaluateAgain(folder: string, { custom, input }: Event): Promise<unknown> {
  const { bundle, merged } = await readKept(folder, custom.bundle_digests.main);
  const policy = await loadPolicy(bundle.modules[0]?.wasm ?? new Uint8Array(), {
    data: Buffer.from(merged ?? '').toString(),
  });
  const [first] = policy.evaluate(input) as readonly { readonly result: unknown }[];
  return first?.result;
}

async function decisionsOfThreeVersions(context: TestContext, workers: number) {
  const folder = scratchFolder(context);
  const { archiveOf } = createArchives(folder);
  const { url, served } = await startBundleServer(context, archiveOf(1));
  const data = join(folder, 'data');
  const config = { ...polled(url), postern: { workers, store: { path: data } } };
  const server = await startPostern(context, { folder, config });
  const client = checkClient(server.grpc);
  context.after(client.close);
  const askUntil = (answer: RegExp): Promise<true> =>
    eventually(async () => {
      const reply = await client.send(httpRequest({ path: '/x' }));
      return 'response' in reply && answer.test(reply.response.toString('latin1')) ? true : undefined;
    });
  await askUntil(/a\/v1/);
  [served.body, served.etag] = [delta, '"2"'];
  await askUntil(/a\/changed/);
  [served.body, served.etag] = [archiveOf(2), '"3"'];
  await askUntil(/b\/v2/);
  const events = await eventually(async () => {
    const page = await fetch(`http://${server.api}/v1/decisions?limit=1000&reason=policy_allowed`);
    const { decisions = [] } = (await page.json()) as { readonly decisions?: readonly Event[] };
    return decisions.some(({ bundles }) => bundles.main.revision === 'v2') ? decisions : undefined;
  });
  return { events, bundles: join(data, 'bundles') };
}

for (const workers of [1, 2]) {
  describe(`with ${workers === 1 ? 'one process' : 'two workers'}, every decision`, () => {
    test('can be made again with the bundle that is kept for it, deltas included', async (context) => {
      const { events, bundles } = await decisionsOfThreeVersions(context, workers);
      const seen = new Map<string, Event>();
      for (const event of events) {
        assert.ok(existsSync(join(bundles, `${event.custom.bundle_digests.main}.json`)));
        const before = seen.get(event.custom.bundle_digests.main);
        assert.equal(before?.bundles.main.revision ?? event.bundles.main.revision, event.bundles.main.revision);
        seen.set(event.custom.bundle_digests.main, event);
      }
      assert.deepEqual([...seen.values()].map(({ bundles: { main } }) => main.revision).sort(), [
        'v1',
        'v1+delta',
        'v2',
      ]);
      for (const event of seen.values()) assert.deepEqual(await evaluateAgain(bundles, event), event.result);
      assert.deepEqual([...seen.values()].map(({ result }) => result.headers['x-answer']).sort(), [
        'a/changed',
        'a/v1.',
        'b/v2.',
      ]);
    });
  });
}
