import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type S3Limits, s3Limits } from '../../src/bundles/s3/client.ts';
import { putObject } from '../../src/bundles/s3/put-object.ts';
import { createS3Source } from '../../src/bundles/sources/s3.ts';
import type { BundleSource } from '../../src/bundles/sources/source.ts';
import type { S3Config } from '../../src/config/schema.ts';
import { describeBundleSource, type Place } from '../contract/bundle-source.ts';
import { bundleOf } from '../support/archive.ts';
import { listen } from '../support/listen.ts';
import { freePorts, tool } from '../support/process.ts';
import { startRelay } from '../support/relay.ts';
import { isolateSdk, type S3Server, s3Env, startS3 } from '../support/s3.ts';
import { createScope, type Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { httpSource } from '../support/sources.ts';
import { unpacked } from '../support/unpacked.ts';

const LIMIT = 1_000_000;
const never = new AbortController().signal;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);
const other = bundleOf([{ name: 'data.json', content: '{"v":2}' }]);

const shared = createScope();
let server: S3Server;
let buckets = 0;
before(async () => {
  isolateSdk(scratchFolder(shared), s3Env);
  server = await startS3(shared);
});
beforeEach(() => isolateSdk(scratchFolder(shared), s3Env));
after(shared.close);

async function newBucket(options?: { readonly versions: boolean }): Promise<string> {
  const bucket = `bucket-${++buckets}`;
  await server.createBucket(bucket, options);
  return bucket;
}

async function place(
  scope: Scope,
  source: (endpoint: string, bucket: string, key: string) => BundleSource,
): Promise<Place> {
  const bucket = await newBucket();
  const relay = await startRelay(scope, server.endpoint);
  const key = 'policies/main bundle.tar.gz';
  const put = async (bytes: Buffer): Promise<void> => void (await server.put(bucket, key, bytes));
  return {
    source: (maxBytes) => unpacked(source(relay.url, bucket, key), maxBytes),
    put: (entries) => put(bundleOf(entries)),
    spoil: () => put(good.subarray(0, good.length / 2)),
    remove: () => server.remove(bucket, key),
    hold: relay.hold,
    secrets: [s3Env.AWS_SECRET_ACCESS_KEY],
  };
}

const signing = { s3_signing: { signature_version: '4', environment_credentials: {} } } as const;
const signed = (scope: Scope, url: string): BundleSource =>
  httpSource(scope, new URL(url).origin, {
    service: { credentials: signing },
    bundle: { resource: url, service: 'ci' },
    env: s3Env,
  });

describeBundleSource('S3 through the SDK', (scope) =>
  place(scope, (endpoint, bucket, key) => createS3Source(`s3://${bucket}/${key}`, { ...server.config, endpoint })),
);
describeBundleSource('S3 as an HTTP server, with a signature', (scope) =>
  place(scope, (endpoint, bucket, key) => signed(scope, `${endpoint}/${bucket}/${key}`)),
);

const sourceOf = (resource: string, config: S3Config = server.config, limits = s3Limits) =>
  unpacked(createS3Source(resource, config, limits), LIMIT);

