import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createOciSource } from '../../src/bundles/sources/oci.ts';
import type { ServiceConfig } from '../../src/config/schema.ts';
import { describeBundleSource, type Place } from '../contract/bundle-source.ts';
import { bundleOf } from '../support/archive.ts';
import { listen } from '../support/listen.ts';
import { imageIndex, imageManifest, LAYER, type Pushed, puller, sha256, startRegistry } from '../support/registry.ts';
import { startRelay } from '../support/relay.ts';
import { scratchFolder } from '../support/servers.ts';
import { serviceConfig } from '../support/sources.ts';
import { createSigner } from '../support/tokens.ts';
import { unpacked } from '../support/unpacked.ts';

const LIMIT = 1_000_000;
const never = new AbortController().signal;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const other = bundleOf([{ name: 'data.json', content: '{"v":2}' }]);

const serviceAt = (url: string, bearer?: object): ServiceConfig => ({
  ...serviceConfig({ type: 'oci', url }),
  ...(bearer === undefined ? {} : { credentials: { bearer: { scheme: 'Bearer', ...bearer } } }),
});
const basic = (token = `${puller.name}:${puller.password}`) => ({ scheme: 'Basic', token });
const authorization = `Basic ${Buffer.from(`${puller.name}:${puller.password}`).toString('base64')}`;
const sourceOf = (reference: string, service: ServiceConfig) =>
  unpacked(createOciSource(reference, service, { env: {} }), LIMIT);

describeBundleSource('an OCI registry', async (scope): Promise<Place> => {
  const registry = await startRegistry(scope);
  const reference = `${registry.host}/org/policies:latest`;
  const relay = await startRelay(scope, registry.url);
  let pushed: Pushed | undefined;
  const put = async (bytes: Buffer): Promise<void> => {
    pushed = await registry.push('org/policies', 'latest', bytes);
  };
  return {
    source: (maxBytes) => unpacked(createOciSource(reference, serviceAt(relay.url, basic()), { env: {} }), maxBytes),
    put: (entries) => put(bundleOf(entries)),
    spoil: () => put(good.subarray(0, good.length / 2)),
    remove: () => registry.remove('org/policies', pushed?.digest ?? ''),
    hold: relay.hold,
    secrets: [puller.password, Buffer.from(puller.password).toString('base64')],
  };
});

