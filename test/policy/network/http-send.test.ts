import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  AsyncBuiltinError,
  loadPolicy,
  type Policy,
  type PolicyOptions,
} from '../../../src/policy/engine/load-policy.ts';
import { buildModule } from '../../support/modules.ts';
import { tool } from '../../support/process.ts';
import { createScope } from '../../support/scope.ts';
import { scratchFolder } from '../../support/servers.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);

const rego =
  'package p\n\nx := http.send(input)\n\ny := [http.send(r) | some r in input]\n\nip := net.lookup_ip_addr(input)\n';
const wasm = buildModule(rego, folder, ['p/x', 'p/y', 'p/ip']);
writeFileSync(join(folder, 'p.rego'), rego);

type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  body: string;
};
const seen: Seen[] = [];

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  suite.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const answers: { readonly [path: string]: (request: Seen) => { status?: number; headers?: object; body?: string } } = {
  '/json': () => ({
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: '{"n":12345678901234567890}',
  }),
  '/problem': () => ({ status: 404, headers: { 'content-type': 'application/problem+json' }, body: '{"a":[1]}' }),
  '/yaml': () => ({ headers: { 'content-type': 'application/yaml' }, body: 'a: [1, x]\n' }),
  '/text': () => ({ headers: { 'content-type': 'text/plain', 'x-two': ['a', 'b'] }, body: '{"a":1}' }),
  '/broken': () => ({ headers: { 'content-type': 'application/json' }, body: '{' }),
  '/echo': ({ method, headers, body }) => ({
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ method, body, auth: headers.authorization ?? null, type: headers['content-type'] ?? null }),
  }),
  '/moved': () => ({ status: 302, headers: { location: '/json' } }),
  '/out': () => ({ status: 302, headers: { location: 'http://169.254.169.254/latest/meta-data' } }),
  '/loop': () => ({ status: 302, headers: { location: '/loop' } }),
  '/fresh': () => ({ headers: { 'cache-control': 'max-age=1000' }, body: 'fresh' }),
  '/no-store': () => ({ headers: { 'cache-control': 'no-store, max-age=1000' }, body: 'x' }),
  '/no-cache': () => ({ headers: { 'cache-control': 'no-cache, max-age=1000' }, body: 'x' }),
  '/vary': () => ({ headers: { 'cache-control': 'max-age=1000', vary: 'X-Trace' }, body: 'x' }),
  '/tagged': ({ headers }) =>
    headers['if-none-match'] === '"1"'
      ? { status: 304, headers: { etag: '"1"', 'cache-control': 'max-age=0' } }
      : { headers: { etag: '"1"', 'cache-control': 'max-age=0' }, body: 'tagged' },
  '/large': () => ({ body: 'x'.repeat(100_000) }),
};

const handler: RequestListener = async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const entry = {
    method: request.method ?? '',
    url: request.url ?? '',
    headers: request.headers,
    body: Buffer.concat(chunks).toString(),
  };
  seen.push(entry);
  // Never answered.
  if (entry.url === '/slow') return;
  const { status = 200, headers = {}, body = '' } = answers[entry.url]?.(entry) ?? { status: 500 };
  response.writeHead(status, headers as Record<string, string>).end(body);
};

const port = await listen(createServer(handler));
const url = (path: string): string => `http://127.0.0.1:${port}${path}`;
const network = { allowHosts: ['127.0.0.1', 'localhost'], allowPrivate: ['127.0.0.0/8', '::1/128'] };
const policyWith = (options: PolicyOptions = { network }): Promise<Policy> => loadPolicy(wasm, options);
const policy = await policyWith();

type Sent = {
  readonly status_code: number;
  readonly raw_body?: string;
  readonly body?: unknown;
  readonly error?: { code: string; message: string };
};

async function send(request: object, asked: Policy = policy): Promise<Sent | undefined> {
  const [binding] = (await asked.evaluateAsync(request, 'p/x')) as { readonly result: Sent }[];
  return binding?.result;
}
const requestsTo = (path: string): number => seen.filter((entry) => entry.url === path).length;

/** What real OPA answers, without what changes with time. */
async function opaSends(request: object): Promise<unknown> {
  const input = join(folder, 'input.json');
  writeFileSync(input, JSON.stringify(request));
  const args = ['eval', '-f', 'raw', '-i', input, '-d', join(folder, 'p.rego'), 'data.p.x'];
  const { stdout } = await promisify(execFile)(tool('opa'), args);
  return stdout === '' ? undefined : withoutTime(JSON.parse(stdout));
}
function withoutTime(answer: unknown): unknown {
  const { headers, ...rest } = answer as { readonly headers?: object };
  const { date, connection, 'keep-alive': keepAlive, ...others } = { ...headers } as { [name: string]: unknown };
  return { ...rest, ...(headers === undefined ? {} : { headers: others }) };
}

