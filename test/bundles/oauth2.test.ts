import assert from 'node:assert/strict';
import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { decodeJwt, jwtVerify, SignJWT } from 'jose';
import { createAssertion } from '../../src/bundles/sources/credentials/assertion.ts';
import type { Credentials } from '../../src/bundles/sources/credentials/credentials.ts';
import { createOAuth2 } from '../../src/bundles/sources/credentials/oauth2.ts';
import type { ServiceConfig, SigningKeyConfig } from '../../src/config/schema.ts';
import { createTransport } from '../../src/lib/http-transport.ts';
import { bundleOf } from '../support/archive.ts';
import { issue, selfSigned } from '../support/certificates.ts';
import { ASSERTING_CLIENT, AUDIENCE, CLIENT, startIdp } from '../support/idp.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { httpSource } from '../support/sources.ts';
import { serve } from '../support/web.ts';

const never = new AbortController().signal;
const good = bundleOf([{ name: 'data.json', content: '{"v":1}' }]);

type OAuth2 = NonNullable<NonNullable<ServiceConfig['credentials']>['oauth2']>;

const grant = (token_url: string, over: Partial<OAuth2> = {}): OAuth2 => ({
  token_url,
  grant_type: 'client_credentials',
  additional_claims: {},
  include_jti_claim: false,
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  scopes: [],
  additional_headers: {},
  additional_parameters: {},
  ...over,
});

const asking = (headers: { readonly [name: string]: string } = {}, wasRefused = false) => ({
  method: 'GET',
  url: new URL('http://bundles.test/b'),
  headers,
  wasRefused,
});

describe('a token of a real identity provider', () => {
  /** Provider and bundle server over TLS; the server keeps the tokens, and refuses those in `refused`. */
  async function setUp(scope: Scope, clientKey?: object) {
    const folder = scratchFolder(scope);
    const ca = selfSigned(folder, 'ca');
    const server = issue(ca, folder, 'server');
    const idp = await startIdp(scope, 'ES256', { tls: server, clientKey });
    const tokens: string[] = [];
    const refused = new Set<string>();
    const url = await serve(
      scope,
      (request, response) => {
        const token = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
        tokens.push(token);
        if (refused.has(token)) response.writeHead(401).end();
        else response.end(good);
      },
      server,
    );
    return { idp, tokens, refused, url, folder, tls: { ca_cert: ca.cert, system_ca_required: false } };
  }

  test('by a client secret is used until it is refused, and then fetched anew, once for each look', async (context) => {
    const { idp, tokens, refused, url, tls } = await setUp(context);
    const oauth2 = grant(`${idp.issuer}/token`, {
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      scopes: ['read'],
    });
    const source = httpSource(context, url, { service: { tls, credentials: { oauth2 } } });
    for (let look = 0; look < 3; look++) assert.equal((await source(undefined, never)).kind, 'new');
    const [first = ''] = tokens;
    assert.deepEqual(tokens, [first, first, first]);
    const claims = decodeJwt(first);
    assert.deepEqual([claims.iss, claims.aud, claims['scope']], [idp.issuer, AUDIENCE, 'read']);
    refused.add(first);
    assert.equal((await source(undefined, never)).kind, 'new');
    assert.equal(idp.tokenRequests(), 2);
    const second = tokens.at(-1) ?? '';
    assert.deepEqual(tokens.slice(3), [first, second]);
    // A server that refuses everything gets two requests for each look, not an endless number.
    refused.has = () => true;
    await assert.rejects(source(undefined, never), /the server answered 401/);
    assert.deepEqual([tokens.length, idp.tokenRequests()], [7, 3]);
  });

  test('by an assertion, signed here or ready-made', async (context) => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { idp, tokens, url, folder, tls } = await setUp(context, {
      ...publicKey.export({ format: 'jwk' }),
      kid: 'c1',
      alg: 'RS256',
    });
    const claims = { iss: ASSERTING_CLIENT, sub: ASSERTING_CLIENT, aud: `${idp.issuer}/token` };
    const key: SigningKeyConfig = {
      algorithm: 'RS256',
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
    const path = join(folder, 'assertion');
    const writeAssertion = async (): Promise<void> =>
      writeFileSync(
        path,
        `${await new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).setJti(String(Math.random())).setIssuedAt().setExpirationTime('1m').sign(privateKey)}\n`,
      );
    await writeAssertion();
    const ways: readonly Partial<OAuth2>[] = [
      { signing_key: 'k', additional_claims: claims, include_jti_claim: true },
      { client_id: ASSERTING_CLIENT, client_assertion_path: path },
    ];
    for (const way of ways) {
      const oauth2 = grant(`${idp.issuer}/token`, { scopes: ['read'], ...way });
      const source = httpSource(context, url, { service: { tls, credentials: { oauth2 } }, keys: { k: key } });
      assert.equal((await source(undefined, never)).kind, 'new');
    }
    assert.deepEqual(
      tokens.map((token) => decodeJwt(token)['client_id']),
      [ASSERTING_CLIENT, ASSERTING_CLIENT],
    );
  });

  test('is not to be had with a wrong secret, or from a provider that is not trusted, and no message holds one', async (context) => {
    const { idp, tokens, url, tls } = await setUp(context);
    const wrong = grant(`${idp.issuer}/token`, { client_id: CLIENT.id, client_secret: 's3cr3t-wrong' });
    const source = httpSource(context, url, { service: { tls, credentials: { oauth2: wrong } } });
    await assert.rejects(source(undefined, never), (error: Error) => {
      assert.match(
        error.message,
        /^POST https:\/\/127[^ ]+\/token \(token_url\): the server answered 401 \(invalid_client\)$/,
      );
      return !String(error.stack).includes('s3cr3t');
    });
    const stranger = httpSource(context, url, { service: { credentials: { oauth2: wrong } } });
    await assert.rejects(stranger(undefined, never), /token_url\): the certificate of the server is not accepted/);
    assert.deepEqual(tokens, []);
  });
});

