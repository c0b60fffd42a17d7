import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../support/process.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';
import { createSigner } from '../support/tokens.ts';

const policy = `package envoy.authz

allow := {"allowed": true, "headers": {"x-user": input.identity.subject}} if input.identity.subject == "ann"

allow := {"allowed": false, "http_status": 402, "reason": "unpaid", "body": "pay"} if input.parsed_path[0] == "pay"
`;

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };
const postern = (...args: readonly string[]): Promise<Ran> =>
  new Promise((resolve) => {
    execFile(join(root, 'bin/postern'), args, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });

test('postern check answers offline, with identity, and from a running server', async (context) => {
  const folder = scratchFolder(context);
  const bundle = buildPolicy(policy, folder);
  const signer = await createSigner('https://i.test/');
  writeFileSync(join(folder, 'keys.json'), JSON.stringify(signer.jwks));
  const identity = { issuers: [{ issuer: 'https://i.test/', jwks_file: join(folder, 'keys.json') }], required: false };
  const configFile = join(folder, 'config.yaml');
  writeFileSync(configFile, JSON.stringify({ postern: { identity } }));
  const offline = ['check', '-b', bundle, '-c', configFile];

  const authorization = `authorization: Bearer ${await signer.sign({ sub: 'ann' })}`;
  const allowed = await postern(...offline, '--url', 'http://api/x', '-H', authorization, '--expect', 'allow');
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(allowed.stdout, /^allowed \(HTTP 200\)\nreason: policy_allowed\n[\s\S]*header: x-user: ann/);

  const denied = await postern(...offline, '--url', 'http://api/pay', '--expect', 'allow');
  assert.equal(denied.code, 1);
  assert.match(denied.stdout, /^denied \(HTTP 402\)\nreason: policy_denied\npolicy: unpaid\n[\s\S]*body: pay/);

  const ambiguous = await postern(...offline, '--url', 'http://api/a/../pay', '--format', 'json', '--expect', 'deny');
  assert.equal(ambiguous.code, 0);
  assert.equal((JSON.parse(ambiguous.stdout) as { reason: string }).reason, 'path_ambiguous');

  const expired = await postern(
    ...offline,
    '--url',
    'http://api/',
    '-H',
    `authorization: Bearer ${await signer.sign({ sub: 'ann' }, -999)}`,
  );
  assert.match(expired.stdout, /HTTP 401\)\nreason: token_expired/);

  const file = join(folder, 'request.json');
  writeFileSync(
    file,
    JSON.stringify({ attributes: { request: { http: { method: 'GET', path: '/pay', host: 'h' } } } }),
  );
  assert.match((await postern(...offline, '--request', file)).stdout, /HTTP 402/);

  const server = await startPostern(context, { args: ['-b', bundle], config: { postern: { identity } }, folder });
  assert.match((await postern('check', '--server', server.grpc, '--url', 'http://api/pay')).stdout, /HTTP 402/);
});

test('postern check says what it lacks, with exit code 2', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['check', '--url', 'http://x/'], /--bundle.*--server/],
    [['check', '-b', '/nowhere', '--url', 'http://x/'], /nowhere/],
    [['check', '-b', 'bundles/default.tar.gz'], /--url or --request/],
    [['check', '-b', 'bundles/default.tar.gz', '--url', 'nonsense'], /http or https URL/],
    [['check', '-b', 'bundles/default.tar.gz', '--url', 'http://x/', '-H', 'nonsense'], /Name: value/],
    [['check', '--server', '127.0.0.1:1', '--url', 'http://x/'], /UNAVAILABLE/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await postern(...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, message);
  }
});
