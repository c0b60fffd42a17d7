import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { bundleOf } from '../support/archive.ts';
import { eventually, freePorts, startProcess, tool } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { buildPolicy, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { type Family, type Report, type Sent, startStatusServer } from '../support/status-server.ts';

const policy = 'package envoy.authz\n\nallow := true\n';
const build = (folder: string, name: string): Buffer =>
  readFileSync(buildPolicy(policy, folder, name, { revision: name }));
/** This opa has no engine for WebAssembly. */
const dataOnly = (name: string): Buffer =>
  bundleOf([
    { name: '.manifest', content: JSON.stringify({ revision: name }) },
    { name: 'data.json', content: '{"a":1}' },
  ]);
const isSent = (sent: readonly Sent[], fits: (report: Report) => boolean): Promise<Report> =>
  eventually(async () => sent.map(({ report }) => report).find(fits));
const main = (report: Report) => report.bundles?.['main'] ?? {};
const metricsOf = async (address: string): Promise<string> => (await fetch(`http://${address}/metrics`)).text();

const config = (url: string, status: Tree): Tree => ({
  labels: { region: 'here' },
  services: { ci: { url: `${url}/base/`, credentials: { bearer: { token: 'status-secret' } } } },
  bundles: { main: { polling: { min_delay_seconds: 1, max_delay_seconds: 1 } } },
  status,
});

async function startOpa(context: Scope, folder: string, content: Tree): Promise<string> {
  const address = `127.0.0.1:${(await freePorts(1))[0]}`;
  writeFileSync(join(folder, 'opa.json'), JSON.stringify(content));
  const args = ['run', '--server', '--addr', address, '-c', join(folder, 'opa.json'), '-l', 'error'];
  startProcess(context, tool('opa'), args);
  return address;
}

/** A bundle that comes, a server that fails, a bundle that is none, one that comes again: what is reported of each. */
async function story(server: Awaited<ReturnType<typeof startStatusServer>>, second: Buffer) {
  const { sent, served } = server;
  const first = await isSent(sent, (report) => main(report)['active_revision'] === 'one');
  served.bundle = { ...served.bundle, status: 500 };
  const failed = await isSent(sent, (report) => main(report)['http_code'] === 500);
  served.bundle = { status: 200, etag: '"junk"', body: Buffer.from('junk') };
  const junk = await isSent(sent, (report) => 'code' in main(report) && !('http_code' in main(report)));
  served.bundle = { status: 200, etag: '"2"', body: second };
  const healed = await isSent(sent, (report) => main(report)['active_revision'] === 'two' && !('code' in main(report)));
  return { first, failed, junk, healed };
}

/** The kinds of values that a family and its first metric have, without what only newer clients write. */
function kindsOf(family: Family | undefined): unknown {
  const kinds = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.slice(0, 1).map(kinds);
    if (typeof value !== 'object' || value === null) return typeof value;
    const known = Object.entries(value).filter(([key]) => key !== 'createdTimestamp');
    return Object.fromEntries(known.map(([key, item]) => [key, kinds(item)]));
  };
  return { type: family?.type, kinds: kinds(family) };
}

