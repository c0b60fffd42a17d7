import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkClient, httpRequest } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';

const policy = `package envoy.authz

allow := {"allowed": input.parsed_path[0] == "fine", "reason": "because"} if input.parsed_path[0] != "none"
`;

type Event = {
  readonly decision_id: string;
  readonly path: string;
  readonly labels: { readonly [name: string]: string };
  readonly bundles: object;
  readonly input: {
    readonly attributes: {
      readonly request: { readonly http: { readonly headers: { readonly [name: string]: string } } };
    };
  };
  readonly result: unknown;
  readonly masked: readonly string[];
  readonly metrics: { readonly [name: string]: number };
  readonly custom: {
    readonly reason: string;
    readonly reasons: readonly string[];
    readonly outcome: string;
    readonly http_status: number;
  };
};

describe('metrics', () => {
  test('pass promtool, count by outcome and reason, and carry the peer’s names when asked to', async (context) => {
    const folder = scratchFolder(context);
    const plain = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], folder });
    const config = { plugins: { envoy_ext_authz_grpc: { 'enable-performance-metrics': true } } };
    const peerLike = await startPostern(context, { args: ['-b', join(folder, 'bundle.tar.gz')], config, folder });
    for (const server of [plain, peerLike]) {
      const client = checkClient(server.grpc);
      for (const path of ['/fine', '/other', '/none', '//x']) await client.send(httpRequest({ path }));
      await client.send(Buffer.from([0xff]));
      client.close();
    }
    const expose = async (address: string): Promise<string> => (await fetch(`http://${address}/metrics`)).text();
    const text = await expose(plain.diagnostic);
    execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: 'pipe' });
    for (const [outcome, reason] of [
      ['allow', 'policy_allowed'],
      ['deny', 'policy_denied'],
      ['fault', 'decision_undefined'],
      ['deny', 'path_ambiguous'],
      ['deny', 'request_unreadable'],
    ]) {
      assert.match(text, new RegExp(`postern_decisions_total\\{outcome="${outcome}",reason="${reason}"\\} 1\n`));
    }
    for (const name of [
      'postern_check_duration_seconds_bucket',
      'postern_check_phase_duration_seconds_bucket',
      'postern_bundle_last_activation_timestamp_seconds',
      'nodejs_eventloop_lag_p99_seconds',
      'process_resident_memory_bytes',
      'postern_ready 1',
    ]) {
      assert.ok(text.includes(name), name);
    }
    assert.ok(!text.includes('error_counter'));
    const peerText = await expose(peerLike.diagnostic);
    assert.match(peerText, /grpc_request_duration_seconds_count\{handler="check"\} 5/);
    assert.match(peerText, /error_counter\{reason="envoyauth_eval_error"\} 1/);
    assert.match(peerText, /error_counter\{reason="request_parse_error"\} 2/);
  });
});

