import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { issue, selfSigned } from '../support/certificates.ts';
import { postern, type Ran } from '../support/command.ts';
import { freePorts } from '../support/process.ts';
import { s3Env, startS3 } from '../support/s3.ts';
import { createScope } from '../support/scope.ts';
import { buildPolicy, scratchFolder, startPostern } from '../support/servers.ts';
import { keyPairFor, privatePem, publicPem } from '../support/signing.ts';
import { serve } from '../support/web.ts';

const suite = createScope();
after(suite.close);
const folder = scratchFolder(suite);
const at = (name: string): string => join(folder, name);
const token = 'push-secret-token';
writeFileSync(at('token'), `${token}\n`);

const bundle = buildPolicy('package envoy.authz\n\nallow := true\n', folder);
const unable = buildPolicy('package envoy.authz\n\nallow if rego.parse_module("a", input.x)\n', folder, 'unable');

const push = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  postern(['bundle', 'push', ...args], { cwd: folder, env });

type Put = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
};
/** A server that takes what it is given, or answers what it is told to, and tells what came. */
async function startTarget(tls?: Parameters<typeof serve>[2]) {
  const puts: Put[] = [];
  const answer = { status: 201, headers: {} as { [name: string]: string } };
  const origin = await serve(
    suite,
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        puts.push({ method, url, headers, body: Buffer.concat(chunks) });
        response.writeHead(answer.status, answer.headers).end('what the server says');
      });
    },
    tls,
  );
  return { origin, puts, answer };
}

