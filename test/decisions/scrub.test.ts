import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_TEXT, REDACTED, scrub, scrubBase64, scrubTarget, TRUNCATED } from '../../src/decisions/scrub.ts';

const canary = 'cnry4711Value';
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = `${encode({ alg: 'RS256' })}.${encode({ sub: 'a' })}.${canary}`;

describe('innocent texts are returned unchanged', () => {
  const texts = [
    '',
    '/api/v1/users/42?expand=roles&page=2',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36',
    'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8',
    'multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW',
    '6f3f4c1e-1d2a-4c3b-9f2b-1a2b3c4d5e6f',
    'By=spiffe://td/a;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;URI=spiffe://td/b',
    'alice@example.com',
    'https://example.com/a%20b/c%2Fd?x=%C3%A4',
    'Basic authentication is not accepted',
    'bearer token required',
    'the token expired',
    '100%',
    '%zz%',
    'eyJ is how a token starts',
    '{"name":"alice","roles":["admin"]}',
    'W/"abc"',
    '**REDACTED**',
  ];
  for (const text of texts) {
    test(JSON.stringify(text), () => {
      assert.equal(scrub(text), text);
      assert.equal(scrubTarget(text), text);
    });
  }
});

describe('a secret is gone from', () => {
  const texts: readonly string[] = [
    jwt,
    `x ${jwt} y`,
    `"${jwt}"`,
    `/files/${jwt}/raw`,
    `prefix.${jwt}`,
    jwt.replaceAll('.', '%2E'),
    jwt.replaceAll('.', '%252e'),
    jwt.replace('e', '%65'),
    `${encode({ alg: 'none' })}.${encode({ sub: canary })}.`,
    `${encode({ alg: 'none' })}.${encode({ sub: canary })}`,
    `${encode({ alg: 'dir', enc: 'A256GCM' })}..aXY.${canary}.tag`,
    `${Buffer.from('{ "alg":"RS256"}').toString('base64url')}.${encode({ sub: 'a' })}.${canary}`,
    `${Buffer.from('{\n"alg":"RS256"}').toString('base64url')}.${encode({ sub: 'a' })}.${canary}`,
    `Bearer ${canary}`,
    `bearer  ${canary}`,
    `Bearer+${canary}`,
    `Bearer%20${canary}`,
    `Basic ${Buffer.from(`u:${canary}`).toString('base64')}==`,
    `got "Bearer ${canary}" from the client`,
    `token ${canary}`,
    `/a?token=${canary}`,
    `/a?TOKEN=${canary}`,
    `/a?x=1&token=${canary}&y=2`,
    `/a?x=1;token=${canary}`,
    `/a?token=a;${canary}`,
    `/a?token=a?${canary}`,
    `/a?token=a#${canary}`,
    `/a?token=a=${canary}`,
    `/a?token=a/${canary}`,
    `/a?token=a,${canary}`,
    `/a?token=a%26${canary}`,
    `/a?token= ${canary}`,
    `/a?token+=${canary}`,
    `/a?%74oken=${canary}`,
    `/a?%74%6F%6b%65%6E=${canary}`,
    `/a?%2574oken=${canary}`,
    `/a?access%5Ftoken=${canary}`,
    `/a?access-token=${canary}`,
    `/a?user%5Bpassword%5D=${canary}`,
    `/a?user[password]=${canary}`,
    `/a?code=${canary}&state=x`,
    `/a?&&token=${canary}`,
    `/a?x&token=${canary}`,
    `/a??token=${canary}`,
    `/a?amp;token=${canary}`,
    `/a;jsessionid=${canary}`,
    `/a;jsessionid=${canary}/b`,
    `/cb#access_token=${canary}&token_type=bearer`,
    `/login?next=https%3A%2F%2Fx%2Fcb%3Ftoken%3D${canary}`,
    `/login?next=https%253A%252F%252Fx%252Fcb%253Ftoken%253D${canary}`,
    `/login?next=/cb?token=${canary}`,
    `/login?next=%2Fcb%3Fcode=${canary}`,
    `/a?filter=%7B%22password%22%3A%22${canary}%22%7D`,
    `https://user:${canary}@example.com/a`,
    `http://user:${canary}@example.com`,
    `redis://:${canary}@cache:6379/0`,
    `{"password":"${canary}"}`,
    `{"a":{"api_key" : "${canary}"}}`,
    `{\\"password\\":\\"${canary}\\"}`,
    `{"pa\\u0073sword":"${canary}"}`,
    `userId=alice,session_token=${canary}`,
  ];
  for (const text of texts) {
    test(JSON.stringify(text), () => {
      assert.ok(!scrub(text).includes(canary), scrub(text));
      assert.ok(!scrubTarget(text).includes(canary), scrubTarget(text));
    });
  }
});

