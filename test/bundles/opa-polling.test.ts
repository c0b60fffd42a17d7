import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBundles } from '../../src/bundles/bundles.ts';
import { loadConfig } from '../../src/config/load.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { bundleOf } from '../support/archive.ts';
import { eventually, startProcess, tool } from '../support/process.ts';
import { scratchFolder } from '../support/servers.ts';
import { noS3, nowhere } from '../support/sources.ts';
import { serve } from '../support/web.ts';

const TYPE = { 'content-type': 'application/vnd.openpolicyagent.bundles' };
const bundle = (version: number): Buffer => bundleOf([{ name: 'data.json', content: `{"v":${version}}` }]);

type Step = {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
  readonly afterMs?: number;
};

/** A long poll that is answered, one that is not, a server that stops doing it, a failure, a redirect, a rollback. */
const steps: readonly Step[] = [
  { status: 200, headers: { etag: '"1"', ...TYPE }, body: bundle(1) },
  { status: 304, afterMs: 1500 },
  { status: 200, headers: { etag: '"2"' }, body: bundle(2), afterMs: 1500 },
  { status: 500 },
  { status: 304 },
  { status: 200, headers: { etag: '"3"' }, body: bundle(3) },
  { status: 302, headers: { location: '/elsewhere' } },
  { status: 200, headers: { etag: '"1"' }, body: bundle(1) },
  { status: 304 },
];

/** Answers step by step, and notes what it is asked that is OPA's to say. */
function server() {
  const asked: string[] = [];
  const listener: RequestListener = ({ url, headers }, response) => {
    const step = steps[asked.length] ?? { status: 304 };
    const wait = /;wait=[0-9]+/.exec(String(headers['prefer']))?.[0] ?? '';
    asked.push([url, headers['if-none-match'], wait, headers.authorization, headers['x-team']].join(' | '));
    setTimeout(() => response.writeHead(step.status, step.headers).end(step.body), step.afterMs ?? 0);
  };
  return { asked, listener };
}

const config = (url: string): string =>
  JSON.stringify({
    services: { ci: { url: `${url}/base/`, headers: { 'x-team': 'policy' }, credentials: { bearer: { token: 't' } } } },
    bundles: {
      main: {
        resource: '/some/bundle.tar.gz/',
        polling: {
          min_delay_seconds: 1,
          max_delay_seconds: 1,
          long_polling_timeout_seconds: 5,
          superseded_etag_ttl_seconds: 60,
        },
      },
    },
  });

test('a bundle server is asked as OPA asks it, from the same configuration', async (context) => {
  const [theirs, ours] = [server(), server()];
  const file = join(scratchFolder(context), 'config.json');
  writeFileSync(file, config(await serve(context, theirs.listener)));
  const opa = startProcess(context, tool('opa'), [
    'run',
    '--server',
    '--addr',
    '127.0.0.1:0',
    '-c',
    file,
    '-l',
    'error',
  ]);

  const loaded = loadConfig({
    text: config(await serve(context, ours.listener)),
    env: {},
    set: [],
    setFile: [],
    readText: () => '',
    isReadable: () => true,
  });
  assert.ok(loaded.ok);
  const bundles = createBundles({
    config: loaded.config.bundles,
    services: loaded.config.services,
    keys: {},
    allowRollback: [],
    maxAgeMs: undefined,
    store: nowhere,
    s3: noS3,
    onStale: () => {},
    env: {},
    files: [],
    clock: systemClock,
    random: Math.random,
    log: { info: () => {}, warn: () => {}, error: () => {} },
    prepare: async () => ({ commit: () => {}, abandon: () => {} }),
    onActivated: () => {},
    onFailed: () => {},
    onLooked: () => {},
  });
  context.after(bundles.stop);
  await bundles.start();

  const enough = steps.length;
  await eventually(async () => (Math.min(theirs.asked.length, ours.asked.length) >= enough ? true : undefined), 60_000);
  assert.deepEqual(ours.asked.slice(0, enough), theirs.asked.slice(0, enough), opa.stderr());
  assert.equal(ours.asked[0], '/base/some/bundle.tar.gz |  | ;wait=5 | Bearer t | policy');
});
