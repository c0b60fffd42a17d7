/* Starts Envoy, an upstream and Postern with the default bundle, sends requests, prints a table. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ask, ask, startEnvoy, startUpstream } from '../test/support/envoy.ts';
import { eventually, root } from '../test/support/process.ts';
import { createScope } from '../test/support/scope.ts';
import { scratchFolder, startPostern } from '../test/support/servers.ts';
import { createSigner } from '../test/support/tokens.ts';

const issuer = 'https://idp.demo/';
const scope = createScope();

type Row = readonly [request: string, path: string, who: string | undefined, expected: number];
type Event = { readonly custom: { readonly reason: string; readonly reasons?: readonly string[] } };

try {
  const folder = scratchFolder(scope);
  const [idp, forger] = await Promise.all([createSigner(issuer), createSigner(issuer)]);
  writeFileSync(join(folder, 'keys.json'), JSON.stringify(idp.jwks));
  const postern = await startPostern(scope, {
    folder,
    args: ['--bundle', join(root, 'bundles/default.tar.gz')],
    config: {
      decision_logs: { console: true },
      postern: { identity: { required: true, issuers: [{ issuer, jwks_file: join(folder, 'keys.json') }] } },
    },
  });
  const upstream = await startUpstream(scope);
  const envoy = await startEnvoy(scope, { folder, servers: [postern.grpc], upstream: upstream.address });
  const out = (line: string): void => void process.stdout.write(`${line}\n`);
  out(`Envoy 127.0.0.1:${envoy.port} → Postern ${postern.grpc}, upstream ${upstream.address}\n`);

  const analyst = { sub: 'ann', roles: ['analyst'], tenant: 'acme', region: 'eu' };
  const token = await idp.sign(analyst);
  const rows: readonly Row[] = [
    ['an analyst reads data', '/v1/data', token, 200],
    ["an analyst reads her tenant's data", '/v1/tenants/acme/orders', token, 200],
    ['a viewer reads data', '/v1/data', await idp.sign({ ...analyst, roles: ['viewer'] }), 403],
    ['nobody reads data', '/v1/data', undefined, 401],
    ['an expired token', '/v1/data', await idp.sign(analyst, -3600), 401],
    ['a forged token', '/v1/data', await forger.sign(analyst), 401],
    ["another tenant's data", '/v1/tenants/globex/orders', token, 403],
    [
      "a tenant's data from another region",
      '/v1/tenants/acme/orders',
      await idp.sign({ ...analyst, region: 'us' }),
      403,
    ],
    ['a path nobody granted', '/admin', token, 403],
    ['an ambiguous path', '/v1/data/..%2f..%2fadmin', token, 400],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const print = (name: string, status: string, reason: string): void =>
    out(`${name.padEnd(width)}  ${status.padEnd(6)}  ${reason}`);
  print('request', 'status', 'reason');
  print('-'.repeat(width), '------', '------');
  let failed = 0;
  for (const [name, path, who, expected] of rows) {
    const options: Ask = who === undefined ? {} : { headers: { authorization: `Bearer ${who}` } };
    const seen = postern.stdout().length;
    const { status } = await ask(envoy.port, path, options);
    // The log is written behind the answer's back.
    const line = await eventually(async () =>
      postern
        .stdout()
        .slice(seen)
        .split('\n')
        .find((text) => text.endsWith('}')),
    );
    const { reason, reasons = [] } = (JSON.parse(line) as Event).custom;
    print(name, String(status), [reason, ...reasons].join(': '));
    if (status !== expected) failed++;
  }
  await postern.stop('SIGKILL');
  const { status } = await ask(envoy.port, '/v1/data', { headers: { authorization: `Bearer ${token}` } });
  print('the PDP was killed', String(status), 'Envoy fails closed');
  if (status !== 403) failed++;
  out(`\n${upstream.seen.length} of ${rows.length + 1} requests reached the upstream`);
  process.exitCode = failed === 0 && upstream.seen.length === 2 ? 0 : 1;
} finally {
  await scope.close();
}