describe('a token endpoint', () => {
  type Asked = { readonly headers: IncomingHttpHeaders; readonly form: URLSearchParams };

  /** An endpoint of the test's making, and credentials that use it. */
  async function setUp(
    scope: Scope,
    answer: RequestListener,
    over: Partial<OAuth2>,
    keys: { [name: string]: SigningKeyConfig } = {},
  ) {
    const asked: Asked[] = [];
    const url = await serve(scope, async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      asked.push({ headers: request.headers, form: new URLSearchParams(Buffer.concat(chunks).toString()) });
      answer(request, response);
    });
    let ms = 0;
    const trust = { caFile: undefined, withSystemCa: false, certificate: undefined, skipVerification: false };
    const transport = createTransport({ ...trust, env: {} });
    scope.after(transport.close);
    const credentials: Credentials = createOAuth2(grant(`${url}/token?s3cr3t=1`, over), {
      transport,
      keys,
      env: {},
      clock: { wallMs: () => Date.now(), monotonicMs: () => ms },
    });
    return { asked, credentials, pass: (by: number) => (ms += by) };
  }

  const secret = { client_id: 'id', client_secret: 's3cr3t' };
  const answering =
    (body: object | string, status = 200): RequestListener =>
    (_request, response) =>
      response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));

  test('is asked once for all who wait, and again shortly before the end of the token', async (context) => {
    let count = 0;
    const { asked, credentials, pass } = await setUp(
      context,
      (request, response) =>
        answering({ access_token: `t${++count}`, token_type: 'BEARER', expires_in: '60' })(request, response),
      secret,
    );
    const five = await Promise.all(Array.from({ length: 5 }, () => credentials(asking())));
    assert.deepEqual(new Set(five.map(({ authorization }) => authorization)), new Set(['Bearer t1']));
    pass(49_000);
    assert.deepEqual(await credentials(asking()), { authorization: 'Bearer t1' });
    pass(2_000);
    assert.deepEqual(await credentials(asking()), { authorization: 'Bearer t2' });
    // Another one has seen to it already.
    assert.deepEqual(await credentials(asking({ authorization: 'Bearer t1' }, true)), { authorization: 'Bearer t2' });
    assert.deepEqual(await credentials(asking({ authorization: 'Bearer t2' }, true)), { authorization: 'Bearer t3' });
    assert.equal(asked.length, 3);
  });

  test('that does not say how long its tokens last is asked each time', async (context) => {
    const { asked, credentials } = await setUp(context, answering({ access_token: 't', token_type: 'bearer' }), secret);
    await credentials(asking());
    await credentials(asking());
    assert.equal(asked.length, 2);
  });

  test('is told what is configured, the secret in the header only', async (context) => {
    const { asked, credentials } = await setUp(context, answering({ access_token: 't', token_type: 'Bearer' }), {
      ...secret,
      scopes: ['a', 'b'],
      additional_headers: { 'X-Tenant': 'one' },
      additional_parameters: { audience: 'bundles' },
    });
    await credentials(asking());
    const [{ headers, form } = assert.fail('nothing was asked')] = asked;
    assert.equal(headers.authorization, `Basic ${Buffer.from('id:s3cr3t').toString('base64')}`);
    assert.deepEqual([headers['x-tenant'], headers['content-type']], ['one', 'application/x-www-form-urlencoded']);
    assert.deepEqual(Object.fromEntries(form), { grant_type: 'client_credentials', scope: 'a b', audience: 'bundles' });
  });

  test('gets a signed assertion as the grant itself (RFC 7523 section 2.1)', async (context) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'sec1', format: 'pem' }).toString();
    const { asked, credentials } = await setUp(
      context,
      answering({ access_token: 't', token_type: 'Bearer' }),
      {
        grant_type: 'jwt_bearer',
        signing_key: 'k',
        thumbprint: '00ff10',
        additional_claims: { iss: 'me', aud: 'them' },
        scopes: ['a'],
      },
      { k: { algorithm: 'ES256', private_key: pem } },
    );
    await credentials(asking());
    const [{ headers, form } = assert.fail('nothing was asked')] = asked;
    assert.equal(headers.authorization, undefined);
    assert.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
    const { payload, protectedHeader } = await jwtVerify(form.get('assertion') ?? '', publicKey, { audience: 'them' });
    assert.deepEqual(protectedHeader, { typ: 'JWT', alg: 'ES256', x5t: 'AP8Q' });
    assert.deepEqual([payload.iss, payload['scope'], (payload.exp ?? 0) - (payload.iat ?? 0)], ['me', 'a', 600]);
  });

  const bad: readonly (readonly [string, RequestListener, RegExp])[] = [
    ['is an HTML page', answering('<html>s3cr3t'), /no token of type bearer/],
    ['has a token of another type', answering({ access_token: 't', token_type: 'mac' }), /no token of type bearer/],
    ['has no token', answering({ token_type: 'bearer' }), /no access_token that can be sent/],
    [
      'has a token that would end a header',
      answering({ access_token: 's3cr3t\r\nx: y', token_type: 'bearer' }),
      /no access_token that can be sent/,
    ],
    ['is no object', answering('[1]'), /no token of type bearer/],
    ['refuses in words of its own', answering({ error: 's3cr3t' }, 400), /the server answered 400$/],
    [
      'refuses',
      answering({ error: 'invalid_scope', error_description: 's3cr3t' }, 400),
      /answered 400 \(invalid_scope\)$/,
    ],
    [
      'refers to another place',
      (_request, response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(),
      /the server answered 307$/,
    ],
    [
      'has no end',
      (_request, response) => {
        const more = (): void => {
          while (response.write('s3cr3t'.repeat(10_000)));
          response.once('drain', more);
        };
        more();
      },
      /more than 262144 bytes/,
    ],
    ['breaks off', (_request, response) => response.destroy(), /was cut/],
  ];
  for (const [name, listener, message] of bad) {
    test(`whose answer ${name} gives no token, and no secret in the message`, async (context) => {
      const { credentials } = await setUp(context, listener, secret);
      await assert.rejects(credentials(asking()), (error: Error) => {
        assert.match(error.message, message);
        return !String(error.stack).includes('s3cr3t');
      });
    });
  }
});