describe('postern bundle push', () => {
  test('puts the bundle, with headers and the token of a file', async () => {
    const { origin, puts } = await startTarget();
    const headers = ['-H', 'X-Team: a', '-H', 'x-team: b'];
    const args = [`${origin}/bundles/authz.tar.gz?sig=query-secret`, bundle, '--token-file', 'token', ...headers];
    const { code, stdout, stderr } = await push(args);
    assert.deepEqual([code, stderr], [0, '']);
    const [put] = puts;
    assert.equal(puts.length, 1);
    assert.deepEqual([put?.method, put?.url], ['PUT', '/bundles/authz.tar.gz?sig=query-secret']);
    assert.deepEqual(put?.body, readFileSync(bundle));
    assert.equal(put?.headers.authorization, `Bearer ${token}`);
    assert.equal(put?.headers['x-team'], 'a, b');
    assert.equal(put?.headers['content-type'], 'application/gzip');
    assert.match(
      stdout,
      new RegExp(`^pushed: .* bytes, to ${origin}/bundles/authz\\.tar\\.gz: 201\nsha256: +[0-9a-f]{64}\n$`),
    );
    assert.doesNotMatch(stdout, /secret/);
  });

  test('an answer that is no success is one that fails, and a redirect is not followed', async () => {
    const { origin, puts, answer } = await startTarget();
    const other = await startTarget();
    for (const [status, message] of [
      [403, /^postern: not pushed: PUT http.*\/b: the server answered 403\n$/],
      [500, /the server answered 500\n$/],
      [302, /the server answered 302; redirects are not followed\n$/],
      [307, /the server answered 307; redirects are not followed\n$/],
    ] as const) {
      answer.status = status;
      answer.headers = { location: `${other.origin}/elsewhere` };
      const { code, stdout, stderr } = await push([`${origin}/b`, bundle, '--token-file', 'token']);
      assert.deepEqual([code, stdout], [1, ''], stderr);
      assert.match(stderr, message);
    }
    assert.deepEqual([puts.length, other.puts.length], [4, 0]);
    const [port = 0] = await freePorts(1);
    const refused = await push([`http://127.0.0.1:${port}/b?sig=query-secret`, bundle]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /the connection is refused \(ECONNREFUSED\)\n$/);
    assert.doesNotMatch(refused.stderr, /query-secret/);
  });

  test('a bundle that could not serve is not pushed, unless it is meant to be', async () => {
    const { origin, puts } = await startTarget();
    const { code, stderr } = await push([`${origin}/b`, unable]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^postern: not pushed: the bundle could not serve\npostern: policy\.wasm: .*rego\.parse_module/,
    );
    assert.equal(puts.length, 0);
    assert.equal((await push([`${origin}/b`, unable, '--no-check'])).code, 0);
    assert.deepEqual(puts[0]?.body, readFileSync(unable));
    writeFileSync(at('text'), 'nonsense');
    assert.equal((await push([`${origin}/b`, 'text'])).code, 1);
    assert.equal(puts.length, 1);
  });

  test('a signed bundle is pushed, verified where the configuration has keys', async () => {
    const { origin, puts } = await startTarget();
    writeFileSync(at('key.pem'), privatePem(keyPairFor('ES256')));
    const sign = [
      'bundle',
      'sign',
      '--key',
      'key.pem',
      '--alg',
      'ES256',
      '--key-id',
      'ci',
      '-o',
      'signed.tar.gz',
      bundle,
    ];
    assert.equal((await postern(sign, { cwd: folder })).code, 0);
    const configure = (name: string): void =>
      writeFileSync(
        at('keys.yaml'),
        JSON.stringify({ keys: { ci: { key: publicPem(keyPairFor('ES256', name)), algorithm: 'ES256' } } }),
      );
    assert.equal((await push([`${origin}/b`, 'signed.tar.gz'])).code, 0);
    configure('a');
    assert.equal((await push([`${origin}/b`, 'signed.tar.gz', '-c', 'keys.yaml'])).code, 0);
    configure('b');
    const { code, stderr } = await push([`${origin}/b`, 'signed.tar.gz', '-c', 'keys.yaml']);
    assert.deepEqual([code, /the signature is not by the key ci/.test(stderr)], [1, true], stderr);
    assert.equal(puts.length, 2);
  });

  test('a server must have a certificate that is trusted', async () => {
    const authority = selfSigned(folder, 'authority');
    const { origin, puts } = await startTarget(issue(authority, folder, 'server'));
    const { code, stderr } = await push([`${origin}/b`, bundle, '--token-file', 'token']);
    assert.equal(code, 1);
    assert.match(stderr, /the certificate of the server is not accepted/);
    assert.equal(puts.length, 0);
    const trusted = await push([`${origin}/b`, bundle, '--tls-ca', authority.cert]);
    assert.deepEqual([trusted.code, trusted.stderr], [0, '']);
  });

  test('to S3, where Postern finds it', async (context) => {
    const s3 = await startS3(suite);
    await s3.createBucket('bundles', { versions: true });
    const aws = {
      ...s3Env,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SHARED_CREDENTIALS_FILE: at('none'),
      AWS_CONFIG_FILE: at('none'),
    };
    writeFileSync(at('s3.yaml'), JSON.stringify({ postern: { s3: s3.config } }));
    const { code, stdout, stderr } = await push(['s3://bundles/prod/authz.tar.gz', bundle, '-c', 's3.yaml'], aws);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^pushed: .* to s3:\/\/bundles\/prod\/authz\.tar\.gz: "[0-9a-f]{32}", version \S+\n/);
    const client = new S3Client({
      endpoint: s3.endpoint,
      region: s3Env.AWS_REGION,
      forcePathStyle: true,
      credentials: { accessKeyId: s3Env.AWS_ACCESS_KEY_ID, secretAccessKey: s3Env.AWS_SECRET_ACCESS_KEY },
    });
    suite.after(() => client.destroy());
    const object = await client.send(new GetObjectCommand({ Bucket: 'bundles', Key: 'prod/authz.tar.gz' }));
    assert.deepEqual(Buffer.from((await object.Body?.transformToByteArray()) ?? []), readFileSync(bundle));
    const config = { postern: { s3: s3.config }, bundles: { main: { resource: 's3://bundles/prod/authz.tar.gz' } } };
    const server = await startPostern(context, { folder, config, env: aws });
    const answer = await fetch(`http://${server.api}/v1/data/envoy/authz/allow`, {
      method: 'POST',
      body: '{"input": {}}',
    });
    assert.equal(((await answer.json()) as { readonly result?: unknown }).result, true);

    const wrong = { ...aws, AWS_SECRET_ACCESS_KEY: 'wrong-secret' };
    const denied = await push(['s3://bundles/b', bundle, '-c', 's3.yaml'], wrong);
    assert.equal(denied.code, 1);
    assert.match(denied.stderr, /^postern: not pushed: s3:\/\/bundles\/b: the signature does not match/);
    assert.doesNotMatch(denied.stderr, /wrong-secret/);
    const noBucket = await push(['s3://absent/b', bundle, '-c', 's3.yaml'], aws);
    assert.deepEqual([noBucket.code, /there is no such bucket/.test(noBucket.stderr)], [1, true], noBucket.stderr);
    const withToken = await push(['s3://bundles/b', bundle, '--token-file', 'token'], aws);
    assert.deepEqual([withToken.code, /are for http\(s\)/.test(withToken.stderr)], [2, true]);
  });

  test('says what it lacks, with exit code 2, and never shows a token', async () => {
    const { origin, puts } = await startTarget();
    writeFileSync(at('two'), `${token} ${token}`);
    writeFileSync(at('empty'), '\n');
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['ftp://a/b', bundle], /http\(s\):\/\/HOST\/PATH or s3:\/\/BUCKET\/KEY/],
      [['nonsense', bundle], /http\(s\):\/\/HOST\/PATH/],
      [['s3://bucket', bundle], /s3:\/\/BUCKET\/KEY/],
      [[`http://user:${token}@127.0.0.1/b`, bundle], /a user or a password in it; give credentials with --token-file/],
      [[`${origin}/b`, 'nowhere'], /nowhere/],
      [[`${origin}/b`, folder], /is not a regular file|EISDIR/],
      [[`${origin}/b`, bundle, '--token-file', token], /--token-file: the name of a readable file is expected/],
      [[`${origin}/b`, bundle, '--token-file', 'two'], /--token-file: there is no token in it, or more than one/],
      [[`${origin}/b`, bundle, '--token-file', 'empty'], /--token-file: there is no token in it/],
      [[`${origin}/b`, bundle, '--header', token], /--header: 'Name: value' is expected/],
      [[`${origin}/b`, bundle, '--token-file', 'token', '-H', `Authorization: ${token}`], /exclude each other/],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await push(args);
      assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message);
      assert.ok(!(stdout + stderr).includes(token), args.join(' '));
    }
    // A header that cannot be sent is none of the server's doing either.
    const odd = await push([`${origin}/b`, bundle, '-H', `x-a: ${token}\n`, '-H', `x b: ${token}`]);
    assert.ok(odd.code !== 0 && !odd.stderr.includes(token), odd.stderr);
    assert.equal(puts.length, 0);
    const plain = await push(['http://postern.invalid/b', bundle, '--token-file', 'token']);
    assert.equal(plain.code, 1);
    assert.match(plain.stderr, /^postern: the token is sent without encryption; https would keep it secret\n/);
  });

  test('a large bundle arrives whole', async () => {
    const { origin, puts } = await startTarget();
    const content = randomBytes(20_000_000);
    writeFileSync(at('large.tar.gz'), content);
    assert.equal((await push([`${origin}/b`, 'large.tar.gz', '--no-check'])).code, 0);
    assert.ok(puts[0]?.body.equals(content));
  });
});
