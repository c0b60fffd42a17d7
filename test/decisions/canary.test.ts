import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createEventWriter } from '../../src/decisions/event.ts';
import { createJudge } from '../../src/decisions/mask/judge.ts';
import type { Evaluation } from '../../src/model/evaluation.ts';
import type { Json, JsonObject } from '../../src/model/json.ts';
import type { DecisionRecord } from '../../src/model/record.ts';
import { parseExact } from '../../src/values/json.ts';
import { type Request, recordOf } from './records.ts';

/*
 * One secret, put where a client or a policy may put one, in many spellings: it must not be in the line that is
 * written, neither as it is nor in an encoding that anybody can undo.
 */

const canary = 'Cnry-4711-Value';
const judge = createJudge({ onDropped: () => {}, onFailed: (rule, why) => assert.fail(`${rule}: ${why}`) });
const write = createEventWriter({ id: 'i1' }, 'masked', judge);
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = `${encode({ alg: 'RS256', kid: 'k' })}.${encode({ sub: canary })}.${Buffer.from(canary).toString('base64url')}`;

/** Puts all that it is shown into the event, in several places. */
function nosyMask(event: string): Evaluation {
  const { input = null, result = null } = parseExact(event) as JsonObject;
  const all = [input, result];
  const paths = [
    '/input/copy',
    '/input/identity/all',
    '/input/parsed_query',
    '/result',
    '/result/x',
    '/nd_builtin_cache',
  ];
  return { ok: true, results: [paths.map((path) => ({ op: 'upsert', path, value: all }))] };
}

function assertNoCanary(record: DecisionRecord): void {
  assertNoCanaryIn(write(record) ?? '');
  assertNoCanaryIn(write({ ...record, logRules: { mask: nosyMask } }) ?? '');
}

function assertNoCanaryIn(line: string): void {
  const texts = [line, decodeURIComponent(line.replace(/%(?![0-9A-Fa-f]{2})/g, '%25'))];
  for (const match of line.matchAll(/[A-Za-z0-9+/_-]{8,}/g)) {
    // Base64 may begin anywhere in a run, so all four alignments of its digits are undone.
    for (let i = 0; i < 4; i++) texts.push(Buffer.from(match[0].slice(i), 'base64').toString('latin1'));
  }
  for (const text of texts) assert.ok(!text.toLowerCase().includes(canary.toLowerCase()), line);
}

const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const multipart = { 'content-type': 'multipart/form-data; boundary=b' };

const requests: readonly (readonly [name: string, request: Request])[] = [
  ...['authorization', 'Authorization', 'AUTHORIZATION', 'proxy-authorization', 'Proxy-Authorization'].flatMap((name) =>
    [canary, `Bearer ${canary}`, `bearer ${canary}`, `Basic ${btoa(`u:${canary}`)}`, `Bearer ${jwt}`].flatMap(
      (value): (readonly [string, Request])[] => [
        [`${name}: ${value}`, { headers: { [name]: value } }],
        [
          `${name}: ${value} (raw)`,
          {
            rawHeaders: [
              ['accept', '*/*'],
              [name, value],
            ],
          },
        ],
      ],
    ),
  ),
  ...['cookie', 'Cookie', 'set-cookie', 'x-api-key', 'X-API-Key', 'x-auth-token', 'X-Amz-Security-Token'].flatMap(
    (name): (readonly [string, Request])[] => [
      [name, { headers: { [name]: `sid=${canary}; theme=dark` } }],
      [`${name} (raw)`, { rawHeaders: [[name, canary]] }],
    ],
  ),
  ...['token', 'TOKEN', 'access_token', '%74oken', 'id%5Ftoken', 'api_key', 'apikey', 'key', 'client_secret'].flatMap(
    queryCases,
  ),
  ...['password', 'passwd', 'pwd', 'code', 'sig', 'signature', 'session', 'jwt', 'auth', 'refresh_token'].flatMap(
    queryCases,
  ),
  ['a token behind a semicolon', { path: `/a?x=1;token=${canary}` }],
  ['a token in a path parameter', { path: `/a;jsessionid=${canary}/b` }],
  ['a token with an escaped value', { path: `/a?token=%43nry-4711-Value` }],
  ['a token in a nested address', { path: `/a?next=${encodeURIComponent(`/b?token=${canary}`)}` }],
  ['a token beside a bad escape', { path: `/a?x=%zz&token=${canary}` }],
  ['a JWT in the path', { path: `/a/${jwt}` }],
  ['a JWT in the query', { path: `/a?x=${jwt}` }],
  ['a JWT as a name in the query', { path: `/a?${jwt}=1` }],
  ['a JWT with escaped dots', { path: `/a?x=${jwt.replaceAll('.', '%2e')}` }],
  ['a JWT in any header', { headers: { 'x-anything': jwt } }],
  ['a JWT in the middle of a header', { headers: { 'x-anything': `a; t="${jwt}", b` } }],
  ['a JWT in a raw header', { rawHeaders: [['x-anything', `a ${jwt}`]] }],
  ['a JWT in the name of a header', { headers: { [jwt]: '1' } }],
  ['a JWT as the host', { host: jwt }],
  ['a JWT as the method', { method: jwt }],
  ['referer', { headers: { referer: `https://h/?access_token=${canary}` } }],
  ['Referer (raw)', { rawHeaders: [['Referer', `https://h/?a=1&code=${canary}`]] }],
  ['a password in an address', { headers: { 'x-upstream': `https://u:${canary}@h/` } }],
  ['a JSON body', { headers: json, body: JSON.stringify({ a: [{ Password: canary }] }) }],
  ['a JSON body with an escaped name', { headers: json, body: `{"pa\\u0073sword":"${canary}"}` }],
  ['a JSON body as bytes', { headers: json, rawBody: JSON.stringify({ client_secret: canary }) }],
  ['a JSON body with a list of secrets', { headers: json, body: JSON.stringify({ secrets: [canary, { a: canary }] }) }],
  ['a JSON body with a JWT', { headers: json, body: JSON.stringify({ note: jwt, [jwt]: 1 }) }],
  ['a form', { headers: form, body: `user=bob&password=${canary}` }],
  ['a form with an escaped name', { headers: form, body: `%70assword=${canary}` }],
  ['a form with JSON inside', { headers: form, body: `payload=${encodeURIComponent(`{"token":"${canary}"}`)}` }],
  [
    'a multipart form',
    {
      headers: multipart,
      body: `--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n${canary}\r\n--b--\r\n`,
    },
  ],
  ['a body that is no JSON', { headers: json, body: `{"password":"${canary}` }],
  ['a body of an unknown type', { body: `anything ${canary}` }],
  ['a body of an unknown type as bytes', { rawBody: `anything ${canary}` }],
  ['a context extension', { attributes: { contextExtensions: { api_key: canary } } }],
  [
    'typed metadata',
    {
      attributes: {
        metadataContext: {
          typedFilterMetadata: { f: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: canary } },
        },
      },
    },
  ],
];