describe('http.send answers as OPA does', () => {
  for (const request of [
    { method: 'get', url: url('/problem') },
    { method: 'GET', url: url('/yaml') },
    { method: 'GET', url: url('/text') },
    { method: 'GET', url: url('/text'), force_json_decode: true },
    { method: 'GET', url: url('/text'), force_yaml_decode: true },
    { method: 'GET', url: url('/broken') },
    { method: 'POST', url: url('/echo'), body: { a: '<1>', b: [1.5] }, headers: { Authorization: 'Bearer t' } },
    { method: 'PUT', url: url('/echo'), raw_body: 'plain', body: 1, headers: { 'Content-Type': 'text/plain' } },
    { method: 'DELETE', url: url('/echo') },
    { method: 'GET', url: url('/moved') },
    { method: 'GET', url: url('/moved'), enable_redirect: true },
    { method: 'GET', url: `http://user:pass@127.0.0.1:${port}/echo` },
  ]) {
    test(JSON.stringify(request).slice(0, 120), async () => {
      assert.deepEqual(withoutTime(await send(request)), await opaSends(request));
    });
  }

  test('is undefined where OPA says that a request is malformed', async () => {
    for (const request of [
      { url: url('/json') },
      { method: 'GET', url: url('/json'), colour: 'red' },
      { method: 'GET', url: 5 },
      { method: 'GET', url: url('/json'), timeout: 'soon' },
      { method: 'GET', url: url('/json'), headers: { a: 1 } },
      { method: 'GET', url: url('/json'), cache: 'yes' },
      { method: 'GET', url: url('/json'), force_cache: true },
      { method: 'GET', url: url('/json'), max_retry_attempts: -1 },
      { method: 'GET', url: 'ftp://127.0.0.1/x' },
    ]) {
      assert.equal(await send(request), undefined, JSON.stringify(request));
      assert.equal(await opaSends(request), undefined, JSON.stringify(request));
    }
  });
});

