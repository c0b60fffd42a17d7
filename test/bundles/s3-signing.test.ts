import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { createAwsKeys } from '../../src/bundles/sources/credentials/aws-keys.ts';
import { createS3Signing } from '../../src/bundles/sources/credentials/s3-signing.ts';
import type { S3SigningConfig } from '../../src/config/schema.ts';
import { listen } from '../support/listen.ts';
import { isolateSdk } from '../support/s3.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

const url = new URL('https://bucket.s3.eu-west-1.amazonaws.com/bundle.tar.gz?versionId=v1&a=b%20c');
const request = { method: 'GET', url, headers: { 'X-Amz-Request-Payer': 'requester', 'if-none-match': '"1"' } };
const env = { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'secret', AWS_REGION: 'eu-west-1' };
const signing = (over: Partial<S3SigningConfig>): S3SigningConfig => ({ signature_version: '4', ...over });
const session_name = 'open-policy-agent';

beforeEach(() => isolateSdk('/nowhere'));

describe('a signature', () => {
  test('is over the host and what AWS wants signed, and leaves out what a proxy may change', async () => {
    const sign = createS3Signing(signing({ environment_credentials: {} }), env);
    const headers = await sign(request);
    assert.deepEqual(Object.keys(headers).sort(), [
      'authorization',
      'x-amz-content-sha256',
      'x-amz-date',
      'x-amz-request-payer',
    ]);
    assert.match(
      headers['authorization'] ?? '',
      /^AWS4-HMAC-SHA256 Credential=AKID\/[0-9]{8}\/eu-west-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-request-payer, Signature=[0-9a-f]{64}$/,
    );
    assert.equal(headers['x-amz-content-sha256'], createHash('sha256').digest('hex'));
  });

  test('of a request that was signed before leaves nothing of that', async () => {
    const config = signing({ environment_credentials: {} });
    const first = await createS3Signing(config, { ...env, AWS_SESSION_TOKEN: 'old' })(request);
    const again = await createS3Signing(config, env)({ ...request, headers: { ...request.headers, ...first } });
    assert.equal(again['x-amz-security-token'], undefined);
    assert.match(
      again['authorization'] ?? '',
      /SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-request-payer,/,
    );
  });

  test('for another service names that', async () => {
    const headers = await createS3Signing(
      signing({ service: 'execute-api', environment_credentials: {} }),
      env,
    )(request);
    assert.match(headers['authorization'] ?? '', /\/execute-api\/aws4_request/);
    assert.equal(headers['x-amz-content-sha256'], undefined);
  });
});

