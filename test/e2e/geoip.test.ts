import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { checkClient, encodeRequest, readResponse } from '../support/grpc.ts';
import { anonymous, asn, BUILT, city, databaseOf, type Network } from '../support/mmdb.ts';
import { eventually, root } from '../support/process.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, type Server, scratchFolder, startPostern } from '../support/servers.ts';

/** Lets through who is in Germany and does not hide, and shows what it saw. */
const policy = `package envoy.authz

allow := {"allowed": trusted, "headers": {"x-geo": json.marshal(input.context)}, "response_headers_to_add": {"x-geo": json.marshal(input.context)}}

default trusted := false

trusted if {
  input.context.geo.country == "DE"
  input.context.geo.anonymous == false
}
`;

type Context = { readonly client_ip: string | null; readonly geo?: Record<string, unknown> | null };
type Answer = { readonly allowed: boolean; readonly context: Context };

describe('geography of the client', () => {
  const suite = createScope();
  after(suite.close);
  const folder = scratchFolder(suite);
  const files = ['city', 'asn', 'anonymous'].map((name) => join(folder, `${name}.mmdb`));
  const [cityFile = '', asnFile = '', anonymousFile = ''] = files;
  const context = { client_ip: { trusted_hops: 1 }, geoip: files, geoip_reload_seconds: 0.1 };
  let bundle: string;
  let server: Server;
  let send: (forwardedFor: string) => Promise<Answer>;

  function replace(file: string, content: Buffer): void {
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  }
  const cityAgain = (networks: readonly Network[], built: number): void =>
    replace(cityFile, databaseOf('GeoLite2-City', networks, { built }));

  before(async () => {
    cityAgain(city, BUILT);
    replace(asnFile, databaseOf('GeoLite2-ASN', asn));
    replace(anonymousFile, databaseOf('GeoIP2-Anonymous-IP', anonymous));
    bundle = buildPolicy(policy, folder);
    const config = { postern: { context }, decision_logs: { console: true } };
    server = await startPostern(suite, { folder, args: ['-b', bundle], config });
    send = asker(server);
  });

  function asker({ grpc }: Server): (forwardedFor: string) => Promise<Answer> {
    const client = checkClient(grpc);
    suite.after(client.close);
    return async (forwardedFor) => {
      const reply = await client.send(
        encodeRequest({
          attributes: {
            source: { address: { socketAddress: { address: '198.51.100.1', portValue: 1 } } },
            request: {
              http: {
                method: 'GET',
                path: '/',
                host: 'h',
                scheme: 'http',
                headers: { 'x-forwarded-for': forwardedFor },
              },
            },
          },
        }),
      );
      assert.ok('response' in reply);
      const { okResponse, deniedResponse } = readResponse(reply.response) as {
        readonly [kind in 'okResponse' | 'deniedResponse']?: {
          readonly headers?: readonly { readonly header: { readonly value: string } }[];
        };
      };
      const shown = (okResponse ?? deniedResponse)?.headers?.[0]?.header.value ?? '{}';
      return { allowed: okResponse !== undefined, context: JSON.parse(shown) as Context };
    };
  }
  const metricsText = async (): Promise<string> => (await fetch(`http://${server.diagnostic}/metrics`)).text();

  test('is in the input, for the very address that the context names', async () => {
    const { allowed, context: seen } = await send('198.51.100.1, 203.0.113.1');
    assert.equal(allowed, true);
    assert.equal(seen.client_ip, '203.0.113.1');
    assert.deepEqual(seen.geo, {
      country: 'DE',
      registered_country: 'CH',
      represented_country: null,
      in_european_union: true,
      continent: 'EU',
      subdivisions: ['BE'],
      city: 'Berlin',
      postal_code: '10117',
      location: { latitude: 52.52, longitude: 13.405, accuracy_radius_km: 20 },
      time_zone: 'Europe/Berlin',
      asn: 64_496,
      organization: 'Example Networks',
      isp: null,
      connection_type: null,
      user_type: null,
      anonymous: false,
      anonymous_vpn: false,
      hosting_provider: false,
      public_proxy: false,
      residential_proxy: false,
      tor_exit_node: false,
      anycast: null,
    });
  });

  test('decides', async () => {
    for (const [forwardedFor, allowed] of [
      ['203.0.113.1', true],
      ['203.0.113.7', false],
      ['198.51.100.9', false],
      ['203.0.113.1, 198.51.100.9', false],
      ['::ffff:203.0.113.1', true],
      ['2001:db8:1::1', false],
    ] as const) {
      assert.equal((await send(forwardedFor)).allowed, allowed, forwardedFor);
    }
  });

  test('is null when there is no such address', async () => {
    for (const forwardedFor of ['unknown', '', '203.0.113.1, x', '203.0.113.1:80']) {
      const { allowed, context: seen } = await send(forwardedFor);
      assert.deepEqual([allowed, seen.client_ip, seen.geo], [false, null, null], forwardedFor);
    }
  });

  test('is in the decision log', async () => {
    await send('2001:db8:1::1');
    await server.printed(/"client_ip":"2001:db8:1::1","geo":\{"country":"JP"/);
  });

  test('is also there when a question is asked offline', () => {
    const configFile = join(folder, 'offline.yaml');
    writeFileSync(configFile, stringify({ postern: { context } }));
    const args = ['check', '--config-file', configFile, '-b', bundle, '--url', 'http://h/', '--header'];
    for (const [address, expected] of [
      ['203.0.113.1', 'allow'],
      ['203.0.113.7', 'deny'],
    ] as const) {
      execFileSync(join(root, 'bin/postern'), [...args, `x-forwarded-for: ${address}`, '--expect', expected], {
        stdio: 'pipe',
      });
    }
  });

  test('follows a database that is replaced; a broken one is refused, logged and counted, and the old one serves', async () => {
    const built = (seconds: number): RegExp =>
      new RegExp(`postern_geoip_database_build_timestamp_seconds\\{file="${cityFile}"\\} ${seconds}\n`);
    const failures = async (): Promise<number> =>
      Number(
        new RegExp(`postern_geoip_reload_failures_total\\{file="${cityFile}"\\} ([0-9]+)\n`).exec(
          await metricsText(),
        )?.[1],
      );
    assert.match(await metricsText(), built(BUILT));
    assert.equal(await failures(), 0);
    execFileSync('promtool', ['check', 'metrics'], { input: await metricsText(), stdio: 'pipe' });

    cityAgain([['203.0.113.0/24', { country: { iso_code: 'FR' } }]], BUILT + 100);
    await eventually(async () => ((await send('203.0.113.1')).context.geo?.['country'] === 'FR' ? true : undefined));
    assert.equal((await send('203.0.113.1')).allowed, false);
    assert.match(await metricsText(), built(BUILT + 100));

    truncateSync(cityFile, 500);
    await eventually(async () => ((await failures()) > 1 ? true : undefined));
    assert.equal((await send('203.0.113.1')).context.geo?.['country'], 'FR');
    assert.match(await metricsText(), built(BUILT + 100));
    await server.printed('geo database not reloaded; the one before keeps serving');
    assert.equal(server.stderr().split('geo database not reloaded').length, 2, 'one line for one cause');

    cityAgain(city, BUILT + 200);
    await eventually(async () => ((await send('203.0.113.1')).allowed ? true : undefined));
    assert.match(await metricsText(), built(BUILT + 200));
  });

  test('is not there when no database is configured', async () => {
    const plain = { postern: { context: { client_ip: { trusted_hops: 1 } } } };
    const other = await startPostern(suite, { folder, args: ['-b', bundle], config: plain });
    const { context: seen } = await asker(other)('203.0.113.1');
    assert.equal(seen.client_ip, '203.0.113.1');
    assert.ok(!('geo' in seen));
  });

  test('that cannot be had keeps Postern from starting, which says why and what to do', () => {
    const packed = join(folder, 'packed.mmdb');
    writeFileSync(packed, execFileSync('gzip', ['-c', asnFile]));
    const missing = join(folder, 'missing.mmdb');
    for (const [geoip, reason] of [
      [missing, `postern.context.geoip: ${missing} cannot be read; put the database there`],
      [[asnFile, missing], `postern.context.geoip: ${missing} cannot be read; put the database there`],
      [[asnFile, packed], `postern.context.geoip: ${packed} cannot be used: it is no MaxMind database`],
      [folder, `postern.context.geoip: ${folder} cannot be used: ${folder} is not a regular file`],
      [[], 'postern.context.geoip:'],
      [5, 'postern.context.geoip:'],
    ] as const) {
      const configFile = join(folder, 'bad.yaml');
      writeFileSync(configFile, stringify({ postern: { context: { geoip } } }));
      const args = ['run', '--server', '--config-file', configFile, '--addr', '127.0.0.1:0', '-b', bundle];
      const { status, stderr } = spawnSync(join(root, 'bin/postern'), args, { encoding: 'utf8', timeout: 60_000 });
      assert.equal(status, 2, stderr);
      assert.ok(stderr.includes(reason), `${reason} in\n${stderr}`);
    }
  });
});
