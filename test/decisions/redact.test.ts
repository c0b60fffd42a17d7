import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Redacted, redact } from '../../src/decisions/redact.ts';
import { REDACTED, TRUNCATED } from '../../src/decisions/scrub.ts';
import type { Json, JsonObject } from '../../src/model/json.ts';
import { parseExact, stringify } from '../../src/values/json.ts';
import { at, factsOf } from './records.ts';

const none = { result: undefined, reasons: [], cause: undefined };
const ofInput = (input: Json): Redacted => redact({ ...none, input });
const ofHttp = (http: JsonObject): Redacted => ofInput({ attributes: { request: { http } } });
const ofResult = (result: Json, input?: Json): Redacted => redact({ ...none, input, result });

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) freeze(item);
  return Object.freeze(value);
}

describe('headers', () => {
  const always = ['authorization', 'cookie', 'set-cookie', 'x-api-key', 'proxy-authorization'];
  for (const name of always) {
    for (const spelling of [name, name.toUpperCase(), name.replace(/\b[a-z]/g, (c) => c.toUpperCase())]) {
      test(`${spelling} is masked and its pointer is listed`, () => {
        const redacted = ofHttp({ headers: { [spelling]: 'v', accept: 'text/html' } });
        const path = ['attributes', 'request', 'http', 'headers'];
        assert.equal(at(redacted.input, ...path, spelling), REDACTED);
        assert.equal(at(redacted.input, ...path, 'accept'), 'text/html');
        assert.deepEqual(redacted.masked, [`/input/attributes/request/http/headers/${spelling}`]);
        assert.deepEqual(redacted.erased, []);
      });
    }
    test(`${name} is masked in a list of raw headers, as text and as bytes`, () => {
      const headers: Json = [
        { key: 'accept', value: 'text/html' },
        { key: name.toUpperCase(), value: 'one' },
        { key: name, rawValue: 'dHdv' },
      ];
      const redacted = ofHttp({ headerMap: { headers } });
      assert.deepEqual(plainOf(at(redacted.input, 'attributes', 'request', 'http', 'headerMap', 'headers')), [
        headers[0],
        { key: name.toUpperCase(), value: REDACTED },
        { key: name, rawValue: REDACTED },
      ]);
      const list = '/input/attributes/request/http/headerMap/headers';
      assert.deepEqual(redacted.masked, [`${list}/1/value`, `${list}/2/rawValue`]);
    });
  }

  test('a token in the query of :path, referer or an original path is masked where it stands', () => {
    const headers = {
      ':path': '/a?token=x&b=1',
      referer: 'https://h/x?b=1&code=x',
      'x-envoy-original-path': '/a?b=1&sig=x',
    };
    assert.deepEqual(plainOf(at(ofHttp({ headers }).input, 'attributes', 'request', 'http', 'headers')), {
      ':path': `/a?token=${REDACTED}&b=1`,
      referer: `https://h/x?b=1&code=${REDACTED}`,
      'x-envoy-original-path': `/a?b=1&sig=${REDACTED}`,
    });
  });

  test('a token in the raw bytes of referer is masked and the rest stays base64', () => {
    const rawValue = Buffer.from('https://h/?token=x&b=1').toString('base64');
    const redacted = ofHttp({ headerMap: { headers: [{ key: 'Referer', rawValue }] } });
    const kept = at(redacted.input, 'attributes', 'request', 'http', 'headerMap', 'headers', 0, 'rawValue');
    assert.equal(Buffer.from(String(kept), 'base64').toString(), `https://h/?token=${REDACTED}&b=1`);
  });
});

