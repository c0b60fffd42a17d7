import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { type Agent, startAgent } from '../support/agent.ts';
import { type IssueOptions, issue, type Pair, selfSigned } from '../support/certificates.ts';
import { ask as askEnvoy, startEnvoy, startUpstream } from '../support/envoy.ts';
import { encodeRequest, httpRequest } from '../support/grpc.ts';
import { eventually, freePorts, root, startProcess, tool } from '../support/process.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { buildPolicy, merge, type Server, scratchFolder, startPostern, type Tree } from '../support/servers.ts';
import {
  createJwtAuthority,
  createTrustDomain,
  jwtBundlesResponse,
  type Svid,
  type TrustDomain,
  x509Response,
} from '../support/spiffe.ts';
import { allowed, call, httpOf } from '../support/tls.ts';

const policy = `package envoy.authz

default allow := false

allow if input.parsed_path[0] == "fine"

allow if {
  input.parsed_path[0] == "cart"
  input.identity.workload.service_account == "cart"
  input.identity.peer_workload.path == "/gateway"
}
`;
const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const bundle = buildPolicy(policy, folder);
const own = createTrustDomain(folder, 'example.org');
const partner = createTrustDomain(folder, 'partner.org');
const gateway = own.svid('/gateway');
const fine = Buffer.from(httpRequest({ path: '/fine' }));
const goSpiffe = promisify(execFile);

const given = (svid: Svid, domain: TrustDomain = own): Svid & { readonly bundle: Buffer } => ({
  ...svid,
  bundle: domain.bundle,
});
let sockets = 0;
const startOwnAgent = (scope: Scope): Promise<Agent> => startAgent(scope, join(folder, `agent-${++sockets}.sock`));
const tlsConfig = (agent: Agent, tls: object = {}, workloadApi: object = {}): Tree => ({
  postern: { tls: { workload_api: { socket: agent.socket, ...workloadApi }, ...tls } },
});
const start = (scope: Scope, config: Tree): Promise<Server> =>
  startPostern(scope, { args: ['--bundle', bundle], folder, config });

const portOf = (address: string): number => Number(address.split(':').at(-1));

/** A connection as a workload opens it: it trusts the authorities, and shows the SVID. */
function open(server: Server, pair: Pair | undefined, trusted: TrustDomain = own): ClientHttp2Session {
  const shown = pair === undefined ? {} : { cert: readFileSync(pair.cert), key: readFileSync(pair.key) };
  const session = connectHttp2(`https://localhost:${portOf(server.grpc)}`, {
    ...shown,
    ca: readFileSync(trusted.authority.cert),
  });
  return session.on('error', () => {});
}

async function callOnce(server: Server, pair: Pair | undefined, trusted?: TrustDomain): Promise<unknown> {
  const session = open(server, pair, trusted);
  try {
    return await call(session, fine);
  } finally {
    session.destroy();
  }
}