describe('http.send', () => {
  test('keeps every digit of a JSON body', async () => {
    const text = await policy.evaluateTextAsync(JSON.stringify({ method: 'GET', url: url('/json') }), 'p/x');
    assert.match(text, /"n": ?12345678901234567890/);
  });

  test('sends each request of one evaluation once, and several that differ', async () => {
    seen.length = 0;
    const request = { method: 'GET', url: url('/fresh') };
    const [answer] = (await policy.evaluateAsync([request, request, { ...request, url: url('/text') }], 'p/y')) as [
      { readonly result: readonly Sent[] },
    ];
    assert.deepEqual(
      answer.result.map(({ raw_body }) => raw_body),
      ['fresh', 'fresh', '{"a":1}'],
    );
    assert.equal(seen.length, 2);
  });

  test('cannot be called by an evaluation that does not wait', () => {
    seen.length = 0;
    assert.throws(() => policy.evaluate({ method: 'GET', url: url('/json') }, 'p/x'), AsyncBuiltinError);
    assert.equal(seen.length, 0);
  });

  test('tells of errors instead of being undefined, when asked to', async () => {
    const refused = await send({ method: 'GET', url: 'http://127.0.0.1:1/', raise_error: false });
    assert.equal(refused?.status_code, 0);
    assert.equal(refused?.error?.code, 'eval_http_send_network_error');
    const late = await send({ method: 'GET', url: url('/slow'), timeout: '50ms', raise_error: false });
    assert.match(late?.error?.message ?? '', /request timed out/);
    const malformed = await send({ method: 'GET', raise_error: false });
    assert.equal(malformed?.error?.code, 'eval_http_send_internal_error');
    assert.equal(await send({ method: 'GET', url: 'http://127.0.0.1:1/' }), undefined);
  });

  test('reads certificates from files only, and not before the host is known to be allowed', async () => {
    const request = { method: 'GET', url: url('/json'), tls_ca_cert_file: '/dev/zero', raise_error: false };
    assert.match((await send(request))?.error?.message ?? '', /cannot be read/);
    const elsewhere = await send({ ...request, url: 'http://example.com/' });
    assert.match(elsewhere?.error?.message ?? '', /disallowed host/);
  });

  test('reads no more than it may', async () => {
    const small = await policyWith({ network: { ...network, maxResponseBytes: 10_000 } });
    assert.equal(await send({ method: 'GET', url: url('/large') }, small), undefined);
  });

  test('speaks only to hosts on its list, at addresses that are public or allowed', async () => {
    seen.length = 0;
    const refused = async (options: PolicyOptions, target: string): Promise<string> => {
      const asked = await policyWith(options);
      const answer = await send({ method: 'GET', url: target, raise_error: false }, asked);
      return answer?.error?.message ?? 'answered';
    };
    assert.match(await refused({}, url('/json')), /no host is allowed/);
    const elsewhere = { network: { ...network, allowHosts: ['example.com', '*.127.0.0.1', '127.0.0.1:1'] } };
    assert.match(await refused(elsewhere, url('/json')), /disallowed host/);
    const onlyPublic = { network: { allowHosts: ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]'] } };
    assert.match(await refused(onlyPublic, url('/json')), /disallowed address/);
    assert.match(await refused(onlyPublic, `http://2130706433:${port}/json`), /disallowed address/);
    assert.match(await refused(onlyPublic, `http://[::ffff:127.0.0.1]:${port}/json`), /disallowed/);
    assert.match(await refused(onlyPublic, `http://localhost:${port}/json`), /no address that is allowed/);
    const bothLists = { network: { ...network, allowNet: ['example.com'] } };
    assert.match(await refused(bothLists, url('/json')), /disallowed host/);
    assert.equal(seen.length, 0);
    assert.equal(await refused({ network }, `http://localhost:${port}/json`), 'answered');
  });

  test('follows no redirect to where it may not go, and not for ever', async () => {
    for (const [path, message] of [
      ['/out', /disallowed host/],
      ['/loop', /stopped after 10 redirects/],
    ] as const) {
      const answer = await send({ method: 'GET', url: url(path), enable_redirect: true, raise_error: false });
      assert.match(answer?.error?.message ?? '', message);
    }
  });

  test('uses responses again as their headers allow', async () => {
    let nowMs = Date.now();
    const asked = await policyWith({ network, now: () => nowMs });
    const count = async (request: object, path: string): Promise<number> => {
      const before = requestsTo(path);
      for (let i = 0; i < 3; i++) await send({ method: 'GET', url: url(path), ...request }, asked);
      return requestsTo(path) - before;
    };
    assert.equal(await count({}, '/fresh'), 3);
    assert.equal(await count({ cache: true }, '/fresh'), 1);
    nowMs += 1_001_000;
    // By this clock, what the server sends now is too old already.
    assert.equal(await count({ cache: true }, '/fresh'), 3);
    nowMs -= 1_001_000;
    assert.equal(await count({ cache: true }, '/no-store'), 3);
    assert.equal(await count({ force_cache: true, force_cache_duration_seconds: 5 }, '/no-store'), 1);
    nowMs += 6_000;
    assert.equal(await count({ force_cache: true, force_cache_duration_seconds: 5 }, '/no-store'), 1);
    const traced = { cache: true, cache_ignored_headers: ['X-Trace'], headers: { 'X-Trace': 'a' } };
    assert.equal(await count(traced, '/vary'), 3);
    assert.equal(await count(traced, '/fresh'), 1);
    assert.equal(await count({ cache: true }, '/no-cache'), 3);
    assert.equal(await count({ cache: true }, '/tagged'), 3);
    const tagged = await send({ method: 'GET', url: url('/tagged'), cache: true }, asked);
    assert.equal(tagged?.raw_body, 'tagged');
    assert.ok(seen.some(({ headers }) => headers['if-none-match'] === '"1"'));
  });

  test('trusts the authority that it is told to, and shows its certificate', async () => {
    const [ca, key] = ['ca.pem', 'key.pem'].map((name) => join(folder, name)) as [string, string];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-days', '2'];
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject];
    execFileSync('openssl', [...made, '-keyout', key, '-out', ca], { stdio: 'pipe' });
    const pem = readFileSync(ca, 'utf8');
    const tls = { key: readFileSync(key), cert: pem, ca: pem, requestCert: true, rejectUnauthorized: true };
    const secure = `https://localhost:${await listen(createTlsServer(tls, handler))}/json`;
    const both = { tls_client_cert_file: ca, tls_client_key_file: key };
    assert.equal((await send({ method: 'GET', url: secure, tls_ca_cert: pem, ...both }))?.status_code, 200);
    assert.equal((await send({ method: 'GET', url: secure, tls_ca_cert_file: ca, ...both }))?.status_code, 200);
    assert.equal(
      (await send({ method: 'GET', url: secure, tls_insecure_skip_verify: true, ...both }))?.status_code,
      200,
    );
    assert.equal(await send({ method: 'GET', url: secure, ...both }), undefined);
    assert.equal(await send({ method: 'GET', url: secure, tls_ca_cert: pem }), undefined);
    assert.equal(
      await send({ method: 'GET', url: secure, tls_ca_cert_file: join(folder, 'p.rego'), ...both }),
      undefined,
    );
  });
});

describe('net.lookup_ip_addr', () => {
  test('knows the addresses of hosts on the list, and of addresses', async () => {
    const lookUp = async (host: string): Promise<readonly unknown[]> => policy.evaluateAsync(host, 'p/ip');
    const [local] = (await lookUp('localhost')) as [{ readonly result: readonly string[] }];
    assert.ok(local.result.some((address) => address === '127.0.0.1' || address === '::1'));
    assert.deepEqual(await lookUp('10.0.0.1'), [{ result: ['10.0.0.1'] }]);
    assert.deepEqual(await lookUp('example.com'), []);
  });
});