describe('keys of AWS', () => {
  test('from the environment may have a token, under either name', async () => {
    const config = { environment_credentials: {} };
    for (const name of ['AWS_SESSION_TOKEN', 'AWS_SECURITY_TOKEN']) {
      const headers = await createS3Signing(signing(config), { ...env, [name]: 'token' })(request);
      assert.equal(headers['x-amz-security-token'], 'token');
      assert.match(headers['authorization'] ?? '', /x-amz-security-token/);
    }
  });

  test('that are missing are told by the name of the variable', async () => {
    const keys = (over: object) => createAwsKeys({ environment_credentials: {} }, { ...env, ...over })();
    for (const name of Object.keys(env)) {
      await assert.rejects(keys({ [name]: '' }), {
        name: 'BundleError',
        message: `no AWS credentials: environment_credentials: ${name} is not set`,
      });
    }
  });

  test('from a profile are read anew each time, from the file of the configuration or of the environment', async (context) => {
    const path = join(scratchFolder(context), 'credentials');
    const write = (key: string): void =>
      writeFileSync(path, `[ci]\naws_access_key_id = ${key}\naws_secret_access_key = s\naws_session_token = t\n`);
    write('ONE');
    const given = createAwsKeys({ profile_credentials: { path, profile: 'ci', aws_region: 'eu-1' } }, {});
    assert.equal((await given()).credentials.accessKeyId, 'ONE');
    write('TWO');
    const { credentials, region } = await given();
    assert.deepEqual([credentials.accessKeyId, credentials.sessionToken, region], ['TWO', 't', 'eu-1']);
    const around = { AWS_SHARED_CREDENTIALS_FILE: path, AWS_PROFILE: 'ci', AWS_REGION: 'eu-2' };
    assert.equal((await createAwsKeys({ profile_credentials: {} }, around)()).region, 'eu-2');
    const absent = createAwsKeys({ profile_credentials: { path, profile: 'prod', aws_region: 'eu-1' } }, {});
    await assert.rejects(absent(), /profile_credentials: the profile prod is not there, or has no keys/);
  });

  test('come from the first place that has some, and all are named when none has', async () => {
    const config = { environment_credentials: {}, profile_credentials: { path: '/nowhere/credentials' } };
    assert.equal((await createAwsKeys(config, env)()).credentials.accessKeyId, 'AKID');
    await assert.rejects(
      createAwsKeys(config, {})(),
      /environment_credentials: AWS_REGION is not set; profile_credentials: AWS_REGION is not set/,
    );
  });

  test('of an instance are fetched with a token of the metadata service, version 2', async (context) => {
    const { endpoint, seen, allow } = await metadataService(context);
    isolateSdk('/nowhere', { AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint });
    const config = { metadata_credentials: { aws_region: 'eu-1', iam_role: 'reader' } };
    const { credentials } = await createAwsKeys(config, {})();
    assert.deepEqual([credentials.accessKeyId, credentials.sessionToken], ['IMDS', 'session']);
    assert.deepEqual(seen, [
      ['PUT', '/latest/api/token', undefined],
      ['GET', '/latest/meta-data/iam/security-credentials/', 'imds-token'],
      ['GET', '/latest/meta-data/iam/security-credentials/reader', 'imds-token'],
    ]);
    allow(false);
    await assert.rejects(createAwsKeys(config, {})(), /metadata_credentials: the metadata service gave none/);
    assert.ok(!seen.some(([method, , token]) => method === 'GET' && token === undefined), 'asked without a token');
  });

  test('of a container are fetched from where the environment says', async (context) => {
    const endpoint = await listen(context, ({ headers }, response) => {
      if (headers.authorization !== 'container-token') response.writeHead(403).end('{"Message":"secret"}');
      else response.end(keysDocument('CONTAINER'));
    });
    const variables = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: endpoint,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: 'container-token',
    };
    isolateSdk('/nowhere', variables);
    const config = { metadata_credentials: { aws_region: 'eu-1' } };
    assert.equal((await createAwsKeys(config, variables)()).credentials.accessKeyId, 'CONTAINER');
    isolateSdk('/nowhere', { ...variables, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'wrong' });
    await assert.rejects(createAwsKeys(config, variables)(), (error: Error) => {
      assert.match(error.message, /metadata_credentials: the metadata service gave none/);
      return !error.message.includes('secret');
    });
  });

  test('of a service account are exchanged at STS, and kept until five minutes before their end', async (context) => {
    const { asked } = await sts(context, 600);
    const file = join(scratchFolder(context), 'token');
    writeFileSync(file, 'service-account-token');
    let now = Date.now();
    const variables = {
      AWS_ROLE_ARN: 'arn:aws:iam::1:role/reader',
      AWS_WEB_IDENTITY_TOKEN_FILE: file,
      AWS_REGION: 'eu-1',
    };
    const keys = createAwsKeys({ web_identity_credentials: { session_name } }, variables, () => now);
    const { credentials, region } = await keys();
    assert.deepEqual([credentials.accessKeyId, credentials.sessionToken, region], ['STS1', 'session', 'eu-1']);
    now += 290_000;
    assert.equal((await keys()).credentials.accessKeyId, 'STS1');
    now += 20_000;
    assert.equal((await keys()).credentials.accessKeyId, 'STS2');
    const { Action, RoleArn, RoleSessionName, WebIdentityToken } = Object.fromEntries(asked[0]?.body ?? []);
    assert.deepEqual(
      [Action, RoleArn, RoleSessionName, WebIdentityToken, asked[0]?.authorization],
      ['AssumeRoleWithWebIdentity', variables.AWS_ROLE_ARN, session_name, 'service-account-token', undefined],
    );
    const absent = createAwsKeys(
      { web_identity_credentials: { session_name, web_identity_token_file: '/nowhere' } },
      variables,
    );
    await assert.rejects(absent(), /web_identity_credentials: ENOENT \/nowhere/);
  });

  test('of a role are asked for with other keys', async (context) => {
    const { asked, refuse } = await sts(context, 3600);
    const config = {
      assume_role_credentials: {
        aws_region: 'eu-1',
        iam_role_arn: 'arn:aws:iam::1:role/reader',
        session_name,
        aws_signing: { environment_credentials: {} },
      },
    };
    assert.equal((await createAwsKeys(config, env)()).credentials.accessKeyId, 'STS1');
    assert.equal(new Map(asked[0]?.body).get('Action'), 'AssumeRole');
    assert.match(asked[0]?.authorization ?? '', /Credential=AKID\/[0-9]+\/eu-1\/sts\//);
    refuse();
    await assert.rejects(createAwsKeys(config, env)(), (error: Error) => {
      assert.equal(error.message, 'no AWS credentials: assume_role_credentials: AccessDenied');
      return true;
    });
  });

  test('of a session of IAM Identity Center are fetched with its token', async (context) => {
    const folder = scratchFolder(context);
    const portal = await listen(context, (incoming, response) => {
      if (incoming.headers['x-amz-sso_bearer_token'] !== 'sso-token') response.writeHead(401).end('{}');
      else {
        const roleCredentials = {
          accessKeyId: 'SSO',
          secretAccessKey: 's',
          sessionToken: 't',
          expiration: Date.now() + 3_600_000,
        };
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ roleCredentials }));
      }
    });
    isolateSdk(folder, { AWS_ENDPOINT_URL_SSO: portal, HOME: folder });
    const path = join(folder, 'config');
    const lines = ['[profile ci]', 'sso_session = corp', 'sso_account_id = 1', 'sso_role_name = reader'];
    writeFileSync(
      path,
      [...lines, '[sso-session corp]', 'sso_start_url = https://corp', 'sso_region = eu-9', ''].join('\n'),
    );
    const config = { sso_credentials: { path, profile: 'ci', aws_region: 'eu-1' } };
    await assert.rejects(createAwsKeys(config, {})(), /sso_credentials: no session; run `aws sso login --profile ci`/);
    const cache = join(folder, '.aws/sso/cache');
    mkdirSync(cache, { recursive: true });
    const token = {
      accessToken: 'sso-token',
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      region: 'eu-9',
    };
    writeFileSync(join(cache, `${createHash('sha1').update('corp').digest('hex')}.json`), JSON.stringify(token));
    assert.equal((await createAwsKeys(config, {})()).credentials.accessKeyId, 'SSO');
  });
});

