import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkFailure } from '../../src/lib/network-failure.ts';
import { proxyFor } from '../../src/lib/proxy.ts';

const isDirect = (url: string, noProxy: string): boolean =>
  proxyFor(new URL(url), { HTTP_PROXY: 'p:1', HTTPS_PROXY: 'p:1', NO_PROXY: noProxy }) === undefined;

test('the proxy goes by the scheme of the target, and upper-case names go first', () => {
  const env = { HTTP_PROXY: 'http://a:1', https_proxy: 'https://b', http_proxy: 'http://c', HTTPS_PROXY: '' };
  assert.equal(proxyFor(new URL('http://h/'), env)?.origin, 'http://a:1');
  assert.equal(proxyFor(new URL('https://h/'), env)?.origin, 'https://b');
  assert.equal(proxyFor(new URL('https://h/'), { HTTP_PROXY: 'http://a' }), undefined);
  assert.equal(proxyFor(new URL('http://h/'), { HTTP_PROXY: 'proxy:3128' })?.origin, 'http://proxy:3128');
  for (const HTTP_PROXY of ['http://', 'http://[', 'socks5://p', 'ftp://p']) {
    assert.throws(() => proxyFor(new URL('http://h/'), { HTTP_PROXY }), /HTTP_PROXY/);
  }
});

test('loopback is never asked through a proxy', () => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]', 'LOCALHOST']) {
    assert.ok(isDirect(`http://${host}:8080/`, ''), host);
  }
});

test('NO_PROXY has names, what is below them, addresses, networks and ports', () => {
  const direct: readonly (readonly [string, string])[] = [
    ['http://example.com/', 'example.com'],
    ['http://a.example.com/', 'example.com'],
    ['http://A.Example.com/', ' x , EXAMPLE.com '],
    ['http://a.example.com/', '.example.com'],
    ['http://a.example.com/', '*.example.com'],
    ['http://example.com:8080/', 'example.com:8080'],
    ['https://example.com/', 'example.com:443'],
    ['http://anything/', '*'],
    ['http://10.1.2.3/', '10.0.0.0/8'],
    ['http://10.1.2.3/', '10.1.2.3'],
    ['http://10.1.2.3:81/', '10.1.2.3:81'],
    ['http://[fd00::5]/', 'fd00::/8'],
    ['http://[fd00::5]/', 'fd00::5'],
    ['http://[fd00::5]:81/', '[fd00::5]:81'],
  ];
  for (const [url, noProxy] of direct) assert.ok(isDirect(url, noProxy), `${url} ${noProxy}`);
  const proxied: readonly (readonly [string, string])[] = [
    ['http://notexample.com/', 'example.com'],
    ['http://example.com.evil/', 'example.com'],
    ['http://example.com/', '.example.com'],
    ['http://example.com/', '*.example.com'],
    ['http://example.com/', 'example.com:8080'],
    ['http://11.1.2.3/', '10.0.0.0/8'],
    ['http://10.1.2.3/', '10.0.0.0/99'],
    ['http://10.1.2.3/', 'fd00::/8'],
    ['http://a/', ',:80,,/8,[]'],
  ];
  for (const [url, noProxy] of proxied) assert.ok(!isDirect(url, noProxy), `${url} ${noProxy}`);
});

test('a failure of the network is told by its code, never by a text that may hold a secret', () => {
  const failure = (fields: object, cause?: unknown): Error => Object.assign(new Error('s3cr3t', { cause }), fields);
  const cases: readonly (readonly [unknown, string])[] = [
    [failure({ code: 'ENOTFOUND' }), 'the name cannot be resolved (ENOTFOUND)'],
    [failure({ code: 'UND_ERR_SOCKET' }, failure({ code: 'ECONNRESET' })), 'the connection was cut (ECONNRESET)'],
    [failure({ code: 'HPE_INVALID_CONSTANT' }), 'the answer is not HTTP (HPE_INVALID_CONSTANT)'],
    [failure({ code: 'ERR_SSL_WRONG_VERSION_NUMBER' }), 'TLS failed (ERR_SSL_WRONG_VERSION_NUMBER)'],
    [new AggregateError([failure({ code: 'ECONNREFUSED' })]), 'the connection is refused (ECONNREFUSED)'],
    [failure({ code: 's3cr3t' }), 'the request failed'],
    [failure({ code: 20 }), 'the request failed'],
    ['s3cr3t', 'the request failed'],
  ];
  for (const [error, text] of cases) assert.equal(networkFailure(error), text);
  const circle = failure({});
  circle.cause = circle;
  assert.equal(networkFailure(circle), 'the request failed');
});