describe('an object in S3', () => {
  test('has its ETag as a tag, and its version where the bucket has versions', async () => {
    const [plain, versioned] = [await newBucket(), await newBucket({ versions: true })];
    const tags: string[] = [];
    for (const bucket of [plain, versioned]) {
      const etag = await server.put(bucket, 'b.tar.gz', good);
      const source = sourceOf(`s3://${bucket}/b.tar.gz`);
      const found = await source(undefined, never);
      assert.equal(found.kind, 'new');
      assert.ok(found.tag.startsWith(etag));
      tags.push(found.tag.slice(etag.length));
      assert.deepEqual(await source(found.tag, never), { kind: 'unchanged' });
      await server.put(bucket, 'b.tar.gz', other);
      const next = await source(found.tag, never);
      assert.equal(next.kind === 'new' && next.files.get('data.json')?.toString(), '{"v":2}');
    }
    assert.equal(tags[0], '');
    assert.match(tags[1] ?? '', /^ \w+/);
  });

  test('whose latest version is a deletion is not there', async () => {
    const bucket = await newBucket({ versions: true });
    await server.put(bucket, 'b.tar.gz', good);
    await server.remove(bucket, 'b.tar.gz');
    await assert.rejects(sourceOf(`s3://${bucket}/b.tar.gz`)(undefined, never), /there is no such object/);
  });

  for (const key of ["a b=c/v1+2,(x)!'*~.tar.gz", 'ünï/@$&:;.gz', 'a//b.tar.gz', '100%.gz']) {
    test(`may be called ${key}`, async (context) => {
      const bucket = await newBucket();
      await server.put(bucket, key, good);
      assert.equal((await sourceOf(`s3://${bucket}/${key}`)(undefined, never)).kind, 'new');
      const url = `${server.endpoint}/${bucket}/${key.replaceAll('%', '%25')}`;
      const source = unpacked(signed(context, url), LIMIT);
      assert.equal((await source(undefined, never)).kind, 'new');
    });
  }

  test('that opa has built and signed arrives as it was made', async (context) => {
    const folder = scratchFolder(context);
    const [source, key, output] = ['p.rego', 'key.pem', 'b.tar.gz'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(source, 'package p\n\nx := 1\n');
    execFileSync('openssl', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', key], {
      stdio: 'pipe',
    });
    execFileSync(
      tool('opa'),
      [
        'build',
        '-t',
        'wasm',
        '-e',
        'p/x',
        '-r',
        'r1',
        '--signing-alg',
        'RS256',
        '--signing-key',
        key,
        '-o',
        output,
        '-b',
        folder,
      ],
      { stdio: 'pipe' },
    );
    const bytes = readFileSync(output);
    const bucket = await newBucket();
    await server.put(bucket, 'b.tar.gz', bytes);
    const raw = await createS3Source(`s3://${bucket}/b.tar.gz`, server.config)(undefined, never);
    assert.ok(raw.kind === 'new' && 'archive' in raw.content && raw.content.archive.equals(bytes));
    const found = await unpacked(async () => raw, LIMIT)(undefined, never);
    assert.ok(found.kind === 'new' && found.files.has('.signatures.json') && found.files.has('policy.wasm'));
  });

  test('is found with the addresses of the SDK, where the configuration has none', async () => {
    const bucket = await newBucket();
    await server.put(bucket, 'b.tar.gz', good);
    for (const name of ['AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3']) {
      isolateSdk(scratchFolder(shared), { ...s3Env, [name]: server.endpoint });
      const source = sourceOf(`s3://${bucket}/b.tar.gz`, { force_path_style: true });
      assert.equal((await source(undefined, never)).kind, 'new');
    }
  });

  test('is found with keys and region of a profile', async (context) => {
    const bucket = await newBucket();
    await server.put(bucket, 'b.tar.gz', good);
    const file = join(scratchFolder(context), 'credentials');
    writeFileSync(
      file,
      `[ci]\nregion = ${s3Env.AWS_REGION}\naws_access_key_id = ${s3Env.AWS_ACCESS_KEY_ID}\naws_secret_access_key = ${s3Env.AWS_SECRET_ACCESS_KEY}\n`,
    );
    isolateSdk(scratchFolder(shared), { AWS_PROFILE: 'ci', AWS_SHARED_CREDENTIALS_FILE: file });
    const config = { endpoint: server.endpoint, force_path_style: true };
    assert.equal((await sourceOf(`s3://${bucket}/b.tar.gz`, config)(undefined, never)).kind, 'new');
  });
});

describe('an object that cannot be had', () => {
  const secret = 'not-the-secret';
  const unset = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_REGION: '' };
  const refused: readonly (readonly [name: string, env: { readonly [name: string]: string }, path: string, RegExp])[] =
    [
      ['is not there', s3Env, 'BUCKET/nothing', /there is no such object \(NoSuchKey, 404\)/],
      ['has no bucket', s3Env, 'nowhere/b.tar.gz', /there is no such bucket \(NoSuchBucket, 404\)/],
      [
        'is asked for with a wrong key',
        { ...s3Env, AWS_SECRET_ACCESS_KEY: secret },
        'BUCKET/b.tar.gz',
        /secret key is wrong/,
      ],
      [
        'is asked for by a stranger',
        { ...s3Env, AWS_ACCESS_KEY_ID: 'AKIASTRANGER' },
        'BUCKET/b.tar.gz',
        /answered 404 \(\w+\)/,
      ],
      ['is asked for without keys', unset, 'BUCKET/b.tar.gz', /no AWS credentials were found; set AWS_ACCESS_KEY_ID/],
    ];
  for (const [name, env, path, message] of refused) {
    test(`because it ${name} is told by name, with the cause and no secret`, async () => {
      const bucket = await newBucket();
      await server.put(bucket, 'b.tar.gz', good);
      isolateSdk(scratchFolder(shared), env);
      const address = `s3://${path.replace('BUCKET', bucket)}`;
      await assert.rejects(sourceOf(address)(undefined, never), (error: Error) => {
        assert.equal(error.name, 'BundleError');
        assert.ok(error.message.startsWith(`${address}: `), error.message);
        assert.match(error.message, message);
        return !`${error.stack}`.includes(secret) && error.cause === undefined;
      });
    });
  }

  test('for want of a region says how to give one', async () => {
    const config = { endpoint: server.endpoint, force_path_style: true };
    const { AWS_REGION: _region, ...keys } = s3Env;
    for (const env of [keys, { ...keys, AWS_REGION: 'not a region' }]) {
      isolateSdk(scratchFolder(shared), env);
      const look = sourceOf('s3://bucket/key', config)(undefined, never);
      await assert.rejects(look, /no region, or none that is valid; set AWS_REGION or postern\.s3\.region/);
    }
  });

  test('since the server is down says so', async () => {
    const [port] = await freePorts(1);
    const config = { ...server.config, endpoint: `http://127.0.0.1:${port}` };
    await assert.rejects(
      sourceOf('s3://bucket/key', config)(undefined, never),
      /the connection failed \(ECONNREFUSED\)/,
    );
  });

  test('as what the server says is not what was asked is refused', async (context) => {
    const url = await listen(context, (_request, response) => response.writeHead(304).end());
    const source = sourceOf('s3://bucket/key', { ...server.config, endpoint: url });
    await assert.rejects(source(undefined, never), /304, and was not asked for changes only/);
    await assert.rejects(source('no-etag', never), /304, and was not asked for changes only/);
    assert.deepEqual(await source('"1" v1', never), { kind: 'unchanged' });
  });

  const denied =
    (code: string): RequestListener =>
    (_request, response) =>
      response
        .writeHead(403, { 'content-type': 'application/xml' })
        .end(
          `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${s3Env.AWS_SECRET_ACCESS_KEY}</Message></Error>`,
        );
  test('since it is forbidden says what must be allowed, and not what the server wrote', async (context) => {
    const at = async (listener: RequestListener) =>
      sourceOf('s3://bucket/key', { ...server.config, endpoint: await listen(context, listener) })(undefined, never);
    await assert.rejects(at(denied('AccessDenied')), (error: Error) => {
      assert.match(
        error.message,
        /^s3:\/\/bucket\/key: access denied \(AccessDenied, 403\); the keys need s3:GetObject/,
      );
      return !error.message.includes(s3Env.AWS_SECRET_ACCESS_KEY);
    });
    await assert.rejects(at(denied('Own<![CDATA[ <b>]]>')), /the server answered 403 \(an error without a name\)/);
  });
});