describe('the decision log', () => {
  test('has each decision in OPA’s schema, without secrets, in a file', async (context) => {
    const folder = scratchFolder(context);
    const file = join(folder, 'log/decisions.json');
    const config = { labels: { zone: 'a' }, postern: { decision_file: { path: file } } };
    const args = ['-b', buildPolicy(policy, folder, 'bundle', { revision: 'rev-7' })];
    const server = await startPostern(context, { args, config, folder });
    const client = checkClient(server.grpc);
    const headers = { authorization: 'Bearer s3cr3t-token', cookie: 'sid=s3cr3t-cookie', 'x-api-key': 's3cr3t-key' };
    const paths = ['/fine?access_token=s3cr3t-query', '/other', '/none'];
    for (const path of paths) await client.send(httpRequest({ path, headers, body: 's3cr3t-body' }));
    client.close();
    assert.equal(await server.stop('SIGTERM'), 0);
    const text = readFileSync(file, 'utf8');
    assert.ok(!text.includes('s3cr3t') && !(server.stdout() + server.stderr()).includes('s3cr3t'));
    const events = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Event);
    assert.deepEqual(
      events.map(({ custom }) => [custom.outcome, custom.reason, custom.http_status]),
      [
        ['allow', 'policy_allowed', 200],
        ['deny', 'policy_denied', 403],
        ['fault', 'decision_undefined', 403],
      ],
    );
    const [first] = events;
    assert.ok(first);
    assert.deepEqual(first.result, { allowed: true, reason: 'because' });
    assert.deepEqual(first.custom.reasons, ['because']);
    assert.deepEqual(Object.values(first.bundles), [{ revision: 'rev-7' }]);
    assert.equal(first.labels['zone'], 'a');
    assert.equal(first.path, 'envoy/authz/allow');
    assert.ok(Number.isInteger(first.metrics['timer_rego_query_eval_ns']));
    assert.ok(first.masked.includes('/input/attributes/request/http/headers/authorization'));
  });

  test('goes to standard output when the console is on', async (context) => {
    const folder = scratchFolder(context);
    const config = { decision_logs: { console: true } };
    const server = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], config, folder });
    const client = checkClient(server.grpc);
    await client.send(httpRequest({ path: '/fine' }));
    client.close();
    const line = await eventually(async () =>
      server
        .stdout()
        .split('\n')
        .find((text) => text.endsWith('}')),
    );
    assert.equal((JSON.parse(line) as Event).custom.outcome, 'allow');
  });

  test('that cannot be written changes no answer and is counted', async (context) => {
    const folder = scratchFolder(context);
    const config = { postern: { decision_file: { path: join(folder, 'bundle.tar.gz/decisions.json') } } };
    const server = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], config, folder });
    const client = checkClient(server.grpc);
    const reply = await client.send(httpRequest({ path: '/fine' }));
    client.close();
    assert.ok('response' in reply && reply.response[0] === 0x0a && reply.response[1] === 0);
    await eventually(async () => {
      const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
      return /postern_decision_log_errors_total [1-9]/.test(text) ? true : undefined;
    });
  });
});

describe('the HTTP API', () => {
  test('answers OPA’s data API, status and configuration without secrets', async (context) => {
    const folder = scratchFolder(context);
    const config = {
      services: {
        s: { url: 'http://127.0.0.1:1', credentials: { bearer: { token: 's3cr3t' } }, headers: { 'x-k': 's3cr3t' } },
      },
    };
    const server = await startPostern(context, { args: ['-b', buildPolicy(policy, folder)], config, folder });
    const post = async (path: string, body: string): Promise<{ status: number; text: string }> => {
      const response = await fetch(`http://${server.api}${path}`, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
      });
      return { status: response.status, text: await response.text() };
    };
    const asked = await post('/v1/data/envoy/authz/allow', '{"input":{"parsed_path":["fine"]}}');
    assert.deepEqual((JSON.parse(asked.text) as { result: unknown }).result, { allowed: true, reason: 'because' });
    assert.ok(
      !(
        'result' in
        (JSON.parse((await post('/v1/data/envoy/authz/allow', '{"input":{"parsed_path":["none"]}}')).text) as object)
      ),
    );
    assert.ok(!('result' in (JSON.parse((await post('/v1/data/not/there', '{}')).text) as object)));
    for (const body of ['{', '[]', '"x"', '['.repeat(5000)]) assert.equal((await post('/v1/data/x', body)).status, 400);
    assert.equal((await post('/v1/data/x', `{"input":"${'x'.repeat(70_000)}"}`)).status, 413);
    const get = await fetch(
      `http://${server.api}/v1/data/envoy/authz/allow?input=${encodeURIComponent('{"parsed_path":["fine"]}')}`,
    );
    assert.equal(((await get.json()) as { result: { allowed: boolean } }).result.allowed, true);
    const shown = await (await fetch(`http://${server.api}/v1/config`)).text();
    assert.ok(shown.includes('127.0.0.1:1') && !shown.includes('s3cr3t'), shown);
    assert.equal((await fetch(`http://${server.api}/nope`)).status, 404);
  });
});