describe('an assertion', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const curve = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
  const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const parts = { thumbprint: undefined, claims: { iss: 'me' }, scopes: [], hasId: true, nowMs: Date.now() };

  test('is signed with each algorithm that OPA has, as others verify it', async () => {
    const hmac = createSecretKey(Buffer.from('a'.repeat(64)));
    const curves = { ES256: curve('P-256'), ES384: curve('P-384'), ES512: curve('P-521') };
    const keys = new Map<SigningKeyConfig['algorithm'], readonly [string, KeyObject]>([
      ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const).map(
        (name) => [name, [pem(rsa.privateKey), rsa.publicKey]] as const,
      ),
      ...(['ES256', 'ES384', 'ES512'] as const).map(
        (name) => [name, [pem(curves[name].privateKey), curves[name].publicKey]] as const,
      ),
      ...(['HS256', 'HS384', 'HS512'] as const).map((name) => [name, ['a'.repeat(64), hmac]] as const),
    ]);
    assert.equal(keys.size, 12);
    for (const [algorithm, [private_key, verifier]] of keys) {
      const text = createAssertion({ ...parts, key: { algorithm, private_key } });
      const { payload } = await jwtVerify(text, verifier, { algorithms: [algorithm], issuer: 'me' });
      assert.match(payload.jti ?? '', /^[0-9a-f-]{36}$/);
    }
  });

  test('is not signed with a key of another kind, and the message has nothing of it', () => {
    const wrong: readonly SigningKeyConfig[] = [
      { algorithm: 'ES256', private_key: pem(curve('P-384').privateKey) },
      { algorithm: 'RS256', private_key: pem(curve('P-256').privateKey) },
      { algorithm: 'ES256', private_key: pem(rsa.privateKey) },
      { algorithm: 'RS256', private_key: 's3cr3t' },
    ];
    for (const key of wrong) {
      const expected = { message: `the signing key cannot sign with ${key.algorithm}` };
      assert.throws(() => createAssertion({ ...parts, key }), expected);
    }
  });
});
