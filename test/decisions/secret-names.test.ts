import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecretHeader, isSecretName, isSecretParameter } from '../../src/decisions/secret-names.ts';

const parameters = [
  ...['token', 'access_token', 'id_token', 'refresh_token', 'api_key', 'apikey', 'key', 'secret', 'client_secret'],
  ...['password', 'passwd', 'pwd', 'code', 'sig', 'signature', 'session', 'jwt', 'auth'],
];

test('every token-like parameter is a secret in any case and with any separators', () => {
  for (const name of parameters) {
    const spellings = [name, name.toUpperCase(), name.replaceAll('_', '-'), name.replaceAll('_', ''), ` ${name} `];
    for (const spelling of spellings) assert.ok(isSecretParameter(spelling), spelling);
  }
});

const spelled = [
  ...['accessToken', 'AccessToken', 'x_auth_token', 'X-Amz-Security-Token', 'X-Amz-Signature', 'X-Goog-Credential'],
  ...['user[password]', 'password[]', 'password[0]', 'token[]', 'token1', 'tokens', 'user[code]', 'filter.key'],
  ...['password_confirmation', 'new_password', 'userPasswd', 'csrf_token', 'PHPSESSID', 'jsessionid', 'session_id'],
  ...['client_assertion', 'SAMLResponse', 'code_verifier', 'private_key', 'secretAccessKey', 'pa\u017f\u017fword'],
  '\uff54oken',
];
for (const name of spelled) {
  test(`the parameter ${JSON.stringify(name)} is a secret`, () => assert.ok(isSecretParameter(name)));
}

const harmless = [
  ...['q', 'page', 'keyword', 'monkey', 'zipcode', 'author', 'authority', 'signal', 'sessions_count', 'tokenize', ''],
  ...['secretary', 'country_code', 'passenger', 'design', 'state', 'scope', 'client_id', 'grant_type'],
];
for (const name of harmless) {
  test(`the parameter ${JSON.stringify(name)} is not a secret`, () => assert.ok(!isSecretParameter(name)));
}

const secretHeaders = [
  ...['authorization', 'Authorization', 'AUTHORIZATION', 'cookie', 'Cookie', 'set-cookie', 'Set-Cookie', 'x-api-key'],
  ...['X-API-KEY', 'proxy-authorization', 'Proxy-Authorization', 'x-forwarded-authorization', 'api-key', 'x_api_key'],
  ...['x-auth-token', 'x-access-token', 'x-amz-security-token', 'x-csrf-token', 'private-token', 'x-auth', 'x-session'],
  ...['cf-access-jwt-assertion', 'x-goog-iap-jwt-assertion', 'x-hub-signature-256', 'cookie2', 'authorization-bin'],
  ...['x-vault-token', 'x-client-secret', 'x-password', 'authorization '],
];
for (const name of secretHeaders) {
  test(`the header ${JSON.stringify(name)} is a secret`, () => assert.ok(isSecretHeader(name)));
}

const plainHeaders = [
  ...[':authority', ':path', ':method', 'host', 'user-agent', 'accept', 'accept-encoding', 'content-type', 'referer'],
  ...['x-request-id', 'x-forwarded-for', 'x-forwarded-client-cert', 'traceparent', 'sec-websocket-key', 'etag'],
  ...['idempotency-key', 'proxy-authenticate', 'www-authenticate', 'content-length', 'x-envoy-original-path'],
];
for (const name of plainHeaders) {
  test(`the header ${JSON.stringify(name)} is not a secret`, () => assert.ok(!isSecretHeader(name)));
}

test('names that are secrets in a query only stay readable in other documents', () => {
  for (const name of ['key', 'code', 'auth', 'session', 'sig']) assert.ok(!isSecretName(name), name);
  for (const name of ['password', 'client_secret', 'access_token', 'Set-Cookie']) assert.ok(isSecretName(name), name);
});

test('a long name is judged by its end and gives the same answer again', () => {
  const long = `${'x'.repeat(100_000)}_token`;
  assert.ok(isSecretName(long));
  assert.ok(isSecretName(long));
  assert.ok(!isSecretName('x'.repeat(100_000)));
});

test('a flood of names does not change what is decided about one', () => {
  for (let i = 0; i < 5000; i++) assert.ok(!isSecretName(`field-${i}-x`));
  assert.ok(isSecretName('password'));
  assert.ok(!isSecretName('field-1-x'));
});