describe('paths and queries', () => {
  test('http.path keeps everything but the secret', () => {
    const redacted = ofHttp({ path: '/admin/x?a=1&api_key=v', query: 'a=1&api_key=v', fragment: 'id_token=v' });
    assert.deepEqual(plainOf(at(redacted.input, 'attributes', 'request', 'http')), {
      path: `/admin/x?a=1&api_key=${REDACTED}`,
      query: `a=1&api_key=${REDACTED}`,
      fragment: `id_token=${REDACTED}`,
    });
    const http = '/input/attributes/request/http';
    assert.deepEqual(redacted.masked, [`${http}/path`, `${http}/query`, `${http}/fragment`]);
  });

  test('parsed_query keeps its lists', () => {
    const redacted = ofInput({ parsed_query: { Token: ['a', 'b'], q: ['1'], empty: [] } });
    assert.deepEqual(plainOf(redacted.input), { parsed_query: { Token: [REDACTED], q: ['1'], empty: [] } });
    assert.deepEqual(redacted.masked, ['/input/parsed_query/Token']);
  });

  test('a token sent as the text of the path does not blank out the path, the host or the address', () => {
    const facts = factsOf({ path: '/admin/delete?token=/admin/delete&token=10.1.2.3&token=api.test' });
    const redacted = redact({ ...none, input: facts.message.tree(), result: { allowed: false } });
    const text = stringify(redacted.input ?? null);
    assert.ok(text.includes('/admin/delete?'));
    assert.ok(text.includes('"10.1.2.3"'));
    assert.ok(text.includes('"api.test"'));
  });
});

describe('bodies', () => {
  test('raw bodies are always replaced', () => {
    const redacted = ofHttp({ body: 'harmless', rawBody: 'aGFybWxlc3M=', size: 8 });
    assert.deepEqual(plainOf(at(redacted.input, 'attributes', 'request', 'http')), {
      body: REDACTED,
      rawBody: REDACTED,
      size: 8,
    });
  });

  test('secret keys are masked at any depth, in any case, whatever their value is', () => {
    const body: Json = {
      user: { Password: 'x', name: 'bob' },
      list: [{ clientSecret: ['a', 'b'] }, { deep: { api_key: { id: 1, value: 'x' } } }],
      token: 123456,
      pin: 1234,
      secret: null,
      password_set: true,
    };
    assert.deepEqual(plainOf(at(ofInput({ parsed_body: body }).input, 'parsed_body')), {
      user: { Password: REDACTED, name: 'bob' },
      list: [{ clientSecret: [REDACTED] }, { deep: { api_key: REDACTED } }],
      token: REDACTED,
      pin: REDACTED,
      secret: null,
      password_set: true,
    });
  });

  test('the value of a pair is masked by the name of the pair', () => {
    const body: Json = [
      { key: 'password', value: 'x' },
      { name: 'api-key', value: 'x' },
      { key: 'colour', value: 'red' },
    ];
    assert.deepEqual(plainOf(at(ofInput({ parsed_body: body }).input, 'parsed_body')), [
      { key: 'password', value: REDACTED },
      { name: 'api-key', value: REDACTED },
      { key: 'colour', value: 'red' },
    ]);
  });

  test('a number of tokens is no token', () => {
    const body = { max_tokens: 100, tokens: 'abc' };
    assert.deepEqual(plainOf(ofInput({ parsed_body: body }).input), {
      parsed_body: { max_tokens: 100, tokens: REDACTED },
    });
  });

  test('JSON inside a form field is masked when it has a secret key', () => {
    const body = { payload: ['{"user":"bob","password":"x"}'], other: ['{"user":"bob"}'] };
    assert.deepEqual(plainOf(at(ofInput({ parsed_body: body }).input, 'parsed_body')), {
      payload: [REDACTED],
      other: ['{"user":"bob"}'],
    });
  });
});