describe('a server that is slow, or has no end', () => {
  type Hostile = readonly [name: string, RequestListener, RegExp, over?: Partial<S3Limits>];
  const hostile: readonly Hostile[] = [
    ['that never answers', () => {}, /does not answer in time/, { headersMs: 500 }],
    [
      'that never ends',
      (_request, response) => response.writeHead(200).write(good.subarray(0, 5)),
      /not done within 1 s/,
      { totalMs: 1000 },
    ],
    [
      'that ends early',
      (_request, response) =>
        response.writeHead(200, { 'content-length': good.length + 1 }).write(good, () => response.destroy()),
      /./,
    ],
    [
      'that sends without end',
      (_request, response) => {
        const more = (): void => {
          while (response.write(Buffer.alloc(1_048_576)));
          response.once('drain', more);
        };
        more();
      },
      /more than 52428800 bytes/,
    ],
  ];
  for (const [name, listener, message, over = {}] of hostile) {
    test(`${name} is given up, and its connection closed`, async (context) => {
      const closed: Promise<void>[] = [];
      const url = await listen(context, (request, response) => {
        closed.push(new Promise((resolve) => request.socket.once('close', () => resolve())));
        listener(request, response);
      });
      const limits = { ...s3Limits, ...over };
      const source = sourceOf('s3://bucket/key', { ...server.config, endpoint: url }, limits);
      await assert.rejects(source(undefined, never), message);
      await Promise.all(closed);
      assert.ok(closed.length <= 2, 'tried without end');
    });
  }

  test('is left when Postern stops', async (context) => {
    const stopping = new AbortController();
    const url = await listen(context, (_request, response) => {
      response.writeHead(200).write(good.subarray(0, 5), () => stopping.abort());
    });
    const source = sourceOf('s3://bucket/key', { ...server.config, endpoint: url });
    await assert.rejects(source(undefined, stopping.signal), /./);
  });
});

describe('an object that is put', () => {
  test('may be bound to what is there', async () => {
    const bucket = await newBucket({ versions: true });
    const address = `s3://${bucket}/b.tar.gz`;
    const { config } = server;
    const first = await putObject(address, good, { config, ifNoneMatch: '*' });
    assert.ok(first.versionId !== undefined);
    await assert.rejects(
      putObject(address, other, { config, ifNoneMatch: '*' }),
      /somebody else .*\(PreconditionFailed, 412\)/,
    );
    await assert.rejects(putObject(address, other, { config, ifMatch: '"0"' }), /somebody else/);
    const second = await putObject(address, other, { config, ifMatch: first.etag });
    const found = await sourceOf(address)(undefined, never);
    assert.equal(found.kind === 'new' && found.tag, `${second.etag} ${second.versionId}`);
  });

  test('where it must not be says what must be allowed', async (context: Scope) => {
    const endpoint = await listen(context, (request, response) => {
      request.resume();
      response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code></Error>');
    });
    const put = putObject('s3://bucket/key', good, { config: { ...server.config, endpoint } });
    await assert.rejects(put, /the keys need s3:PutObject/);
    await assert.rejects(putObject('s3://bucket', good, { config: server.config }), /s3:\/\/BUCKET\/KEY is expected/);
  });
});
