import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { createServices, type Services } from '../../src/bundles/sources/services.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Scope } from '../support/scope.ts';
import { serviceConfig } from '../support/sources.ts';
import { serve } from '../support/web.ts';

type Seen = { readonly request: IncomingMessage; readonly body: string; readonly port: number | undefined };

async function setUp(scope: Scope, status: number, headers: Record<string, string> = {}, answer = 'x'.repeat(100_000)) {
  const seen: Seen[] = [];
  const url = await serve(scope, (request, response) => {
    let body = '';
    const port = request.socket.remotePort;
    request.setEncoding('utf8').on('data', (part: string) => (body += part));
    request.on('end', () => {
      seen.push({ request, body, port });
      response.writeHead(status, headers).end(answer);
    });
  });
  return { url, seen };
}

function servicesFor(scope: Scope, over: Parameters<typeof serviceConfig>[0], env = {}): Services {
  const services = createServices({
    services: { ci: serviceConfig(over) },
    keys: {},
    env,
    clock: systemClock,
    log: { warn: () => {} },
  });
  scope.after(services.close);
  return services;
}

const post = (services: Services, url: string, body: string | Uint8Array = '{"a":1}') =>
  services.clientOf('ci').post({
    url: new URL(`${url}/status`),
    headers: { 'content-type': 'application/json' },
    body,
    signal: new AbortController().signal,
  });

test('a service is sent what it is to have, with its credentials, and answers by its status', async (context) => {
  const { url, seen } = await setUp(context, 204);
  const services = servicesFor(context, { url, credentials: { bearer: { token: 't', scheme: 'Bearer' } } });
  assert.equal((await post(services, url)).status, 204);
  assert.deepEqual(
    seen.map(({ request, body }) => [request.method, request.url, request.headers.authorization, body]),
    [['POST', '/status', 'Bearer t', '{"a":1}']],
  );
});

test('what is sent one after the other goes over one connection, unless answers are long', async (context) => {
  for (const [answer, isOne] of [
    ['{}', true],
    ['x'.repeat(100_000), false],
  ] as const) {
    const { url, seen } = await setUp(context, 200, {}, answer);
    const services = servicesFor(context, { url });
    for (let i = 0; i < 3; i++) {
      await post(services, url);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const sockets = new Set(seen.map(({ port }) => port));
    assert.equal(sockets.size === 1, isOne);
  }
});

test('what is sent to a service goes nowhere else', async (context) => {
  const elsewhere = await setUp(context, 200);
  for (const status of [301, 302, 307, 308]) {
    const { url } = await setUp(context, status, { location: `${elsewhere.url}/status` });
    assert.equal((await post(servicesFor(context, { url }), url)).status, status);
  }
  assert.deepEqual(elsewhere.seen, []);
});

test('what is sent is signed as well, where requests to the service are', async (context) => {
  const { url, seen } = await setUp(context, 200);
  const env = { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'aws-secret', AWS_REGION: 'eu-north-1' };
  const credentials = { s3_signing: { signature_version: '4', environment_credentials: {} } } as const;
  const services = servicesFor(context, { url, credentials }, env);
  await post(services, url);
  await post(services, url, '{"a":2}');
  await post(services, url, Buffer.from('{"a":2}'));
  const [one, two, three] = seen.map(({ request }) => request.headers);
  assert.match(one?.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=AKID\/.*SignedHeaders=content-type;host;/);
  assert.notEqual(one?.['x-amz-content-sha256'], two?.['x-amz-content-sha256']);
  assert.equal(three?.['x-amz-content-sha256'], two?.['x-amz-content-sha256']);
});

test('an error names the method and the place, and nothing that was sent', async (context) => {
  const services = servicesFor(context, { url: 'http://127.0.0.1:1' });
  await assert.rejects(post(services, 'http://127.0.0.1:1'), {
    message: 'POST http://127.0.0.1:1/status: the connection is refused (ECONNREFUSED)',
  });
});
