import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { checkClient, httpRequest, readResponse } from '../support/grpc.ts';
import { eventually } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';
import { createSigner, type Signer } from '../support/tokens.ts';

const policy = `package envoy.authz

default allow := false

allow if input.identity.subject == "ann"

allow if {
  input.parsed_path[0] == "public"
  input.identity.authenticated == false
}
`;

const issuerA = 'https://a.test/';
const issuerB = 'https://b.test/';
const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = (): number => Math.floor(Date.now() / 1000);

type Seen = { readonly code: unknown; readonly http: unknown; readonly challenge: boolean };

async function ask(server: Server, headers: { readonly [name: string]: string }, path = '/x'): Promise<Seen> {
  const client = checkClient(server.grpc);
  const reply = await client.send(httpRequest({ path, headers }));
  client.close();
  assert.ok('response' in reply, JSON.stringify(reply));
  const response = readResponse(reply.response);
  const denied = response['deniedResponse'] as { status?: { code?: number } } | undefined;
  const code = (response['status'] as { code?: number }).code ?? 0;
  return { code, http: denied?.status?.code, challenge: JSON.stringify(denied ?? {}).includes('www-authenticate') };
}
const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` });

describe('bearer tokens', () => {
  const suite = createScope();
  after(suite.close);
  let server: Server;
  let a: Signer;
  let b: Signer;

  before(async () => {
    const folder = scratchFolder(suite);
    [a, b] = await Promise.all([createSigner(issuerA), createSigner(issuerB)]);
    writeFileSync(join(folder, 'a.json'), JSON.stringify(a.jwks));
    writeFileSync(join(folder, 'b.json'), JSON.stringify(b.jwks));
    const issuers = [
      { issuer: issuerA, jwks_file: join(folder, 'a.json'), audiences: ['api'] },
      { issuer: issuerB, jwks_file: join(folder, 'b.json') },
    ];
    server = await startPostern(suite, {
      args: ['-b', buildPolicy(policy, folder)],
      config: { postern: { identity: { issuers } }, decision_logs: { console: true } },
      folder,
    });
  });

  test('a valid one lets its subject in, also the second time', async () => {
    const token = await a.sign({ sub: 'ann', aud: ['other', 'api'] });
    for (let i = 0; i < 2; i++) assert.equal((await ask(server, bearer(token))).code, 0);
    const metrics = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    assert.match(metrics, /postern_token_cache_lookups_total\{result="hit"\} [1-9]/);
    assert.match(metrics, /postern_jwks_age_seconds\{issuer="https:\/\/a\.test\/"\} [0-9]+\n/);
    assert.equal((await ask(server, { Authorization: `bearer  ${token}` })).code, 0);
  });

  test('another subject is the policy’s to deny', async () => {
    const seen = await ask(server, bearer(await b.sign({ sub: 'bob' })));
    assert.deepEqual(seen, { code: 7, http: undefined, challenge: false });
  });

  test('every other one is refused with 401 and a challenge', async () => {
    const key = createPublicKey({ key: a.jwks.keys[0] as { kty: string }, format: 'jwk' });
    const pem = key.export({ type: 'spki', format: 'pem' });
    const claims = { iss: issuerA, sub: 'ann', aud: 'api', exp: now() + 600 };
    const hmac = (secret: string | Buffer): string => {
      const text = `${part({ alg: 'HS256', kid: 'k1' })}.${part(claims)}`;
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    };
    const good = await a.sign({ sub: 'ann', aud: 'api' });
    const [head = '', body = '', signature = ''] = good.split('.');
    const tokens: readonly (readonly [string, string])[] = [
      ['no token', ''],
      ['nonsense', 'nonsense'],
      ['two parts', `${head}.${body}`],
      ['five parts', `${head}.${body}.${signature}.${body}.${head}`],
      ['no signature', `${head}.${body}.`],
      ['alg none', `${part({ alg: 'none' })}.${part(claims)}.AA`],
      ['alg nOnE', `${part({ alg: 'nOnE' })}.${body}.${signature}`],
      ['alg in a list', `${part({ alg: ['RS256'] })}.${body}.${signature}`],
      ['no alg', `${part({ kid: 'k1' })}.${body}.${signature}`],
      ['HMAC with the public key', hmac(String(pem))],
      ['HMAC with the public key after a space', hmac(` ${pem}`)],
      ['another payload', `${head}.${part({ ...claims, sub: 'ann', admin: true })}.${signature}`],
      [
        'duplicate keys',
        `${head}.${part(`{"iss":"${issuerA}","sub":"eve","sub":"ann","exp":${now() + 60}}`)}.${signature}`,
      ],
      ['crit', `${part({ alg: 'RS256', kid: 'k1', crit: ['b64'], b64: false })}.${body}.${signature}`],
      ['a key in the header', `${part({ alg: 'RS256', jwk: b.jwks.keys[0] })}.${body}.${signature}`],
      ['the wrong audience', await a.sign({ sub: 'ann', aud: 'other' })],
      ['no audience', await a.sign({ sub: 'ann' })],
      ['an unknown issuer', await a.sign({ sub: 'ann', iss: 'https://c.test/' })],
      ["another issuer's key", await b.sign({ sub: 'ann', aud: 'api', iss: issuerA })],
      ['no subject', await a.sign({ aud: 'api' })],
      ['expired', await a.sign({ sub: 'ann', aud: 'api' }, -61)],
      ['not yet valid', await a.sign({ sub: 'ann', aud: 'api', nbf: now() + 120 })],
      ['issued tomorrow', await a.sign({ sub: 'ann', aud: 'api', iat: now() + 120 })],
      ['valid for years', await a.sign({ sub: 'ann', aud: 'api' }, 400 * 86_400)],
      [
        'exp as text',
        await a.sign({ sub: 'ann', aud: 'api', exp: '9999999999' as unknown as number }).catch(() => 'a.b.c'),
      ],
      ['too long', await a.sign({ sub: 'ann', aud: 'api', more: 'x'.repeat(9000) })],
      ['a megabyte', 'x'.repeat(1_000_000)],
    ];
    for (const [name, token] of tokens) {
      assert.deepEqual(await ask(server, bearer(token)), { code: 16, http: 401, challenge: true }, name);
    }
    assert.deepEqual(await ask(server, {}), { code: 16, http: 401, challenge: true });
    assert.deepEqual(await ask(server, { authorization: 'Basic YTpi' }), { code: 16, http: 401, challenge: true });
  });

  test('within the leeway an expired one is still good', async () => {
    assert.equal((await ask(server, bearer(await a.sign({ sub: 'ann', aud: 'api' }, -30)))).code, 0);
  });

  test('two Authorization values are refused with 400', async () => {
    const token = await a.sign({ sub: 'ann', aud: 'api' });
    const doubled: readonly { readonly [name: string]: string }[] = [
      { authorization: `Bearer ${token},Bearer ${token}` },
      { authorization: `Bearer ${token}`, Authorization: 'Bearer x' },
    ];
    for (const headers of doubled) {
      assert.equal((await ask(server, headers)).http, 400);
    }
  });

  test('no part of a token is in the log', async () => {
    const token = await a.sign({ sub: 'ann', aud: 'api', canary: 'c4n4ry' });
    await ask(server, bearer(token));
    await ask(server, bearer(`${token}x`));
    await server.printed(/"reason":"token_signature"/);
    const [, body = '', signature = ''] = token.split('.');
    for (const secret of [body, signature]) {
      assert.ok(!server.stdout().includes(secret) && !server.stderr().includes(secret));
    }
  });
});

test('without keys tokens are refused with 503 until there are some; anonymous callers are served if allowed', async (context) => {
  const signer = await createSigner(issuerA);
  let up = false;
  let fetches = 0;
  const idp = createServer((_request, response) => {
    fetches++;
    response.statusCode = up ? 200 : 500;
    response.end(up ? JSON.stringify(signer.jwks) : 'down');
  }).listen(0, '127.0.0.1');
  await once(idp, 'listening');
  context.after(() => idp.close());
  const folder = scratchFolder(context);
  const jwks_uri = `http://127.0.0.1:${(idp.address() as AddressInfo).port}/jwks`;
  const server = await startPostern(context, {
    args: ['-b', buildPolicy(policy, folder)],
    config: { postern: { identity: { required: false, issuers: [{ issuer: issuerA, jwks_uri }] } } },
    folder,
    untilReady: false,
  });
  assert.equal((await fetch(`http://${server.diagnostic}/health/ready`)).status, 503);
  const ageOfKeys = async (): Promise<number> => {
    const text = await (await fetch(`http://${server.diagnostic}/metrics`)).text();
    execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: 'pipe' });
    const age = /^postern_jwks_age_seconds\{issuer="https:\/\/a\.test\/"\} (\S+)$/m.exec(text)?.[1] ?? 'none';
    return age === '+Inf' ? Number.POSITIVE_INFINITY : Number(age);
  };
  assert.equal(await ageOfKeys(), Number.POSITIVE_INFINITY, 'an alert on their age fires');
  const token = await signer.sign({ sub: 'ann' });
  for (let i = 0; i < 20; i++) assert.equal((await ask(server, bearer(token))).http, 503);
  assert.ok(fetches < 10, `${fetches} fetches`);
  assert.equal((await ask(server, {}, '/public')).code, 0);
  up = true;
  await eventually(async () => ((await ask(server, bearer(token))).code === 0 ? true : undefined));
  up = false;
  const first = await ageOfKeys();
  assert.ok(first >= 0 && first < 60, `${first} s`);
  await eventually(async () => ((await ageOfKeys()) > first ? true : undefined));
  const unknown = await createSigner(issuerA, 'k2');
  // Whether its key is good nobody can say while the issuer is down.
  assert.equal((await ask(server, bearer(await unknown.sign({ sub: 'ann' })))).http, 503);
  assert.equal(
    (await ask(server, bearer(await signer.sign({ sub: 'ann', n: 2 })))).code,
    0,
    'the last good keys serve',
  );
});