describe('what is no secret stays beside one', () => {
  const cases: readonly (readonly [text: string, clean: string])[] = [
    ['/a?x=1&token=abc&y=2', `/a?x=1&token=${REDACTED}&y=2`],
    [`/files/${jwt}/raw`, `/files/${REDACTED}/raw`],
    ['/a;jsessionid=abc/b', `/a;jsessionid=${REDACTED}/b`],
    ['/;token=x/admin/delete?a=1', `/;token=${REDACTED}/admin/delete?a=1`],
    ['/a?token=x&token=y', `/a?token=${REDACTED}&token=${REDACTED}`],
    ['/a?token', '/a?token'],
    ['Bearer abc-123-def, then', `Bearer ${REDACTED}, then`],
    ['https://u:pw@h/x', `https://u:${REDACTED}@h/x`],
  ];
  for (const [text, clean] of cases) test(text, () => assert.equal(scrubTarget(text), clean));
});

test('an empty value of a secret parameter is marked like any other', () => {
  assert.equal(scrub('/a?token=&b=1'), `/a?token=${REDACTED}&b=1`);
});

test('known secrets are replaced wherever they stand, also percent-encoded', () => {
  const secrets = ['s3cr3t/value', 's3cr3t'];
  assert.equal(scrub('you sent s3cr3t/value, then s3cr3t', secrets), `you sent ${REDACTED}, then ${REDACTED}`);
  assert.ok(!scrub('x%73%33cr3t%2Fvalue', secrets).includes('cr3t'));
});

test('a known secret that looks like a replacement pattern is taken literally', () => {
  assert.equal(scrub('a $& b', ['$&']), `a ${REDACTED} b`);
});

test('base64 keeps its encoding when a part of its text is a secret', () => {
  const encoded = Buffer.from('/a?x=1&token=abc').toString('base64');
  assert.equal(Buffer.from(scrubBase64(encoded), 'base64').toString(), `/a?x=1&token=${REDACTED}`);
  const harmless = Buffer.from('text/html').toString('base64');
  assert.equal(scrubBase64(harmless), harmless);
});

test('what should be base64 and is not is scrubbed as text', () => {
  assert.ok(!scrubBase64(`token=${canary}`).includes(canary));
});

test('a text beyond the limit is replaced as a whole', () => {
  assert.equal(scrub('a'.repeat(MAX_TEXT)), 'a'.repeat(MAX_TEXT));
  assert.equal(scrub('a'.repeat(MAX_TEXT + 1)), TRUNCATED);
  assert.equal(scrubBase64('a'.repeat(MAX_TEXT + 1)), TRUNCATED);
});

test('an oversized query does not hide the path', () => {
  assert.equal(scrubTarget(`/admin?${'a'.repeat(MAX_TEXT)}`), `/admin${TRUNCATED}`);
  const many = Array.from({ length: 1000 }, (_, i) => `name${i}=1`).join('&');
  assert.equal(scrubTarget(`/admin?${many}&token=${canary}`), `/admin${TRUNCATED}`);
});

test('scrubbing what was scrubbed changes nothing', () => {
  const texts = [
    `/a?x=1&token=${canary}`,
    `Bearer ${canary}`,
    jwt,
    `https://u:${canary}@h/`,
    `?n=%3Ftoken%3D${canary}`,
  ];
  for (const text of texts) assert.equal(scrub(scrub(text)), scrub(text));
});
