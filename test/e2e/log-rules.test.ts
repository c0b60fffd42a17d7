import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { checkClient, httpRequest, type Reply, readResponse } from '../support/grpc.ts';
import { eventually, tool } from '../support/process.ts';
import { buildBundle, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import { readWal } from '../support/wal-folder.ts';

/* The rules of a policy about the decision log, as bundles bring them. */

const canary = 'Cnry-4711-Value';

const verdict = `package envoy.authz

allow := {"allowed": input.parsed_path[0] != "deny", "dynamic_metadata": {"team": "red", "note": "keep"}}
`;

const rules = `package system.log

http := input.input.attributes.request.http

drop if input.input.parsed_path[0] == "health"

mask contains "/input/attributes/request/http/headers/x-person"

mask contains "/result/dynamic_metadata/team"

mask contains "/input/nowhere/at/all"

mask contains {"op": "upsert", "path": "/input/attributes/request/http/path", "value": "/hidden"}

mask contains {"op": "upsert", "path": "/input/seen", "value": {
	"method": http.method,
	"team": input.result.dynamic_metadata.team,
	"by": input.labels.app,
	"at": input.path,
	"keys": object.keys(input),
}}

# What a rule must not be able to do.
mask contains {"op": "upsert", "path": "/input/again", "value": http.headers}

mask contains {"op": "upsert", "path": "/input/attributes/request/http/headers/authorization", "value": http.headers.authorization}

mask contains {"op": "upsert", "path": sprintf("/input/%s", [http.headers["x-api-key"]]), "value": http.headers["x-api-key"]}

mask contains {"op": "upsert", "path": "/result/echo", "value": [http.headers.cookie, "fine"]}
`;

type Event = {
  readonly decision_id: string;
  readonly input?: Tree & { readonly attributes: { readonly request: { readonly http: Tree } } };
  readonly result: unknown;
  readonly erased?: readonly string[];
  readonly masked?: readonly string[];
  readonly custom: Tree;
  readonly seq?: number;
};

type Options = {
  readonly log?: string;
  readonly entrypoints?: readonly string[];
  readonly postern?: Tree;
  readonly store?: Tree;
};

const entrypointsIn = (log: string): readonly string[] =>
  ['mask', 'drop'].filter((rule) => new RegExp(`^${rule}\\b`, 'm').test(log)).map((rule) => `system/log/${rule}`);

/** Postern with all outputs of the log. */
async function serve(context: TestContext, options: Options = {}) {
  const { log = rules, entrypoints = entrypointsIn(log), postern = {}, store = {} } = options;
  const folder = scratchFolder(context);
  const sources = [join(folder, 'verdict.rego'), join(folder, 'log.rego')] as const;
  writeFileSync(sources[0], verdict);
  writeFileSync(sources[1], log);
  const bundle = buildBundle(sources, join(folder, 'bundle.tar.gz'), { otherEntrypoints: entrypoints });
  const data = join(folder, 'data');
  const server = await startPostern(context, {
    folder,
    args: ['-b', bundle],
    config: {
      labels: { app: 'shop' },
      decision_logs: { console: true },
      postern: { decision_file: { path: join(folder, 'log.ndjson') }, store: { path: data, ...store }, ...postern },
    },
  });
  const client = checkClient(server.grpc);
  context.after(client.close);
  const fromFiles = (): readonly Event[] =>
    readdirSync(folder)
      .filter((name) => name.startsWith('log.ndjson'))
      .flatMap((name) => eventsIn(readFileSync(join(folder, name), 'utf8')));
  const outputs = {
    console: () => eventsIn(server.stdout()),
    file: fromFiles,
    store: () => readWal(data).events as unknown as readonly Event[],
  };
  /** What each output has, once it has so many, in one order. */
  const events = (count: number) =>
    eventually(async () => {
      const found = Object.values(outputs).map((read) =>
        [...read()].sort((a, b) => (a.decision_id < b.decision_id ? -1 : 1)),
      );
      return found.every(({ length }) => length === count) ? found : undefined;
    });
  return { server, client, events, data, written: () => JSON.stringify(Object.values(outputs).map((read) => read())) };
}

const eventsIn = (text: string): readonly Event[] =>
  text
    .split('\n')
    .filter((line) => line.includes('"decision_id"'))
    .map((line) => JSON.parse(line) as Event);

const metricsOf = async (server: Server): Promise<string> =>
  (await fetch(`http://${server.diagnostic}/metrics`)).text();

const headers = {
  'x-person': 'anna',
  'x-other': 'o',
  authorization: `Bearer ${canary}`,
  'x-api-key': `${canary}-key`,
  cookie: `sid=${canary}`,
};
const ask = (path: string, over: Tree = {}): Uint8Array => httpRequest({ path, headers: { ...headers, ...over } });

/** The gRPC code in an answer. */
function codeOf(reply: Reply): number {
  assert.ok('response' in reply);
  const { status } = readResponse(reply.response) as { readonly status?: { readonly code?: number } };
  return status?.code ?? 0;
}

for (const workers of [1, 2]) {
  test(`rules are followed in every output, with ${workers === 1 ? 'one process' : 'two workers'}`, async (context) => {
    const { server, client, events, written } = await serve(context, { postern: { workers } });
    for (const path of ['/a/b?x=1', '/health', '/health/x', '/deny']) await client.send(ask(path));
    const outputs = await events(2);
    for (const found of outputs) {
      const [allowed, denied] = found;
      assert.ok(allowed?.input !== undefined && denied !== undefined);
      const { http } = allowed.input.attributes.request;
      assert.equal(http['path'], '/hidden');
      assert.deepEqual(http['headers'], {
        'x-other': 'o',
        authorization: '**REDACTED**',
        'x-api-key': '**REDACTED**',
        cookie: '**REDACTED**',
      });
      assert.deepEqual(allowed.input['seen'], {
        ...{ method: 'GET', team: 'red', by: 'shop', at: 'envoy/authz/allow' },
        keys: ['bundles', 'custom', 'decision_id', 'input', 'labels', 'metrics', 'path', 'result', 'timestamp'],
      });
      assert.deepEqual(allowed.result, {
        allowed: true,
        dynamic_metadata: { note: 'keep' },
        echo: ['**REDACTED**', 'fine'],
      });
      assert.deepEqual(allowed.erased, [
        '/input/attributes/request/http/headers/x-person',
        '/result/dynamic_metadata/team',
      ]);
      assert.deepEqual([...new Set(allowed.masked)], allowed.masked);
      assert.ok(allowed.masked?.includes('/input/attributes/request/http/path'));
      assert.ok(!('path' in allowed.custom), 'the path is in custom');
      assert.equal(denied.custom['outcome'], 'deny');
    }
    assert.ok(!/Cnry/i.test(written() + server.stderr()));
    const metrics = await metricsOf(server);
    assert.match(metrics, /^postern_decision_log_dropped_by_policy_total 2$/m);
    assert.match(metrics, /^postern_decision_log_rule_failures_total\{rule="mask"\} 0$/m);
    assert.match(metrics, /^postern_decision_log_records_total\{result="dropped",sink="all"\} 0$/m);
  });
}

test('a dropped decision leaves no gap, and its answer is given where answers wait for their record', async (context) => {
  const { client, events, data } = await serve(context, { store: { durability: 'sync', on_overflow: 'deny' } });
  const codes: number[] = [];
  for (const path of ['/health', '/a', '/health', '/health', '/a', '/health']) {
    codes.push(codeOf(await client.send(ask(path))));
  }
  assert.deepEqual(codes, Array(6).fill(0));
  await events(2);
  const { gaps, events: kept } = readWal(data);
  assert.deepEqual(gaps, []);
  assert.deepEqual(
    kept.map(({ seq }) => seq),
    [2, 5],
  );
});

describe('rules that fail', () => {
  const broken: readonly (readonly [how: string, log: string, postern?: Tree])[] = [
    ['are odd', 'package system.log\n\nmask := {"/input": true}\n\ndrop := "true"\n'],
    ['have two answers', 'package system.log\n\nmask := [x] if some x in ["/input/a", "/input/b"]\n\ndrop := 1\n'],
    [
      'take too long',
      `package system.log

big := numbers.range(1, 30000)

mask := ["/input/a"] if count([x | some x in big; x % 7 == 0]) > 1

drop if count([x | some x in big; x % 7 == 0]) > 1
`,
      { evaluation: { inline_steps: 100_000 } },
    ],
    [
      'would have to wait for the network',
      'package system.log\n\nmask := ["/input/a"] if http.send({"method": "GET", "url": "http://127.0.0.1:1/"}).status_code == 0\n',
      { http_send: { allow_hosts: ['127.0.0.1'], allow_private: ['127.0.0.0/8'] } },
    ],
    [
      'take too long where a policy may wait',
      `package system.log

mask := ["/input/a"] if count([x | some x in numbers.range(1, 30000); x % 7 == 0]) > 1

drop if http.send({"method": "GET", "url": "http://127.0.0.1:1/"}).status_code == 0
`,
      {
        evaluation: { inline_steps: 100_000 },
        http_send: { allow_hosts: ['127.0.0.1'], allow_private: ['127.0.0.0/8'] },
      },
    ],
  ];
  for (const [how, log, postern = {}] of broken) {
    test(`since they ${how} cost the event its input, and no answer`, async (context) => {
      const { server, client, events, written } = await serve(context, { log, postern });
      for (let i = 0; i < 3; i++) {
        assert.equal(codeOf(await client.send(ask('/a'))), 0);
      }
      for (const found of await events(3)) {
        for (const event of found) {
          assert.ok(event.input === undefined && event.result === undefined);
          assert.deepEqual(event.erased, ['/input', '/result']);
        }
      }
      assert.ok(!/Cnry|anna/i.test(written() + server.stderr()));
      assert.match(await metricsOf(server), /^postern_decision_log_rule_failures_total\{rule="mask"\} 3$/m);
      assert.equal(server.stderr().match(/the mask rule of the decision log failed/g)?.length, 1);
    });
  }
});

test('rules at other paths are found by the configuration, and those without an entrypoint are none', async (context) => {
  const log = 'package ops\n\nhide contains "/input"\n\ngone if input.input.parsed_path[0] == "health"\n';
  const folder = scratchFolder(context);
  const sources = [join(folder, 'verdict.rego'), join(folder, 'log.rego')] as const;
  writeFileSync(sources[0], verdict);
  writeFileSync(sources[1], log);
  const bundle = buildBundle(sources, join(folder, 'bundle.tar.gz'), { otherEntrypoints: ['ops/hide'] });
  const server = await startPostern(context, {
    folder,
    args: ['-b', bundle],
    config: { decision_logs: { console: true, mask_decision: '/ops/hide', drop_decision: 'ops/gone' } },
  });
  const client = checkClient(server.grpc);
  context.after(client.close);
  await client.send(ask('/health'));
  const [event] = await eventually<readonly Event[]>(async () => {
    const found = eventsIn(server.stdout());
    return found.length > 0 ? found : undefined;
  });
  assert.deepEqual(event?.erased, ['/input']);
  assert.match(server.stderr(), /nothing follows decision_logs\.drop_decision/);
  assert.ok(!server.stderr().includes('decision_logs.mask_decision'));
});

test('rules in sources are compiled with them, and sources without rules are fine', async (context) => {
  const folder = scratchFolder(context);
  const policy = join(folder, 'policy');
  mkdirSync(policy);
  writeFileSync(join(policy, 'verdict.rego'), verdict);
  const opaPath = { PATH: `${dirname(tool('opa'))}:${process.env['PATH']}` };
  const config = { decision_logs: { console: true } };
  const erased = async (): Promise<Event['erased']> => {
    const server = await startPostern(context, { folder, args: [policy], config, env: opaPath });
    const client = checkClient(server.grpc);
    await client.send(ask('/a'));
    client.close();
    const [event] = await eventually<readonly Event[]>(async () => {
      const found = eventsIn(server.stdout());
      return found.length > 0 ? found : undefined;
    });
    await server.stop();
    return event?.erased;
  };
  assert.equal(await erased(), undefined);
  writeFileSync(join(policy, 'log.rego'), 'package system.log\n\nmask := ["/input"]\n');
  assert.deepEqual(await erased(), ['/input']);
});

test('columns are filled without an input', async (context) => {
  const { server, client } = await serve(context, {
    log: 'package system.log\n\nmask := []\n',
    entrypoints: [],
    store: { input: 'off' },
  });
  await client.send(ask('/people/4711?q=1'));
  const row = await eventually(async () => {
    const response = await fetch(`http://${server.api}/v1/decisions/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql: 'SELECT method, host, path, route, input FROM decisions' }),
    });
    const { rows = [] } = (await response.json()) as { readonly rows?: readonly (readonly unknown[])[] };
    return rows[0];
  });
  assert.deepEqual(row, ['GET', 'api.test', '/people/4711', '/people/{id}', null]);
});
