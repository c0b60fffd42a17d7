import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { bundleOf } from '../support/archive.ts';
import { type Child, eventually, freePorts, root, startProcess, tool } from '../support/process.ts';
import { puller, startRegistry } from '../support/registry.ts';
import { isolateSdk, type S3Server, s3Env, startS3 } from '../support/s3.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const shared = createScope();
const folder = scratchFolder(shared);
let s3: S3Server;
before(async () => {
  isolateSdk(folder, s3Env);
  s3 = await startS3(shared);
  await s3.createBucket('policies');
});
after(shared.close);

const polling = { min_delay_seconds: 1, max_delay_seconds: 1 };

/** Both take the facts that the policy passes on from a store, and have the policy itself: OPA's runs no WebAssembly. */
const facts = (said: string): Buffer =>
  bundleOf([
    { name: '.manifest', content: '{"roots":["facts"],"revision":"r"}' },
    { name: 'data.json', content: JSON.stringify({ facts: { said } }) },
  ]);
const rego = join(folder, 'policy/policy.rego');
const policy = join(folder, 'policy.tar.gz');
before(() => {
  mkdirSync(join(folder, 'policy'));
  writeFileSync(rego, 'package envoy.authz\n\nallow := data.facts.said\n');
  writeFileSync(join(folder, 'policy/.manifest'), '{"roots":["envoy"]}');
  const args = ['build', '-t', 'wasm', '-e', 'envoy/authz/allow', '-o', policy, '-b', join(folder, 'policy')];
  execFileSync(tool('opa'), args, { stdio: 'pipe' });
});

type Running = Child & { readonly allow: () => Promise<unknown> };

/** A server with this configuration file, and what it answers for the policy. */
async function serve(
  scope: Scope,
  file: string,
  config: string,
  more: readonly string[],
  port: number,
): Promise<Running> {
  const args = ['run', '--server', '--config-file', config, '--addr', `127.0.0.1:${port}`, ...more];
  const child = startProcess(scope, file, args, { env: { HOME: folder } });
  const allow = async (): Promise<unknown> => {
    const url = `http://127.0.0.1:${port}/v1/data/envoy/authz/allow`;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"input":{}}',
    });
    return ((await response.json()) as { readonly result?: unknown }).result;
  };
  return { ...child, allow };
}

async function servePostern(scope: Scope, config: string): Promise<Running> {
  const [port = 0, grpc = 0, diagnostic = 0] = await freePorts(3);
  const addresses = ['--diagnostic-addr', `127.0.0.1:${diagnostic}`];
  const own = ['--set', `plugins.envoy_ext_authz_grpc.addr=127.0.0.1:${grpc}`, '-b', policy];
  return serve(scope, join(root, 'bin/postern'), config, [...addresses, ...own], port);
}

function written(scope: Scope, config: object): string {
  const file = join(scratchFolder(scope), 'config.yaml');
  writeFileSync(file, stringify(config));
  return file;
}

/** OPA itself and Postern, started with the same file. */
async function serveBoth(scope: Scope, config: object): Promise<readonly Running[]> {
  const file = written(scope, config);
  const [port = 0] = await freePorts(1);
  return [await serve(scope, tool('opa'), file, ['--log-level', 'error', rego], port), await servePostern(scope, file)];
}

async function bothSay(servers: readonly Running[], wanted: string): Promise<void> {
  for (const server of servers) {
    const look = async (): Promise<true | undefined> => ((await server.allow()) === wanted ? true : undefined);
    await eventually(look, 30_000).catch((error) => {
      throw new Error(`${error}\n${server.stdout()}${server.stderr()}`);
    });
  }
}

describe('a configuration file for OPA', () => {
  test('with a bucket and keys in the environment serves both, and a new version reaches both', async (context) => {
    await s3.put('policies', 'bundle.tar.gz', facts('one'));
    const servers = await serveBoth(context, {
      services: {
        s3: { url: `${s3.endpoint}/policies`, credentials: { s3_signing: { environment_credentials: {} } } },
      },
      bundles: { authz: { service: 's3', resource: 'bundle.tar.gz', polling } },
    });
    await bothSay(servers, 'one');
    await s3.put('policies', 'bundle.tar.gz', facts('two'));
    await bothSay(servers, 'two');
  });

  test('with keys in a profile serves both', async (context) => {
    const path = join(scratchFolder(context), 'credentials');
    const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_REGION: aws_region } = s3Env;
    writeFileSync(path, `[ci]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`);
    await s3.put('policies', 'profile bundle.tar.gz', facts('one'));
    const s3_signing = { service: 's3', profile_credentials: { path, profile: 'ci', aws_region } };
    const servers = await serveBoth(context, {
      services: { s3: { url: s3.endpoint, credentials: { s3_signing } } },
      bundles: { authz: { service: 's3', resource: 'policies/profile%20bundle.tar.gz', polling } },
    });
    await bothSay(servers, 'one');
  });

  test('with a registry serves both, and a new version reaches both', async (context) => {
    const registry = await startRegistry(context, 'basic');
    const token = `${puller.name}:${puller.password}`;
    const headers = { authorization: `Basic ${Buffer.from(token).toString('base64')}` };
    await registry.push('org/policies', 'latest', facts('one'), { headers });
    const servers = await serveBoth(context, {
      services: { oci: { url: registry.url, type: 'oci', credentials: { bearer: { scheme: 'Basic', token } } } },
      bundles: { authz: { service: 'oci', resource: `${registry.host}/org/policies:latest`, polling } },
    });
    await bothSay(servers, 'one');
    await registry.push('org/policies', 'latest', facts('two'), { headers });
    await bothSay(servers, 'two');
  });
});

test('an s3:// address needs no service, and what is wrong is told by name', async (context) => {
  await s3.put('policies', 'own.tar.gz', facts('one'));
  const postern = { s3: { endpoint: s3.endpoint, force_path_style: true } };
  const bundleAt = (resource: string) => ({ authz: { resource, polling } });
  const good = written(context, { bundles: bundleAt('s3://policies/own.tar.gz'), postern });
  await bothSay([await servePostern(context, good)], 'one');
  const bad = written(context, { bundles: bundleAt('s3://policies/nothing.tar.gz'), postern });
  const failing = await servePostern(context, bad);
  await failing.printed('s3://policies/nothing.tar.gz: there is no such object (NoSuchKey, 404)');
  assert.ok(!failing.stderr().includes(s3Env.AWS_SECRET_ACCESS_KEY));
});
