import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { checkClient, httpRequest } from '../support/grpc.ts';
import { listen } from '../support/listen.ts';
import { eventually } from '../support/process.ts';
import { buildPolicy, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { readWal } from '../support/wal-folder.ts';

type Event = {
  readonly input?: {
    readonly attributes: { readonly request: { readonly http: { readonly [name: string]: unknown } } };
    readonly parsed_body?: unknown;
  };
  readonly result: { readonly dynamic_metadata: { readonly [name: string]: unknown } };
  readonly nd_builtin_cache?: { readonly [builtin: string]: { readonly [args: string]: unknown } };
  readonly bundles: { readonly [name: string]: { readonly revision: string } };
  readonly path: string;
  readonly custom: { readonly cancelled?: boolean; readonly outcome: string };
};

async function serve(context: TestContext, rego: string, postern: Tree = {}, store: Tree = {}) {
  const folder = scratchFolder(context);
  const bundle = buildPolicy(`package envoy.authz\n\n${rego}\n`, folder);
  const data = join(folder, 'data');
  const server = await startPostern(context, {
    folder,
    args: ['--bundle', bundle],
    config: { postern: { ...postern, store: { path: data, ...store } } },
  });
  const client = checkClient(server.grpc);
  context.after(client.close);
  const events = (count: number): Promise<readonly Event[]> =>
    eventually(async () => {
      const { events } = readWal(data);
      return events.length === count ? (events as unknown as readonly Event[]) : undefined;
    });
  return { server, client, events, data };
}

const reach = { http_send: { allow_hosts: ['127.0.0.1'], allow_private: ['127.0.0.0/8'] } };

describe('an event on the disk', () => {
  test('has what the policy was asked with and told, without secrets', async (context) => {
    const url = await listen(context, (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"score": 7, "api_key": "s3cr3t-answer"}');
    });
    const rego = `answer := http.send({"method": "GET", "url": "${url}/", "headers": {"authorization": "Bearer s3cr3t-1234567"}})

allow := {"allowed": true, "dynamic_metadata": {
	"now": sprintf("%d", [time.now_ns()]),
	"again": sprintf("%d", [time.now_ns()]),
	"dice": rand.intn("dice", 1000000),
	"id": uuid.rfc4122("x"),
	"score": answer.body.score,
	"team": input.attributes.request.http.headers["x-team"],
}}`;
    const { client, events, data } = await serve(context, rego, reach);
    await client.send(httpRequest({ path: '/a?b=c', headers: { 'X-Team': 'red', cookie: 'sid=s3cr3t-cookie' } }));
    const [event] = await events(1);
    assert.ok(event);
    const { nd_builtin_cache: told, result } = event;
    const metadata = result.dynamic_metadata;
    assert.equal(String(told?.['time.now_ns']?.['[]']).slice(0, 12), String(metadata['now']).slice(0, 12));
    assert.equal(metadata['now'], metadata['again']);
    assert.deepEqual(told?.['rand.intn'], { '["dice",1000000]': metadata['dice'] });
    assert.deepEqual(told?.['uuid.rfc4122'], { '["x"]': metadata['id'] });
    const [[args, answer] = []] = Object.entries(told?.['http.send'] ?? {});
    assert.match(String(args), /^\[\{"headers":\{"authorization":"\*\*REDACTED\*\*"\},"method":"GET","url":/);
    assert.deepEqual((answer as { readonly body: object }).body, { score: 7, api_key: '**REDACTED**' });
    assert.equal(metadata['score'], 7);
    assert.equal(metadata['team'], 'red');
    assert.deepEqual(event.input?.attributes.request.http['headers'], { 'x-team': 'red', cookie: '**REDACTED**' });
    assert.equal(event.path, 'envoy/authz/allow');
    assert.deepEqual(Object.values(event.bundles), [{ revision: 'r1' }]);
    assert.ok(!JSON.stringify(readWal(data)).includes('s3cr3t'));
  });

  test('has it too when the evaluation went on in another thread, and no such key without such a call', async (context) => {
    const rego = `allow := {"allowed": true, "dynamic_metadata": {"dice": rand.intn("dice", 1000000)}} if {
	input.parsed_path[0] == "long"
	count([x | some x in numbers.range(1, 20000); x % 7 == 0]) > 0
}

allow := {"allowed": true, "dynamic_metadata": {}} if input.parsed_path[0] == "short"`;
    const { client, events } = await serve(context, rego, { evaluation: { inline_steps: 10_000 } });
    await client.send(httpRequest({ path: '/long' }));
    await client.send(httpRequest({ path: '/short' }));
    const [long, short] = await events(2);
    assert.deepEqual(long?.nd_builtin_cache, {
      'rand.intn': { '["dice",1000000]': long?.result.dynamic_metadata['dice'] },
    });
    assert.ok(short !== undefined && !('nd_builtin_cache' in short));
  });

  test('has as much of the input as is asked for', async (context) => {
    const headers = { authorization: 'Bearer s3cr3t-token', 'content-type': 'application/json' };
    const body = '{"city": "Bern", "note": "plain"}';
    const http = (event: Event | undefined) => event?.input?.attributes.request.http;
    for (const input of ['masked', 'full', 'off']) {
      const { client, events, data } = await serve(context, 'allow := true', {}, { input });
      await client.send(httpRequest({ headers, body }));
      await client.send(httpRequest({ headers, body: '{"password": "s3cr3t-body", "city": "Bern"}' }));
      const [plain, secret] = await events(2);
      const bodies = [plain, secret].map((event) => http(event)?.['body']);
      const expected = {
        masked: Array(2).fill('**REDACTED**'),
        full: [body, '**REDACTED**'],
        off: Array(2).fill(undefined),
      };
      assert.deepEqual(bodies, expected[input as keyof typeof expected]);
      assert.equal(input === 'off', plain?.input === undefined);
      const parsed = input === 'off' ? undefined : { password: '**REDACTED**', city: 'Bern' };
      assert.deepEqual(secret?.input?.parsed_body, parsed);
      assert.ok(!JSON.stringify(readWal(data)).includes('s3cr3t'));
    }
  });

  test('is there when the caller has stopped waiting, and says so', async (context) => {
    let isAsked = (): void => {};
    const asked = new Promise<void>((resolve) => (isAsked = resolve));
    let answer = (): void => {};
    const slow: RequestListener = (_request, response) => {
      answer = () => void response.end('{}');
      isAsked();
    };
    const url = await listen(context, slow);
    const rego = `allow if input.parsed_path[0] == "quick"

allow if {
	input.parsed_path[0] == "slow"
	http.send({"method": "GET", "url": "${url}/"}).status_code == 200
}`;
    const { server, events } = await serve(context, rego, reach);
    const client = new Client(server.grpc, credentials.createInsecure());
    context.after(() => client.close());
    const same = (bytes: Buffer): Buffer => bytes;
    const ask = (path: string, onEnd: () => void) =>
      client.makeUnaryRequest(
        '/envoy.service.auth.v3.Authorization/Check',
        same,
        same,
        Buffer.from(httpRequest({ path })),
        onEnd,
      );
    await new Promise<void>((resolve) => {
      const call = ask('/slow', resolve);
      void asked.then(() => call.cancel());
    });
    // Behind the end of the first call on the same connection.
    await new Promise<void>((resolve) => ask('/quick', resolve));
    answer();
    const [quick, slowOne] = await events(2);
    assert.equal(quick?.custom.cancelled, undefined);
    assert.equal(slowOne?.custom.cancelled, true);
    assert.equal(slowOne?.custom.outcome, 'allow');
  });
});

test('the metrics of the log pass promtool', async (context) => {
  const { server, client, events } = await serve(context, 'allow := true');
  await client.send(httpRequest({}));
  await events(1);
  const text = await eventually(async () => {
    const now = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    return now.includes('postern_store_queue_decisions 0\n') ? now : undefined;
  });
  execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: 'pipe' });
  for (const line of [
    'postern_store_queue_decisions 0',
    'postern_store_queue_bytes 0',
    'postern_store_dropped_decisions_total{reason="overflow"} 0',
    'postern_store_gaps_total 0',
    'postern_store_sync_duration_seconds_count 1',
    'postern_decision_log_records_total{result="written",sink="store"} 1',
  ]) {
    assert.ok(text.includes(`${line}\n`), line);
  }
});