const keysDocument = (id: string): string =>
  JSON.stringify({
    Code: 'Success',
    AccessKeyId: id,
    SecretAccessKey: 's',
    Token: 'session',
    Expiration: new Date(Date.now() + 3_600_000).toISOString(),
  });

async function metadataService(scope: Scope) {
  const seen: (readonly [
    method: string | undefined,
    path: string | undefined,
    token: string | string[] | undefined,
  ])[] = [];
  let isAllowed = true;
  const endpoint = await listen(scope, ({ method, url: path, headers }: IncomingMessage, response: ServerResponse) => {
    seen.push([method, path, headers['x-aws-ec2-metadata-token']]);
    if (!isAllowed) response.writeHead(403).end();
    else if (path === '/latest/api/token') response.end('imds-token');
    else if (path?.endsWith('/reader')) response.end(keysDocument('IMDS'));
    else response.end('reader');
  });
  return { endpoint, seen, allow: (is: boolean) => (isAllowed = is) };
}

/** Answers like STS, with keys that last so long. */
async function sts(scope: Scope, seconds: number) {
  const asked: { readonly body: URLSearchParams; readonly authorization: string | undefined }[] = [];
  let isAllowed = true;
  const endpoint = await listen(scope, async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = new URLSearchParams(Buffer.concat(chunks).toString());
    asked.push({ body, authorization: incoming.headers.authorization });
    response.setHeader('content-type', 'text/xml');
    if (!isAllowed) {
      const error = '<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>secret</Message></Error>';
      response.writeHead(403).end(`<ErrorResponse>${error}</ErrorResponse>`);
      return;
    }
    const action = body.get('Action') ?? '';
    const ends = new Date(Date.now() + seconds * 1000).toISOString();
    const keys = `<AccessKeyId>STS${asked.length}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session</SessionToken><Expiration>${ends}</Expiration>`;
    response.end(
      `<${action}Response><${action}Result><Credentials>${keys}</Credentials></${action}Result></${action}Response>`,
    );
  });
  isolateSdk('/nowhere', { AWS_ENDPOINT_URL_STS: endpoint });
  return { asked, refuse: () => (isAllowed = false) };
}