describe('other parts of the input', () => {
  const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln';

  test('a JWT is masked in any string and in any key', () => {
    const redacted = ofInput({ a: [{ b: `x ${jwt}` }], [jwt]: 1, parsed_path: ['files', jwt] });
    assert.ok(!stringify(redacted.input ?? null).includes(jwt));
    assert.deepEqual(redacted.masked, ['/input/a/0/b', `/input/${REDACTED}`, '/input/parsed_path/1']);
  });

  test('two keys that become equal keep both entries', () => {
    const redacted = ofInput({ [jwt]: 1, [`${jwt}x`]: 2 });
    assert.deepEqual(Object.values(redacted.input as JsonObject), [1, 2]);
  });

  test('a description of the verified token stays, secret claims do not', () => {
    const identity = { subject: 'a', token: { alg: 'RS256', kid: 'k1' }, claims: { sub: 'a', access_token: 'x' } };
    assert.deepEqual(plainOf(at(ofInput({ identity }).input, 'identity')), {
      ...identity,
      claims: { sub: 'a', access_token: REDACTED },
    });
  });

  test('secrets in metadata and context extensions are masked, bytes of unknown messages too', () => {
    const attributes = {
      contextExtensions: { route: 'r1', api_key: 'x' },
      metadataContext: {
        filterMetadata: { f: { session_token: 'x', n: 1 } },
        typedFilterMetadata: { g: { typeUrl: 'type.googleapis.com/T', value: 'AAEC' } },
      },
    };
    assert.deepEqual(plainOf(at(ofInput({ attributes }).input, 'attributes')), {
      contextExtensions: { route: 'r1', api_key: REDACTED },
      metadataContext: {
        filterMetadata: { f: { session_token: REDACTED, n: 1 } },
        typedFilterMetadata: { g: { typeUrl: 'type.googleapis.com/T', value: REDACTED } },
      },
    });
  });
});

