import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { type CheckClient, checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { buildPolicy, type Server, type StartOptions, scratchFolder, startPostern } from '../support/servers.ts';

type Answer = { readonly code: number; readonly http: number };

/** The status of the answer, and what Envoy would say to the client; a gRPC error fails the test. */
async function statusOf(client: CheckClient, path: string, deadlineMs?: number): Promise<Answer> {
  const reply = await client.send(
    httpRequest({ path }),
    deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
  );
  assert.ok('response' in reply, JSON.stringify(reply));
  const { status, deniedResponse, okResponse } = readResponse(reply.response) as {
    readonly status?: { readonly code?: number };
    readonly deniedResponse?: { readonly status?: { readonly code?: number } };
    readonly okResponse?: object;
  };
  const code = status?.code ?? 0;
  assert.equal(code === 0, okResponse !== undefined || deniedResponse === undefined);
  return { code, http: code === 0 ? 200 : (deniedResponse?.status?.code ?? 403) };
}

async function serve(
  context: TestContext,
  rego: string,
  options: Omit<StartOptions, 'folder'> = {},
): Promise<{ readonly server: Server; readonly client: CheckClient }> {
  const folder = scratchFolder(context);
  const bundle = buildPolicy(`package envoy.authz\n\npath := input.attributes.request.http.path\n\n${rego}\n`, folder);
  const server = await startPostern(context, { folder, args: ['--bundle', bundle], ...options });
  const client = checkClient(server.grpc);
  context.after(client.close);
  return { server, client };
}

describe('policies that ask the network', () => {
  const rego = `allow if {
	response := http.send({"method": "GET", "url": sprintf("http://127.0.0.1:%d%s", [data.port, path]), "timeout": "5s"})
	response.status_code == 200
	response.body.allow
}`;

  async function startAuthority(context: TestContext): Promise<number> {
    const server = createServer((request, response) => {
      if (request.url === '/slow') return;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ allow: request.url === '/yes' }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    context.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }
  const withPort = (port: number): string => rego.replace('data.port', String(port));
  const http_send = { allow_hosts: ['127.0.0.1'], allow_private: ['127.0.0.0/8'] };

  test('are answered by what it says, and in time when it says nothing', async (context) => {
    const { client } = await serve(context, withPort(await startAuthority(context)), {
      config: { postern: { http_send } },
    });
    assert.deepEqual(await statusOf(client, '/yes'), { code: 0, http: 200 });
    assert.deepEqual(await statusOf(client, '/no'), { code: 7, http: 403 });
    // While one waits, others are answered.
    const [slow, ...others] = await Promise.all([
      statusOf(client, '/slow', 2_000),
      ...Array.from({ length: 20 }, () => statusOf(client, '/yes')),
    ]);
    assert.deepEqual(slow, { code: 14, http: 503 });
    assert.ok(others.every(({ http }) => http === 200));
  });

  test('are denied when the network fails or the host is not on the list', async (context) => {
    const { client } = await serve(context, withPort(1), { config: { postern: { http_send } } });
    assert.deepEqual(await statusOf(client, '/yes'), { code: 7, http: 403 });
    const port = await startAuthority(context);
    const elsewhere = { ...http_send, allow_hosts: ['127.0.0.2'] };
    const other = await serve(context, withPort(port), { config: { postern: { http_send: elsewhere } } });
    assert.deepEqual(await statusOf(other.client, '/yes'), { code: 7, http: 403 });
  });

  test('are refused when no host is allowed, and the reason says what to set', async (context) => {
    const folder = scratchFolder(context);
    const resource = `file://${buildPolicy(`package envoy.authz\n\npath := "/"\n\n${withPort(1)}`, folder)}`;
    const server = await startPostern(context, {
      folder,
      untilReady: false,
      config: { bundles: { main: { resource } } },
    });
    const client = checkClient(server.grpc);
    context.after(client.close);
    assert.deepEqual(await statusOf(client, '/yes'), { code: 14, http: 503 });
    await eventually(async () => {
      const status = await (await fetch(`http://${server.api}/v1/status`)).text();
      return status.includes('postern.http_send.allow_hosts allows no host') ? true : undefined;
    });
  });
});

describe('evaluations that take long', () => {
  const rego = `allow if startswith(path, "/small")

xs := numbers.range(1, 3000)

texts := [sprintf("%d", [x]) | some x in xs]

allow if {
	startswith(path, "/loop")
	some x in texts
	some y in texts
	x == concat("", [y, "!"])
}

allow if {
	path == "/long"
	count([x | some x in texts; some y in ["1", "2", "3000"]; x == y]) == 3
}

allow if {
	path == "/memory"
	count(numbers.range(1, 1000000000)) > 0
}`;

  test('are answered by a thread of their own, or cut off, and delay nobody', async (context) => {
    const { client } = await serve(context, rego);
    assert.deepEqual(await statusOf(client, '/long'), { code: 0, http: 200 });
    const order: string[] = [];
    const asked = async (path: string): Promise<Answer> => {
      const answer = await statusOf(client, path);
      order.push(path);
      return answer;
    };
    const long = Promise.all([asked('/loop/1'), asked('/memory'), asked('/loop/2')]);
    for (let i = 0; i < 20; i++) assert.deepEqual(await asked('/small'), { code: 0, http: 200 });
    assert.ok((await long).every(({ code, http }) => code === 14 && http === 503));
    assert.ok(order.indexOf('/small') < order.indexOf('/loop/2'));
    assert.deepEqual(await statusOf(client, '/long'), { code: 0, http: 200 });
  });

  test('are answered before their deadline, whatever waits before them', async (context) => {
    const { client } = await serve(context, rego);
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => statusOf(client, `/loop/${i}`, 3_000)));
    assert.ok(answers.every(({ code, http }) => code === 14 && http === 503));
    assert.deepEqual(await statusOf(client, '/small'), { code: 0, http: 200 });
  });
});