describe('an image', () => {
  test('has the digest of its manifest as its tag, and may be named by it', async (context) => {
    const registry = await startRegistry(context);
    const { digest } = await registry.push('policies', 'v1', good);
    const byTag = await sourceOf(`${registry.host}/policies:v1`, serviceAt(registry.url))(undefined, never);
    assert.equal(byTag.kind === 'new' && byTag.tag, digest);
    const pinned = sourceOf(`${registry.host}/policies:v1@${digest}`, serviceAt(registry.url));
    assert.equal((await pinned(undefined, never)).kind, 'new');
    await registry.push('policies', 'v1', other);
    assert.deepEqual(await pinned(digest, never), { kind: 'unchanged' });
    const again = await pinned(undefined, never);
    assert.equal(again.kind === 'new' && again.files.get('data.json')?.toString(), '{"v":1}');
  });

  test('is found in an index, behind attestations and images without a bundle', async (context) => {
    const registry = await startRegistry(context);
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const [bundle, picture] = [
      await registry.push('policies', 'bundle', good),
      await registry.push('policies', 'picture', other, { mediaType: 'image/png' }),
    ];
    const unknown = { os: 'unknown', architecture: 'unknown' };
    await registry.pushIndex('policies', 'latest', [
      { mediaType, ...(await registry.push('policies', 'attested', other)), platform: unknown },
      { mediaType, ...picture },
      { mediaType, ...bundle },
    ]);
    const found = await sourceOf(`${registry.host}/policies:latest`, serviceAt(registry.url))(undefined, never);
    assert.equal(found.kind === 'new' && found.files.get('data.json')?.toString(), '{"v":1}');
  });

  test('that is not there, or has no layer of the type, is told by name', async (context) => {
    const registry = await startRegistry(context);
    await registry.push('policies', 'docker', good, { mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' });
    const at = (name: string) => sourceOf(`${registry.host}/${name}`, serviceAt(registry.url))(undefined, never);
    await assert.rejects(
      at('policies:docker'),
      /policies:docker: the image has no layer of type .*tar\+gzip; it has .*docker/,
    );
    await assert.rejects(at('policies:nowhere'), /policies:nowhere: there is no such image/);
    await assert.rejects(at('nothing:latest'), /nothing:latest: there is no such image/);
    await registry.stop();
    await assert.rejects(at('policies:docker'), /policies:docker: .*ECONNREFUSED/);
  });

  test('whose name is none is refused at once', () => {
    for (const name of [
      'policies:latest',
      'ghcr.io/org/policies',
      'ghcr.io/../x:1',
      'ghcr.io/Org/x:1',
      'ghcr.io/x:',
      'ghcr.io/x@sha256:00',
    ]) {
      assert.throws(
        () => createOciSource(name, serviceAt('http://127.0.0.1:1'), { env: {} }),
        { name: 'BundleError' },
        name,
      );
    }
  });
});

describe('a registry with passwords', () => {
  test('gives bundles to who has one, given or in a file', async (context) => {
    const registry = await startRegistry(context, 'basic');
    await registry.push('policies', 'v1', good, { headers: { authorization } });
    const reference = `${registry.host}/policies:v1`;
    assert.equal((await sourceOf(reference, serviceAt(registry.url, basic()))(undefined, never)).kind, 'new');
    const token_path = join(scratchFolder(context), 'token');
    writeFileSync(token_path, `${puller.name}:${puller.password}\n`);
    const fromFile = sourceOf(reference, serviceAt(registry.url, { scheme: 'Basic', token_path }));
    assert.equal((await fromFile(undefined, never)).kind, 'new');
    for (const service of [serviceAt(registry.url), serviceAt(registry.url, basic('puller:wr0ng'))]) {
      await assert.rejects(sourceOf(reference, service)(undefined, never), (error: Error) => {
        assert.match(error.message, /policies:v1: the registry wants credentials, or others than these \(401\)/);
        return !/wr0ng|cHVsbGVyOndyMG5n/.test(String(error.stack));
      });
    }
  });
});

describe('a registry with tokens', () => {
  const issuer = 'https://issuer.example.com';

  /** A registry, and where it sends for tokens; `asked` are the requests there. */
  async function setUp(scope: Parameters<typeof startRegistry>[0]) {
    const signer = await createSigner(issuer);
    const asked: (readonly [url: string, authorization: string | undefined])[] = [];
    let lifetime = 600;
    const access = (actions: readonly string[]) => ({
      aud: 'registry.test',
      sub: puller.name,
      access: [{ type: 'repository', name: 'policies', actions }],
    });
    const realm = await listen(scope, (request, response) => {
      asked.push([request.url ?? '', request.headers.authorization]);
      if (request.headers.authorization !== authorization) {
        response.writeHead(401).end();
        return;
      }
      void signer.sign(access(['pull']), lifetime).then((token) => response.end(JSON.stringify({ token })));
    });
    const registry = await startRegistry(scope, { realm, issuer, service: 'registry.test', jwks: signer.jwks });
    const push = { headers: { authorization: `Bearer ${await signer.sign(access(['pull', 'push']))}` } };
    await registry.push('policies', 'v1', good, push);
    return { registry, asked, expireAtOnce: (is: boolean) => (lifetime = is ? -600 : 600) };
  }

  test('sends for one with the credentials, which serves until it is refused', async (context) => {
    const { registry, asked, expireAtOnce } = await setUp(context);
    const source = sourceOf(`${registry.host}/policies:v1`, serviceAt(registry.url, basic()));
    expireAtOnce(true);
    await assert.rejects(source(undefined, never), /wants credentials, or others than these/);
    expireAtOnce(false);
    const first = await source(undefined, never);
    assert.equal(first.kind, 'new');
    assert.deepEqual(await source(first.tag, never), { kind: 'unchanged' });
    const query = '/?service=registry.test&scope=repository%3Apolicies%3Apull';
    assert.deepEqual(asked, [
      [query, authorization],
      [query, authorization],
    ]);
  });

  test('refuses who has no credentials, or wrong ones', async (context) => {
    const { registry } = await setUp(context);
    for (const bearer of [undefined, basic('puller:wrong')]) {
      const source = sourceOf(`${registry.host}/policies:v1`, serviceAt(registry.url, bearer));
      await assert.rejects(source(undefined, never), /gave no token \(401\); check the credentials/);
    }
  });

  test('cannot send credentials where they are not safe', async (context) => {
    const challenge: RequestListener = (_request, response) =>
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://elsewhere.example.com/token"' }).end();
    const url = await listen(context, challenge);
    const source = sourceOf('r/policies:v1', serviceAt(url, basic()));
    await assert.rejects(
      source(undefined, never),
      /tokens are at elsewhere.example.com, to which credentials could not/,
    );
  });

  test('keeps tokens and credentials to itself when it redirects', async (context) => {
    const seen: (readonly [path: string, authorization: string | undefined])[] = [];
    const storage = await listen(context, ({ url, headers }, response) => {
      seen.push([`storage ${url}`, headers.authorization]);
      response.end(good);
    });
    const url = await listen(context, ({ url: path = '', headers }, response) => {
      seen.push([path.replace(/sha256:.*/, 'DIGEST'), headers.authorization]);
      if (path.startsWith('/token')) response.end('{"access_token":"t1"}');
      else if (headers.authorization !== 'Bearer t1') {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end();
      } else if (path.includes('/blobs/')) response.writeHead(307, { location: `${storage}/blob` }).end();
      else response.end(JSON.stringify(imageManifest(good)));
    });
    const source = sourceOf('r/policies:v1', serviceAt(url, { token: 'secret' }));
    assert.equal((await source(undefined, never)).kind, 'new');
    const own = `Bearer ${Buffer.from('secret').toString('base64')}`;
    assert.deepEqual(seen, [
      ['/v2/policies/manifests/v1', own],
      ['/token?scope=repository%3Apolicies%3Apull', own],
      ['/v2/policies/manifests/v1', 'Bearer t1'],
      ['/v2/policies/manifests/v1', 'Bearer t1'],
      ['/v2/policies/blobs/DIGEST', 'Bearer t1'],
      ['storage /blob', undefined],
    ]);
  });

  test('gives another one when the first is not good any more', async (context) => {
    let given = 0;
    let valid = 1;
    const digest = sha256(JSON.stringify(imageManifest(good)));
    const url = await listen(context, ({ url: path = '', headers }, response) => {
      if (path.startsWith('/token')) response.end(JSON.stringify({ token: `t${++given}` }));
      else if (headers.authorization === `Bearer t${valid}`) response.setHeader('docker-content-digest', digest).end();
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end();
    });
    const source = sourceOf('r/policies:v1', serviceAt(url));
    for (valid of [1, 1, 2]) assert.deepEqual(await source(digest, never), { kind: 'unchanged' });
    assert.equal(given, 2);
    valid = 9;
    await assert.rejects(source(digest, never), /wants credentials/);
    assert.equal(given, 3, 'asked for once, not again and again');
  });
});

describe('an answer of a registry', () => {
  const manifest = imageManifest(good);
  const described = (bytes: Buffer) => ({ mediaType: LAYER, digest: sha256(bytes), size: bytes.length });
  type Hostile = {
    readonly name: string;
    readonly manifests?: { readonly [reference: string]: unknown };
    readonly head?: string;
    readonly blob?: RequestListener;
    readonly message: RegExp;
  };
  const nested = (depth: number): { readonly [reference: string]: unknown } => {
    const found: { [reference: string]: unknown } = {};
    let inner: object = manifest;
    for (let i = 0; i < depth; i++) {
      found[sha256(JSON.stringify(inner))] = inner;
      inner = imageIndex([{ digest: sha256(JSON.stringify(inner)), size: 1 }]);
    }
    return { ...found, v1: inner };
  };
  const wide = Array.from({ length: 40 }, (_, i) => imageManifest(Buffer.from(String(i)), 'image/png'));
  const hostile: readonly Hostile[] = [
    { name: 'with a manifest of another digest', head: sha256('x'), message: /manifest is not what its digest says/ },
    {
      name: 'with a layer of another digest',
      blob: (_request, response) => response.end(Buffer.alloc(good.length)),
      message: /bundle is not what its digest says/,
    },
    {
      name: 'with a layer that is shorter',
      blob: (_request, response) => response.end(good.subarray(1)),
      message: /bundle is not what its digest says/,
    },
    {
      name: 'with a layer that has no end',
      blob: (_request, response) => {
        const more = (): void => {
          while (response.write(Buffer.alloc(65_536)));
          response.once('drain', more);
        };
        more();
      },
      message: new RegExp(`more than ${good.length} bytes`),
    },
    {
      name: 'with a layer that is too large',
      manifests: { v1: { layers: [{ ...described(good), size: 1e9 }] } },
      message: /more than 52428800 bytes/,
    },
    {
      name: 'with a layer without a size',
      manifests: { v1: { layers: [{ ...described(good), size: -1 }] } },
      message: /without a size/,
    },
    {
      name: 'with a digest that leads elsewhere',
      manifests: { v1: { layers: [{ ...described(good), digest: 'sha256:../../../token' }] } },
      message: /without a digest/,
    },
    {
      name: 'with a manifest that is an index as well',
      manifests: { v1: { ...manifest, manifests: [] } },
      message: /index as well/,
    },
    { name: 'with a manifest that is none', manifests: { v1: [] }, message: /neither layers nor manifests/ },
    {
      name: 'with a manifest that is too large',
      manifests: { v1: { ...manifest, filler: 'x'.repeat(4_194_304) } },
      message: /more than 4194304 bytes/,
    },
    { name: 'with indexes in indexes', manifests: nested(6), message: /more than 4 levels deep/ },
    {
      name: 'with an index without a bundle',
      manifests: { v1: imageIndex([]) },
      message: /no layer of type .*; it has none/,
    },
    {
      name: 'with an index of too many',
      manifests: {
        v1: imageIndex(wide.map((each) => ({ digest: sha256(JSON.stringify(each)), size: 1 }))),
        ...Object.fromEntries(wide.map((each) => [sha256(JSON.stringify(each)), each])),
      },
      message: /more than 32 manifests/,
    },
    {
      name: 'that redirects in a circle',
      blob: ({ url }, response) => response.writeHead(302, { location: url }).end(),
      message: /redirects without an end/,
    },
    {
      name: 'that redirects to what is no server',
      blob: (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      message: /redirects to where it is not safe/,
    },
    { name: 'that is an error', blob: (_request, response) => response.writeHead(503).end(), message: /answered 503/ },
    {
      name: 'that forbids',
      blob: (_request, response) => response.writeHead(403).end(),
      message: /does not allow .* \(403\)/,
    },
    {
      name: 'without the layer',
      blob: (_request, response) => response.writeHead(404).end(),
      message: /does not have the layer/,
    },
  ];
  for (const { name, manifests = {}, head, blob, message } of hostile) {
    test(`${name} is refused`, async (context) => {
      const all: { readonly [reference: string]: unknown } = { v1: manifest, ...manifests };
      const url = await listen(context, (request, response) => {
        const [, kind, reference = ''] = /^\/v2\/policies\/(manifests|blobs)\/(.*)$/.exec(request.url ?? '') ?? [];
        if (kind === 'blobs') blob?.(request, response);
        else if (request.method === 'HEAD' && head !== undefined)
          response.setHeader('docker-content-digest', head).end();
        else response.end(JSON.stringify(all[reference] ?? manifest));
      });
      await assert.rejects(sourceOf('r/policies:v1', serviceAt(url))(undefined, never), message);
    });
  }

  test('that does not come ends when it is told to, and when the headers take too long', async (context) => {
    const stopping = new AbortController();
    const url = await listen(context, (request) => {
      if (request.headers['x-stop'] === 'yes') stopping.abort();
    });
    const service = { ...serviceAt(url), headers: { 'x-stop': 'yes' } };
    await assert.rejects(sourceOf('r/policies:v1', service)(undefined, stopping.signal), /abort/i);
    const impatient = { ...serviceAt(url), response_header_timeout_seconds: 0.05 };
    await assert.rejects(sourceOf('r/policies:v1', impatient)(undefined, never), /Headers Timeout/);
  });
});

describe('ECR', () => {
  test('gives a token to the keys of the environment, which is used until its end', async (context) => {
    const asked: object[] = [];
    const ecr = await listen(context, ({ method, headers }, response) => {
      asked.push([
        method,
        headers['x-amz-target'],
        /Credential=(\S+?)\/.*\/(\S+?)\/ecr\//.exec(headers.authorization ?? '')?.slice(1),
      ]);
      const authorizationToken = Buffer.from(`${puller.name}:${puller.password}`).toString('base64');
      const expiresAt = Date.now() / 1000 + 43_200;
      response.end(JSON.stringify({ authorizationData: [{ authorizationToken, expiresAt }] }));
    });
    const registry = await startRegistry(context, 'basic');
    await registry.push('policies', 'v1', good, { headers: { authorization } });
    const credentials = {
      s3_signing: { service: 'ecr', signature_version: '4', environment_credentials: {} },
    } as const;
    const env = {
      AWS_ACCESS_KEY_ID: 'AKID',
      AWS_SECRET_ACCESS_KEY: 's',
      AWS_REGION: 'eu-1',
      AWS_ENDPOINT_URL_ECR: ecr,
    };
    const source = createOciSource(
      `${registry.host}/policies:v1`,
      { ...serviceAt(registry.url), credentials },
      { env },
    );
    assert.equal((await source(undefined, never)).kind, 'new');
    assert.deepEqual(asked, [['POST', 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken', ['AKID', 'eu-1']]]);
  });
});