describe("the policy's words", () => {
  const input = freeze({
    attributes: {
      request: { http: { headers: { authorization: 'Bearer opaque-4711', cookie: 'a=cookie-4711; b=1' } } },
    },
    parsed_body: { password: 'hunter-4711' },
  });

  test('headers with secrets are masked in every shape a policy may give them', () => {
    const secret = {
      'Set-Cookie': 'sid=1',
      Authorization: ['a', 'b'],
      'x-api-key': { value: 'k', append_action: 'X' },
    };
    const kept = { 'x-user': 'alice' };
    const redacted = ofResult({
      allowed: true,
      headers: { ...kept, ...secret },
      response_headers_to_add: [kept, secret],
    });
    const masked = { 'Set-Cookie': REDACTED, Authorization: [REDACTED], 'x-api-key': REDACTED };
    assert.deepEqual(plainOf(redacted.result), {
      allowed: true,
      headers: { ...kept, ...masked },
      response_headers_to_add: [kept, masked],
    });
    assert.ok(redacted.masked.includes('/result/headers/Set-Cookie'));
    assert.ok(redacted.masked.includes('/result/response_headers_to_add/1/Authorization'));
  });

  test('query parameters that a policy sets are masked by name', () => {
    const redacted = ofResult({ allowed: true, query_parameters_to_set: { code: 'x', page: '1' } });
    assert.deepEqual(plainOf(at(redacted.result, 'query_parameters_to_set')), { code: REDACTED, page: '1' });
  });

  test('names of headers to remove and codes of errors stay', () => {
    const result = { allowed: false, request_headers_to_remove: ['authorization', 'cookie'], code: 17, key: 'k' };
    assert.deepEqual(plainOf(ofResult(result).result), result);
  });

  const repeated = ['Bearer opaque-4711', 'opaque-4711', 'OPAQUE-4711', 'cookie-4711', 'hunter-4711'].map((s) =>
    s === 'OPAQUE-4711' ? s.toLowerCase() : s,
  );
  for (const secret of [...repeated, btoa('opaque-4711'), btoa('Bearer opaque-4711'), 'Bearer%20opaque-4711']) {
    test(`a secret of the request is masked where the policy repeats it as ${JSON.stringify(secret)}`, () => {
      const redacted = redact({
        input,
        result: { allowed: false, body: `no: ${secret}.`, dynamic_metadata: { [secret]: [secret] } },
        reasons: [`because of ${secret}`],
        cause: `cause ${secret}`,
      });
      assert.ok(!JSON.stringify(redacted).includes(secret), JSON.stringify(redacted));
      assert.ok(redacted.masked.includes('/custom/reasons/0'));
      assert.equal(redacted.cause, `cause ${REDACTED}`);
    });
  }

  test('a policy that repeats the whole input repeats it redacted', () => {
    const whole = factsOf({
      path: '/a?token=q-4711',
      headers: { cookie: 'sid=c-4711' },
      body: 'b=4711',
      rawBody: 'password=b-4711',
    }).message.tree();
    const redacted = ofResult({ allowed: true, debug: whole, parsed_query: { code: ['c-4711'] } });
    assert.ok(!stringify(redacted.result ?? null).includes('4711'));
    assert.ok(!stringify(redacted.result ?? null).includes(btoa('password=b-4711')));
  });

  test('the password and the pair of basic credentials are masked when they are repeated', () => {
    const headers = { authorization: `Basic ${btoa('bob:correct-horse')}` };
    const redacted = redact({
      input: { attributes: { request: { http: { headers } } } },
      result: { allowed: false, reason: 'bob:correct-horse', other: 'correct-horse' },
      reasons: ['wrong password correct-horse for bob'],
      cause: undefined,
    });
    assert.ok(!JSON.stringify(redacted).includes('horse'));
    assert.deepEqual(redacted.reasons, [`wrong password ${REDACTED} for bob`]);
  });

  test('a token that the policy took apart is masked', () => {
    const parts = ['eyJhbGciOiJSUzI1NiJ9', 'eyJzdWIiOiJhbGljZSJ9', 'c2lnbmF0dXJl'];
    const headers = { authorization: `Bearer ${parts.join('.')}` };
    const redacted = ofResult({ allowed: false, parts }, { attributes: { request: { http: { headers } } } });
    assert.ok(!stringify(redacted.result ?? null).includes(parts[1] ?? ''));
    assert.ok(!stringify(redacted.result ?? null).includes(parts[2] ?? ''));
  });

  test('a raw body is masked where it is repeated, its words are not', () => {
    const { message } = factsOf({ body: 'action=delete-all', rawBody: 'action=delete-all' });
    const result = { allowed: false, echo: 'action=delete-all', reason: 'delete-all needs a second person' };
    assert.deepEqual(plainOf(ofResult(result, message.tree()).result), { ...result, echo: REDACTED });
  });

  test('short values are not searched for, so that innocent words survive', () => {
    const query = { parsed_query: { token: ['a', 'no'] } };
    const redacted = redact({ input: query, result: { allowed: false }, reasons: ['no access'], cause: undefined });
    assert.deepEqual(redacted.reasons, ['no access']);
  });

  test('a boolean and an absent result are left as they are', () => {
    assert.equal(ofResult(false).result, false);
    assert.equal(ofInput({}).result, undefined);
    assert.equal(redact({ ...none, input: undefined }).input, undefined);
  });
});

describe('faithfulness', () => {
  test('the originals are not changed', () => {
    const http = { headers: { authorization: 'x' }, path: '/a?token=x', body: 'b' };
    const input = freeze({ attributes: { request: { http } }, parsed_body: { password: ['x'], a: [{ token: 'x' }] } });
    const result = freeze({ allowed: true, headers: { cookie: 'x' } });
    const before = JSON.stringify([input, result]);
    redact({ input, result, reasons: Object.freeze(['token=x']), cause: 'token=x' });
    assert.equal(JSON.stringify([input, result]), before);
  });

  test('numbers keep every digit', () => {
    const text = '{"parsed_body":{"n":12345678901234567890.123,"e":1e400}}';
    assert.equal(stringify(ofInput(parseExact(text)).input ?? null), text);
  });

  test('a secret number with many digits is masked', () => {
    const body = parseExact('{"parsed_body":{"token":12345678901234567890123}}');
    assert.deepEqual(plainOf(ofInput(body).input), { parsed_body: { token: REDACTED } });
  });

  test('keys such as __proto__, constructor and toJSON are keys', () => {
    const body = parseExact('{"__proto__":{"password":"x"},"constructor":1,"toJSON":"t","hasOwnProperty":{}}');
    const text = stringify(ofInput({ parsed_body: body }).input ?? null);
    assert.equal(
      text,
      `{"parsed_body":{"__proto__":{"password":"${REDACTED}"},"constructor":1,"toJSON":"t","hasOwnProperty":{}}}`,
    );
    assert.equal(({} as { password?: string }).password, undefined);
  });

  test('pointers escape tilde and slash (RFC 6901)', () => {
    const redacted = ofInput({ parsed_body: { 'a/b': { 'c~d': { '~1/token': 'x' } } } });
    assert.deepEqual(redacted.masked, ['/input/parsed_body/a~1b/c~0d/~01~1token']);
  });

  test('a pointer does not carry the secret that its key was', () => {
    const redacted = ofInput({ parsed_body: { 'token=canary4711': { password: 'x' } } });
    assert.ok(!redacted.masked.join().includes('canary4711'));
    assert.deepEqual(redacted.masked, [
      `/input/parsed_body/token=${REDACTED}`,
      `/input/parsed_body/token=${REDACTED}/password`,
    ]);
  });
});