function queryCases(name: string): (readonly [string, Request])[] {
  return [
    [`?${name}=`, { path: `/a?x=1&${name}=${canary}&y=2` }],
    [`?${name}= in :path`, { headers: { ':path': `/a?${name}=${canary}` } }],
  ];
}

describe('a secret of the request is not in the line', () => {
  for (const [name, request] of requests) test(name, () => assertNoCanary(recordOf(request)));
});

const credentials: Request = {
  path: `/a?token=${canary}`,
  headers: { ...json, authorization: `Bearer ${canary}`, cookie: `sid=${canary}` },
  body: JSON.stringify({ password: canary }),
};

describe('a secret that the policy repeats is not in the line', () => {
  const results: readonly Json[] = [
    { allowed: false, body: `your token ${canary} is bad` },
    { allowed: false, body: JSON.stringify({ token: canary }) },
    { allowed: false, headers: { 'x-debug': `Bearer ${canary}` } },
    { allowed: false, headers: [{ 'x-debug': { value: canary, append_action: 'ADD_IF_ABSENT' } }] },
    { allowed: true, headers: { authorization: 'Bearer upstream', 'x-user': 'alice' }, [canary]: true },
    { allowed: true, dynamic_metadata: { deep: [{ deeper: canary }] } },
    { allowed: true, query_parameters_to_set: { forwarded: canary } },
    { allowed: true, debug: canary.toLowerCase() },
    { allowed: true, debug: btoa(canary) },
    { allowed: true, debug: `Basic ${btoa(canary)}` },
    { allowed: true, debug: encodeURIComponent(`Bearer ${canary}`) },
    { allowed: false, debug: jwt },
    { allowed: false, headers: { 'set-cookie': canary } },
  ];
  for (const result of results) {
    test(JSON.stringify(result), () => assertNoCanary(recordOf(credentials, { result })));
  }

  const sources: readonly (readonly [name: string, request: Request])[] = [
    ['authorization', { headers: { authorization: `Bearer ${canary}` } }],
    ['basic credentials', { headers: { Authorization: `Basic ${btoa(`bob:${canary}`)}` } }],
    ['proxy-authorization', { headers: { 'proxy-authorization': canary } }],
    ['a cookie', { headers: { cookie: `a=1; sid="${canary}"; b=2` } }],
    ['an API key', { headers: { 'X-Api-Key': canary } }],
    ['a raw header', { rawHeaders: [['Authorization', `Bearer ${canary}`]] }],
    ['the query', { path: `/a?access_token=${canary}` }],
    ['the escaped query', { path: `/a?token=%43nry-4711-Value` }],
    ['the body', { headers: json, body: JSON.stringify({ a: { password: [canary] } }) }],
    ['a form', { headers: form, body: `pwd=${canary}` }],
  ];
  for (const [name, request] of sources) {
    test(`from ${name}, in result, reasons and cause`, () => {
      const over = {
        result: { allowed: false, reason: `no ${canary}`, list: [canary] },
        policyReasons: [`no ${canary}`, canary],
        cause: `cause: ${canary}`,
      };
      assertNoCanary(recordOf(request, over));
    });
  }
});

test('a JWT in reasons, cause, subject and issuer is not in the line', () => {
  const over = { policyReasons: [`bad ${jwt}`], cause: `no key for ${jwt}`, outcome: 'fault' } as const;
  assertNoCanary(recordOf({}, over, { authenticated: true, subject: jwt, issuer: `https://u:${canary}@idp` }));
});

test('the canary is found when nothing hides it, so that these tests can fail', () => {
  for (const value of [canary, btoa(canary), `x${btoa(canary)}`, encodeURIComponent(canary)]) {
    assert.throws(() => assertNoCanary(recordOf({ headers: { 'x-plain': value } })), assert.AssertionError);
  }
});