async function metric(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** The certificate that the server shows, and the URI in it. */
async function presented(server: Server): Promise<X509Certificate> {
  const pair = { cert: readFileSync(gateway.pair.cert), key: readFileSync(gateway.pair.key) };
  const socket = connectTls({ ...pair, port: portOf(server.grpc), rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  const certificate = new X509Certificate(socket.getPeerCertificate().raw);
  socket.destroy();
  return certificate;
}
const shows = (server: Server, svid: Svid): Promise<true> =>
  eventually(async () => (await presented(server)).raw.equals(svid.chain) || undefined);

describe('the certificate of the Workload API', () => {
  const scope = createScope();
  after(scope.close);
  const svid = own.svid('/postern');
  let agent: Agent;
  let server: Server;

  before(async () => {
    agent = await startOwnAgent(scope);
    agent.x509(x509Response([given(own.svid('/first')), given(svid)], [partner]));
    const tls = { api: true, allowed_client_sans: [gateway.id, 'spiffe://partner.org/caller', 'spiffe://third.org/x'] };
    server = await start(scope, tlsConfig(agent, tls, { spiffe_id: svid.id }));
  });

  test('is the SVID that was asked for, and its end is told', async () => {
    await shows(server, svid);
    const expires = await metric(server, 'postern_tls_certificate_expiry_timestamp_seconds');
    assert.equal(expires * 1000, Date.parse(new X509Certificate(svid.chain).validTo));
  });

  test('comes with the bundle that clients are verified with', async () => {
    assert.ok(allowed(await callOnce(server, gateway.pair)));
    assert.ok(
      allowed(await callOnce(server, partner.svid('/caller').pair)),
      'a federated workload that is on the list',
    );
  });

  const middle = issue(partner.authority, folder, 'partner-middle', {
    ...{ san: '', usage: '', constraints: 'CA:TRUE', keyUsage: 'keyCertSign' },
  });
  const withMiddle = issue(middle, folder, 'partner-below', { san: `URI:${gateway.id}` });
  writeFileSync(withMiddle.cert, readFileSync(withMiddle.cert, 'utf8') + readFileSync(middle.cert, 'utf8'));
  const odd = (options: IssueOptions): Pair => own.svid('/gateway', options).pair;
  const strangers: readonly (readonly [string, Pair | undefined])[] = [
    ['no certificate', undefined],
    ['an SVID that is not on the list', own.svid('/other').pair],
    [
      'its SPIFFE ID from an authority that nobody knows',
      createTrustDomain(folder, 'example.org').svid('/gateway').pair,
    ],
    ['an SVID of a trust domain that nobody knows', createTrustDomain(folder, 'unknown.org').svid('/gateway').pair],
    ['an SVID of a federated trust domain that is not on the list', partner.svid('/other').pair],
    ["our gateway's name from a federated authority", partner.svid('/x', { san: `URI:${gateway.id}` }).pair],
    ["our gateway's name from below a federated authority", withMiddle],
    ["a federated workload's name from our authority", own.svid('/x', { san: 'URI:spiffe://partner.org/caller' }).pair],
    ['a self-signed certificate', selfSigned(folder, 'self', [`subjectAltName=URI:${gateway.id}`])],
    ['two names', odd({ san: `URI:${gateway.id},URI:spiffe://example.org/other` })],
    ['its name as a host', odd({ san: `DNS:${gateway.id}` })],
    ['a key for certificates', odd({ keyUsage: 'digitalSignature,keyCertSign' })],
    ['an authority of its own', odd({ constraints: 'CA:TRUE' })],
    ['no key usage', odd({ keyUsage: '' })],
    ['an SVID for servers only', odd({ usage: 'serverAuth' })],
  ];
  for (const [name, pair] of strangers) {
    test(`lets no client in with ${name}`, async () => {
      assert.equal(await callOnce(server, pair), 'nothing');
      assert.ok(allowed(await callOnce(server, gateway.pair)));
    });
  }

  test('tells which federated bundles are missing', () => {
    assert.match(server.stderr(), /third\.org.*clients of these trust domains are refused/);
  });

  test('is believed by a workload that uses go-spiffe, and believes it', async (context) => {
    const client = await startOwnAgent(context);
    client.x509(x509Response([given(gateway)], [partner]));
    const run = (...args: readonly string[]): Promise<{ stdout: string }> => goSpiffe(tool('spiffe-client'), args);
    const serial = BigInt(`0x${new X509Certificate(gateway.chain).serialNumber}`);
    const found = await run('x509', client.socket);
    assert.equal(found.stdout, `${gateway.id} ${serial} example.org,partner.org\n`);
    const url = `https://${server.api}/health`;
    assert.equal((await run('get', client.socket, svid.id, url)).stdout, '200\n');
    await assert.rejects(run('get', client.socket, 'spiffe://example.org/another', url), /unexpected ID/);
    client.x509(x509Response([given(own.svid('/other'))]));
    await assert.rejects(run('get', client.socket, svid.id, url), /spiffe-client/);
  });

  test('is believed by an Envoy that has an SVID', async (context) => {
    const upstream = await startUpstream(context);
    const tls = { ca: own.authority.cert, ...gateway.pair, server: svid.id };
    const envoy = await startEnvoy(context, { folder, servers: [server.grpc], upstream: upstream.address, tls });
    assert.equal((await askEnvoy(envoy.port, '/fine')).status, 200);
    assert.equal((await askEnvoy(envoy.port, '/other')).status, 403);
  });
});

describe('an agent that changes', () => {
  test('brings new SVIDs under steady load, and no request fails', async (context) => {
    const agent = await startOwnAgent(context);
    const svids = [own.svid('/postern'), own.svid('/postern')] as const;
    agent.x509(x509Response([given(svids[0])]));
    const server = await start(context, tlsConfig(agent));
    let running = true;
    let [answered, failed] = [0, 0];
    const again = async (attempt: () => Promise<unknown>): Promise<void> => {
      while (running) {
        if (allowed(await attempt())) answered++;
        else failed++;
      }
    };
    const kept = open(server, gateway.pair);
    const load = [
      again(() => call(kept, fine)),
      again(() => callOnce(server, gateway.pair)),
      again(() => callOnce(server, gateway.pair)),
    ];
    for (let turn = 1; turn <= 6; turn++) {
      const svid = svids[turn % 2] ?? svids[0];
      agent.x509(randomBytes(500));
      agent.x509(x509Response([given(svid)]));
      await shows(server, svid);
    }
    running = false;
    await Promise.all(load);
    kept.destroy();
    assert.equal(failed, 0);
    assert.ok(answered > 10, `${answered} requests`);
    assert.match(server.stderr(), /the message is no X509SVIDResponse.*the ones before keep serving/s);
  });

  test('brings a new authority: its clients are let in, those of the old one no more', async (context) => {
    const agent = await startOwnAgent(context);
    agent.x509(x509Response([given(own.svid('/postern'))]));
    const server = await start(context, tlsConfig(agent));
    const renewed = createTrustDomain(folder, 'example.org');
    const client = renewed.svid('/gateway').pair;
    assert.ok(allowed(await callOnce(server, gateway.pair)));
    assert.equal(await callOnce(server, client), 'nothing');
    const both = Buffer.concat([own.bundle, renewed.bundle]);
    agent.x509(x509Response([{ ...own.svid('/postern'), bundle: both }]));
    await eventually(async () => allowed(await callOnce(server, client)) || undefined);
    assert.ok(allowed(await callOnce(server, gateway.pair)));
    agent.x509(x509Response([given(renewed.svid('/postern'), renewed)]));
    await eventually(async () => allowed(await callOnce(server, client, renewed)) || undefined);
    assert.equal(await callOnce(server, gateway.pair, renewed), 'nothing');
  });

  test('may be away, refuse, or send rubbish: the last SVID goes on, and the next good one is taken', async (context) => {
    const agent = await startOwnAgent(context);
    const [first, next] = [own.svid('/postern'), own.svid('/postern')];
    agent.x509(x509Response([given(first)]));
    const server = await start(context, tlsConfig(agent));
    const failures = (): Promise<number> => metric(server, 'postern_tls_reload_failures_total');
    const faults: readonly (readonly [string, () => void, RegExp])[] = [
      ['away', agent.stop, /UNAVAILABLE/],
      ['back, with another SVID than before', () => void agent.start(), /./],
      [
        'refusing',
        () => agent.x509({ code: 7, details: 'no identity issued' }),
        /PERMISSION_DENIED: no identity issued/,
      ],
      ['without SVIDs', () => agent.x509(x509Response([])), /agent-[0-9]+\.sock: no SVID/],
      ['half', () => agent.x509(x509Response([given(next)]).subarray(0, 700)), /no X509SVIDResponse/],
      ['huge', () => agent.x509(Buffer.alloc(6_000_000)), /RESOURCE_EXHAUSTED/],
      [
        "with another's key",
        () => agent.x509(x509Response([{ ...given(next), key: first.key }])),
        /does not belong to it/,
      ],
      ['expired', () => agent.x509(x509Response([given(own.svid('/postern', { days: -1 }))])), /it has expired/],
    ];
    for (const [name, begin, cause] of faults) {
      const before = await failures();
      begin();
      if (!name.startsWith('back')) await eventually(async () => (await failures()) > before || undefined);
      await server.printed(cause);
      assert.ok((await presented(server)).raw.equals(first.chain), name);
      assert.ok(allowed(await callOnce(server, gateway.pair)), name);
    }
    agent.x509(x509Response([given(next)]));
    await shows(server, next);
    assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 200);
  });
});

describe('a start', () => {
  const attempt = async (context: Scope, config: Tree, env: NodeJS.ProcessEnv = {}): Promise<[unknown, string]> => {
    const [grpc = 0, api = 0, diagnostic = 0] = await freePorts(3);
    const file = join(folder, `start-${grpc}.json`);
    const plugins = { envoy_ext_authz_grpc: { addr: `127.0.0.1:${grpc}` } };
    writeFileSync(file, JSON.stringify(merge({ plugins }, config)));
    const addresses = ['--addr', `127.0.0.1:${api}`, '--diagnostic-addr', `127.0.0.1:${diagnostic}`];
    const args = ['run', '--config-file', file, ...addresses];
    const child = startProcess(context, join(root, 'bin/postern'), args, { env });
    return [await child.exited, child.stderr()];
  };

  test('without an agent ends with exit code 2 after the time, and says what to look at', async (context) => {
    const config = {
      postern: { tls: { workload_api: { socket: 'unix:///nowhere/a.sock', start_timeout_seconds: 1 } } },
    };
    const [code, text] = await attempt(context, config);
    assert.equal(code, 2);
    assert.match(text, /not started: no X509-SVID .* at unix:\/\/\/nowhere\/a\.sock within 1 s \(UNAVAILABLE.*ENOENT/);
    assert.match(text, /is the agent running, .* registration entry/);
    assert.match(text, /waiting for the first X509-SVID/);
  });

  test('with an agent that has nothing for us ends likewise', async (context) => {
    const agent = await startOwnAgent(context);
    const [code, text] = await attempt(context, tlsConfig(agent, {}, { start_timeout_seconds: 1 }));
    assert.equal(code, 2);
    assert.match(text, /not started: .*PERMISSION_DENIED: no identity issued/);
  });

  test('waits for an agent that comes later, at the address in SPIFFE_ENDPOINT_SOCKET', async (context) => {
    const agent = await startOwnAgent(context);
    agent.stop();
    const config = { postern: { tls: { workload_api: {} } } };
    const env = { SPIFFE_ENDPOINT_SOCKET: agent.socket };
    const starting = startPostern(context, { args: ['--bundle', bundle], folder, config, env });
    agent.x509(x509Response([given(own.svid('/postern'))]));
    await new Promise((resolve) => setTimeout(resolve, 500));
    await agent.start();
    assert.ok(allowed(await callOnce(await starting, own.svid('/anybody').pair)), 'without a list: our trust domain');
  });

  const bad: readonly (readonly [string, object, RegExp])[] = [
    [
      'files as well',
      { cert: gateway.pair.cert, key: gateway.pair.key },
      /workload_api takes the place of cert, key and/,
    ],
    ['names that are no SPIFFE IDs', { allowed_client_sans: ['gw.test'] }, /with workload_api only SPIFFE IDs/],
    ['no address', { workload_api: {} }, /workload_api\.socket: needed, because SPIFFE_ENDPOINT_SOCKET is not set/],
    ['a relative address', { workload_api: { socket: 'unix://a/b.sock' } }, /unix:\/\/\/PATH or tcp:\/\/IP:PORT/],
    ['a host for an address', { workload_api: { socket: 'tcp://localhost:80' } }, /unix:\/\/\/PATH or tcp:\/\/IP:PORT/],
  ];
  for (const [name, tls, message] of bad) {
    test(`with ${name} ends with exit code 2`, async (context) => {
      const config = { postern: { tls: { workload_api: { socket: 'unix:///a.sock' }, ...tls } } };
      const [code, text] = await attempt(context, config);
      assert.equal(code, 2);
      assert.match(text, message);
    });
  }
});

describe('JWT-SVIDs with bundles of the Workload API', () => {
  const sub = 'spiffe://example.org/ns/shop/sa/cart';
  const aud = 'postern';

  test('are verified, follow the agent, and say who calls through which peer', async (context) => {
    const agent = await startOwnAgent(context);
    const [first, next] = await Promise.all([createJwtAuthority('a1'), createJwtAuthority('a1', 'RS256')]);
    // As SPIRE's agent sends them: without `use`.
    agent.jwtBundles(jwtBundlesResponse({ 'example.org': { keys: [first.bare] } }));
    agent.x509(x509Response([given(own.svid('/postern'))]));
    const identity = {
      workload: {
        trust_domains: ['example.org'],
        jwt_svid: { audiences: [aud], trust_domains: { 'example.org': { workload_api: true } } },
      },
    };
    const server = await start(context, merge(tlsConfig(agent), { postern: { identity } }));
    const session = open(server, gateway.pair);
    context.after(() => session.destroy());
    const ask = (token: string | undefined, principal: string): Promise<unknown> => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const request = { http: { method: 'GET', path: '/cart', host: 'a.test', scheme: 'http', headers } };
      return call(session, Buffer.from(encodeRequest({ attributes: { source: { principal }, request } })));
    };
    const token = await first.sign({ sub, aud });
    const reference = await goSpiffe(tool('spiffe-client'), ['jwt', agent.socket, aud, token]);
    assert.equal(reference.stdout, `${sub}\n`);
    assert.ok(allowed(await ask(token, gateway.id)));
    const stranger = await ask(token, 'spiffe://example.org/other');
    assert.deepEqual([httpOf(stranger), (stranger as { status?: { code?: number } }).status?.code], [undefined, 7]);
    assert.equal(httpOf(await ask(undefined, gateway.id)), 401);
    const later = await next.sign({ sub, aud });
    const refused = await ask(later, gateway.id);
    assert.equal(httpOf(refused), 401);
    assert.match(JSON.stringify(refused), /www-authenticate/);
    await assert.rejects(goSpiffe(tool('spiffe-client'), ['jwt', agent.socket, aud, later]));

    agent.jwtBundles(jwtBundlesResponse({ 'example.org': { keys: [next.bare] } }));
    await eventually(async () => allowed(await ask(later, gateway.id)) || undefined);
    assert.equal(httpOf(await ask(token, gateway.id)), 401, 'what the old key has signed is forgotten');

    agent.stop();
    await server.printed(/the key set could not be fetched/);
    assert.ok(allowed(await ask(await next.sign({ sub, aud }), gateway.id)), 'known keys go on');
    agent.jwtBundles(jwtBundlesResponse({ 'partner.org': { keys: [next.bare] } }));
    await agent.start();
    await eventually(async () => httpOf(await ask(later, gateway.id)) === 401 || undefined);
  });

  test('are answered 503 while there is no agent, and served once it is there', async (context) => {
    const agent = await startOwnAgent(context);
    agent.stop();
    const authority = await createJwtAuthority();
    const jwtSvid = { audiences: [aud], trust_domains: { 'example.org': { workload_api: true } } };
    const identity = { workload: { jwt_svid: { ...jwtSvid, workload_api_socket: agent.socket } } };
    const options = { args: ['--bundle', bundle], folder, config: { postern: { identity } } };
    const server = await startPostern(context, { ...options, untilReady: false });
    const session = connectHttp2(`http://${server.grpc}`);
    context.after(() => session.destroy());
    const token = await authority.sign({ sub, aud });
    const ask = (): Promise<unknown> =>
      call(session, Buffer.from(httpRequest({ path: '/fine', headers: { authorization: `Bearer ${token}` } })));
    assert.equal(httpOf(await ask()), 503);
    assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 503);
    agent.jwtBundles(jwtBundlesResponse({ 'example.org': { keys: [authority.bare] } }));
    await agent.start();
    await eventually(async () => allowed(await ask()) || undefined);
    assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 200);
  });
});