describe('bounds', () => {
  const nested = (depth: number): Json => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`) as Json;

  test('what is nested too deep is replaced and listed', () => {
    const redacted = ofInput({ parsed_body: nested(1000) });
    assert.ok(stringify(redacted.input ?? null).includes(TRUNCATED));
    assert.equal(redacted.masked.length, 1);
  });

  test('what is nested too deep to recurse into does not overflow the stack, also under a secret key', () => {
    let deep: Json = 'x';
    for (let i = 0; i < 100_000; i++) deep = [deep];
    assert.ok(stringify(ofInput({ parsed_body: { a: deep, token: deep } }).input ?? null).includes(TRUNCATED));
  });

  test('an object and a list with too many entries lose the rest, and their pointers are listed as erased', () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`name${i}`, i]));
    const object = ofInput({ parsed_body: many });
    assert.deepEqual(object.erased, ['/input/parsed_body']);
    assert.ok(Object.keys(at(object.input, 'parsed_body') as JsonObject).length < 10_000);
    assert.deepEqual(ofInput({ parsed_body: Array.from({ length: 10_000 }, () => 1) }).erased, ['/input/parsed_body']);
  });

  test('a large input does not use up what the result needs', () => {
    const many = Array.from({ length: 10_000 }, () => 'some text that is long enough to use up the bound on text');
    const redacted = ofResult({ allowed: false, reason: 'why' }, { parsed_body: many });
    assert.deepEqual(plainOf(redacted.result), { allowed: false, reason: 'why' });
  });

  test('long texts, keys and numbers are replaced as a whole', () => {
    const body = parseExact(`{"text":"${'a'.repeat(20_000)}","${'k'.repeat(1000)}":1,"n":${'9'.repeat(2000)}}`);
    const redacted = ofInput({ parsed_body: body });
    assert.deepEqual(plainOf(at(redacted.input, 'parsed_body')), { text: TRUNCATED, [TRUNCATED]: 1, n: TRUNCATED });
    assert.equal(redacted.masked.length, 3);
  });

  test('the whole output is bounded whatever comes in', () => {
    const entry = { password: 'x', text: 'y'.repeat(1000), ['z'.repeat(300)]: 'token=1' };
    const input = { parsed_body: Array.from({ length: 5000 }, () => entry) };
    const reasons = Array.from({ length: 5000 }, () => 'token=1');
    const redacted = redact({ input, result: input, reasons, cause: 'c'.repeat(1e6) });
    assert.ok(JSON.stringify(redacted).length < 4_000_000);
    assert.ok(redacted.masked.length <= 1000);
    assert.ok(redacted.reasons.length <= 100);
    assert.equal(redacted.cause, TRUNCATED);
  });
});

/** With ordinary prototypes, for comparisons. */
const plainOf = (value: Json | undefined): unknown => JSON.parse(JSON.stringify(value ?? null));