/** Lines of metrics without their values, and of a few labels too: names, types and labels are what dashboards know. */
const shapeOf = (text: string): readonly string[] => [
  ...new Set(
    text
      .split('\n')
      .filter((line) => /^(?:# TYPE )?(?:opa_info|plugin_status|bundle_loa|bundle_failed|last_)/.test(line))
      .map((line) => line.replace(/\} .*/, '}').replace(/(message|version)="[^"]*"/g, '$1')),
  ),
];

describe('status reports', () => {
  test('have path, headers and fields as OPA sends them', async (context) => {
    const folder = scratchFolder(context);
    const [theirs, ours] = [await startStatusServer(context), await startStatusServer(context)];
    theirs.served.bundle.body = dataOnly('one');
    ours.served.bundle.body = build(folder, 'one');
    const status = { service: 'ci', partition_name: 'part one', prometheus: true };
    await startOpa(context, folder, config(theirs.url, status));
    await startPostern(context, { config: config(ours.url, status), folder });
    const [expected, got] = await Promise.all([story(theirs, dataOnly('two')), story(ours, build(folder, 'two'))]);
    for (const step of ['first', 'failed', 'junk', 'healed'] as const) {
      const kinds = (report: Report): object =>
        Object.fromEntries(Object.entries(main(report)).map(([key, value]) => [key, typeof value]));
      const { age_seconds, last_error, ...rest } = kinds(got[step]) as Record<string, string>;
      assert.deepEqual(rest, kinds(expected[step]), step);
      assert.deepEqual([age_seconds, last_error], ['number', step === 'first' ? undefined : 'object'], step);
      for (const field of ['name', 'active_revision', 'code', 'http_code', 'type']) {
        assert.equal(main(got[step])[field], main(expected[step])[field], `${step}: ${field}`);
      }
    }
    const head = ({ method, path, headers }: Sent): object => ({
      ...{ method, path, type: headers['content-type'], proof: headers.authorization },
    });
    assert.deepEqual(head(ours.sent[0] as Sent), head(theirs.sent[0] as Sent));
    assert.equal(ours.sent[0]?.path, '/base/status/part%20one');
    assert.deepEqual(Object.keys(got.first.labels).sort(), Object.keys(expected.first.labels).sort());
    for (const name of ['bundle', 'status']) assert.deepEqual(got.healed.plugins[name], { state: 'OK' });
    for (const name of ['opa_info', 'bundle_loaded_counter', 'bundle_loading_duration_ns']) {
      const families = [got, expected].map(({ healed }) => kindsOf(healed.metrics.prometheus[name]));
      assert.deepEqual(families[0], families[1], name);
    }
  });

  test('that nobody takes are tried again with what is so by then, and fail nothing else', async (context) => {
    const folder = scratchFolder(context);
    const { url, sent, served } = await startStatusServer(context);
    served.bundle.body = build(folder, 'one');
    served.status = 503;
    const server = await startPostern(context, { config: config(url, { service: 'ci' }), folder });
    await server.printed('/base/status: the server answered 503');
    served.bundle = { status: 200, etag: '"2"', body: build(folder, 'two') };
    await eventually(async () => (sent.length >= 2 ? true : undefined));
    served.status = 200;
    await isSent(sent, (report) => main(report)['active_revision'] === 'two');
    await eventually(async () =>
      /postern_status_reports_total\{result="sent"\} [1-9]/.test(await metricsOf(server.diagnostic)) ? true : undefined,
    );
    assert.match(await metricsOf(server.diagnostic), /postern_status_reports_total\{result="failed"\} [1-9]/);
    assert.ok(!`${server.stdout()}${server.stderr()}${JSON.stringify(sent.at(-1)?.report)}`.includes('status-secret'));
    assert.equal(await server.stop(), 0);
  });

  test('are written to the log when `console` says so, and nobody else is told then', async (context) => {
    const folder = scratchFolder(context);
    const { url, sent, served } = await startStatusServer(context);
    served.bundle.body = build(folder, 'one');
    const server = await startPostern(context, { config: config(url, { console: true }), folder });
    await server.printed(/"type":"openpolicyagent.org\/status".*"active_revision":"one".*"msg":"Status Log"/);
    assert.deepEqual(sent, []);
  });
});

describe('the metrics of OPA’s status plugin', () => {
  test('have names, types, labels and units as OPA has them, also with workers', async (context) => {
    const folder = scratchFolder(context);
    const [theirs, ours] = [await startStatusServer(context), await startStatusServer(context)];
    theirs.served.bundle.body = dataOnly('one');
    ours.served.bundle.body = build(folder, 'one');
    const status = { service: 'ci', prometheus: true };
    const opa = await startOpa(context, folder, config(theirs.url, status));
    const started = { ...config(ours.url, status), postern: { workers: 2, drain: { delay_seconds: 0 } } };
    const server = await startPostern(context, { config: started, folder });
    await Promise.all([story(theirs, dataOnly('two')), story(ours, build(folder, 'two'))]);
    const [expected, got] = [await metricsOf(opa), await metricsOf(server.diagnostic)];
    const shared = (text: string): readonly string[] =>
      shapeOf(text)
        // Stages and parts that only one of the two has.
        .filter((line) => !/module_parse|data_parse|name="(?:discovery|decision_logs|envoy_ext)/.test(line))
        .map((line) => line.replace(/le="([0-9][^"]*)"/, (_all, bound: string) => `le="${Number(bound)}"`))
        .map((line) => line.replace(/\{(.*)\}/, (_all, labels: string) => `{${labels.split(',').sort().join()}}`))
        .sort();
    assert.deepEqual(shared(got), shared(expected));
    assert.match(got, /bundle_failed_load_counter\{name="main",code="bundle_error",message="GET [^"]+ 500"\} [1-9]/);
    const [, when = ''] = /last_bundle_request\{name="main"\} (\S+)/.exec(got) ?? [];
    assert.ok(Math.abs(Number(when) / 1e6 - Date.now()) < 60_000, when);
    // What promtool says against these names it says of OPA's too, and against nothing else.
    const complaints = (text: string): readonly string[] =>
      spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' }).stderr.trim().split('\n').sort();
    assert.deepEqual(complaints(got), complaints(expected));
  });

  test('are not there unless asked for', async (context) => {
    const folder = scratchFolder(context);
    const { url, served } = await startStatusServer(context);
    served.bundle.body = build(folder, 'one');
    const server = await startPostern(context, { config: config(url, { console: true }), folder });
    assert.deepEqual(shapeOf(await metricsOf(server.diagnostic)), []);
  });
});
