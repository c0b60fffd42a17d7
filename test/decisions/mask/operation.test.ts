import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { escapeSegment, readOperations } from '../../../src/decisions/mask/operation.ts';
import { redact } from '../../../src/decisions/redact.ts';
import type { Json } from '../../../src/model/json.ts';
import { inputText } from '../records.ts';

type Event = { readonly input?: Json; readonly result?: Json };
type Left = Event & { readonly erased?: readonly string[]; readonly masked?: readonly string[] };

/** What rules leave of an event, with what OPA leaves out when it is empty. */
function maskedBy(rules: Json, event: Event): Left {
  const operations = readOperations(rules);
  assert.ok(operations !== undefined, 'the rules are odd');
  const parts = { reasons: [], cause: undefined, input: event.input, result: event.result };
  const [byTree, byText] = [undefined, event.input === undefined ? undefined : inputText(event.input)].map((text) => {
    const { input, text: left, result, erased, masked } = redact({ ...parts, text }, 'masked', operations);
    const written = { input: left === undefined ? input : JSON.parse(left), result, erased, masked };
    return JSON.parse(
      JSON.stringify(written, (key, value) =>
        ['erased', 'masked'].includes(key) && value.length === 0 ? undefined : value,
      ),
    );
  });
  assert.deepEqual(byTree, byText);
  return byTree;
}

const upsert = (path: string, value?: Json): Json => ({
  op: 'upsert',
  path,
  ...(value === undefined ? {} : { value }),
});
const nested = { a: [{ b: [1, 2], c: 'x' }], s: 'text', n: 5, o: { p: 1 } };

/** As OPA's own tests (v1/plugins/logs/mask_test.go) have it. */
const cases: readonly (readonly [does: string, rule: Json, event: Event, left: Left])[] = [
  ['all of the input is removed', '/input', { input: { a: 1 } }, { erased: ['/input'] }],
  ['all of the result is removed', '/result', { input: 1, result: 'r' }, { input: 1, erased: ['/result'] }],
  ['the result is replaced', upsert('/result', { x: 1 }), { result: 'r' }, { result: { x: 1 }, masked: ['/result'] }],
  ['an upsert without a value puts null', upsert('/input'), { input: 1 }, { input: null, masked: ['/input'] }],
  ['no input, nothing removed', '/input', { result: true }, { result: true }],
  ['no input, nothing put', upsert('/input', 1), { result: true }, { result: true }],
  ['no input, nothing put below', upsert('/input/a', 1), { result: true }, { result: true }],
  ['a missing key', '/input/z', { input: nested }, { input: nested }],
  ['below a missing key', '/input/z/y', { input: nested }, { input: nested }],
  ['below a text', '/input/s/y', { input: nested }, { input: nested }],
  ['below a number', '/input/n/y/z', { input: nested }, { input: nested }],
  ['a list by a word', '/input/a/b', { input: nested }, { input: nested }],
  ['a list by a negative index', '/input/a/-1', { input: nested }, { input: nested }],
  ['behind the end of a list', '/input/a/1/b', { input: nested }, { input: nested }],
  ['a wildcard is a key like others', '/input/a/*/b', { input: nested }, { input: nested }],
  ['an item is removed', '/input/0', { input: ['x', 'y'] }, { input: ['y'], erased: ['/input/0'] }],
  ['an item with a sign', '/input/+1', { input: ['x', 'y'] }, { input: ['x'], erased: ['/input/+1'] }],
  [
    'an item deep inside is removed, and others move up',
    '/input/a/0/b/0',
    { input: nested },
    { input: { ...nested, a: [{ b: [2], c: 'x' }] }, erased: ['/input/a/0/b/0'] },
  ],
  [
    'an item of a list of lists is replaced',
    upsert('/result/0/0', 2),
    { result: [[1]] },
    { result: [[2]], masked: ['/result/0/0'] },
  ],
  ['an item is not added', upsert('/input/a/1', 2), { input: nested }, { input: nested }],
  ['nor below one that is not there', upsert('/input/a/1/x', 2), { input: nested }, { input: nested }],
  ['nothing is put below a text', upsert('/input/s/x', 2), { input: nested }, { input: nested }],
  ['nothing is put below a number', upsert('/result/x', 2), { result: 5 }, { result: 5 }],
  [
    'objects on the way are made',
    upsert('/input/x/y/z', [1.5]),
    { input: { a: 1 } },
    { input: { a: 1, x: { y: { z: [1.5] } } }, masked: ['/input/x/y/z'] },
  ],
  ['a pseudo-header', '/input/:path', { input: { ':path': '/', a: 1 } }, { input: { a: 1 }, erased: ['/input/:path'] }],
  ['an empty key', '/input//b', { input: { '': { b: 1, c: 2 } } }, { input: { '': { c: 2 } }, erased: ['/input//b'] }],
];

describe('a rule', () => {
  for (const [does, rule, event, left] of cases) {
    test(does, () => assert.deepEqual(maskedBy([rule], event), left));
  }

  test('follows on the one before it', () => {
    const rules = ['/input/a/0', '/input/a/0', upsert('/input/b', 1), upsert('/input/b', 2), '/input/b', '/input/z'];
    const input = { a: [1, 2, 3], z: { secret: 'x' } };
    assert.deepEqual(maskedBy(rules, { input }), {
      input: { a: [3] },
      erased: ['/input/a/0', '/input/b', '/input/z'],
      masked: ['/input/z/secret', '/input/b'],
    });
  });

  test('reaches keys that OPA does not reach, and is told of in its spelling', () => {
    const input = { 'f[x]': 1, 'a/b': 2, 'c d': 3, e: 4 };
    assert.deepEqual(maskedBy(['/input/f[x]', '/input/a%2Fb', '/input/c d'], { input }), {
      input: { e: 4 },
      erased: ['/input/f%5Bx%5D', '/input/a%252Fb', '/input/c%20d'],
    });
  });

  test('means a key by its escaped spelling first', () => {
    const input = { 'c d': 3, 'c%20d': 4 };
    assert.deepEqual(maskedBy(['/input/c d'], { input }).input, { 'c d': 3 });
  });

  test('makes a member of any name', () => {
    const { input } = maskedBy([upsert('/input/__proto__/x', 1)], { input: { a: 1 } });
    assert.equal(JSON.stringify(input), '{"a":1,"__proto__":{"x":1}}');
  });
});

test('several rules do what opa-envoy-plugin 1.19.1 was seen to do', () => {
  const http = { host: 'api.test', method: 'GET', path: '/hello?a+b=2', protocol: 'HTTP/1.1', scheme: 'http' };
  const event = (headers: Json): { readonly input: Json } => ({
    input: {
      attributes: { request: { http: { ...http, headers } } },
      ...{ parsed_body: null, parsed_path: ['hello'], parsed_query: { 'a b': ['2'] }, truncated_body: false },
    },
  });
  const result = { allowed: true, headers: { 'x-a': 'b' }, reasons: ['r1'] };
  const rules = [
    '/input/attributes/request/http/headers/x-person',
    '/input/nothing',
    upsert('/result/added/deep', ['decision_id', 'input']),
  ];
  assert.deepEqual(maskedBy(rules, { ...event({ 'x-o': 'o', 'x-person': 's' }), result }), {
    ...event({ 'x-o': 'o' }),
    result: { added: { deep: ['decision_id', 'input'] }, ...result },
    erased: ['/input/attributes/request/http/headers/x-person'],
    masked: ['/result/added/deep'],
  });
});

describe('our own redaction', () => {
  const headers = { authorization: 'Bearer t0p-s3cr3t', 'x-trace': 'abc' };
  const input = { attributes: { request: { http: { headers } } }, parsed_body: { pin: '1234', note: 'n' } };
  const at = '/input/attributes/request/http/headers';

  test('also reads what a rule puts somewhere', () => {
    const left = maskedBy(
      [upsert('/input/copy', { note: 'it is t0p-s3cr3t', ok: 1 }), upsert('/result/copied', 'Bearer t0p-s3cr3t')],
      { input, result: { allowed: true } },
    );
    assert.deepEqual((left.input as { readonly copy: Json }).copy, { note: 'it is **REDACTED**', ok: 1 });
    assert.ok(!JSON.stringify(left).includes('s3cr3t'));
    assert.deepEqual(left.masked, [
      `${at}/authorization`,
      '/input/parsed_body/pin',
      '/input/copy/note',
      '/input/copy',
      '/result/copied',
    ]);
  });

  test('is not undone by a rule that puts a secret back, in its place or under another roof', () => {
    const secrets = [headers, input, [{ name: 'password', value: 'hunter2' }]] as readonly Json[];
    const left = maskedBy(
      [
        upsert('/input/parsed_body/pin', '1234'),
        upsert(`${at}/authorization`, headers.authorization),
        upsert('/input/list', secrets[2] as Json),
        upsert('/input/again', secrets),
        upsert(`/input/${headers.authorization}`, 1),
        upsert('/result', secrets),
      ],
      { input, result: true },
    );
    const text = JSON.stringify(left);
    for (const secret of ['1234', 's3cr3t', 'hunter2']) assert.ok(!text.includes(secret), text);
  });

  test('is not undone by a rule that takes away what tells a secret', () => {
    const pairs = { headers: [{ key: 'authorization', value: 'hunter2hunter2' }] };
    const left = maskedBy(['/input/headers/0/key', upsert('/input/x', 1)], { input: pairs });
    assert.deepEqual(left.input, { headers: [{ value: '**REDACTED**' }], x: 1 });
  });

  test('does not keep a rule from finding a key that it has replaced', () => {
    const jwt = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln';
    const left = maskedBy([`/input/parsed_query/${jwt}`], { input: { parsed_query: { [jwt]: ['personal'], b: 1 } } });
    assert.deepEqual(left.input, { parsed_query: { b: 1 } });
    assert.ok(!JSON.stringify(left).includes('eyJ'));
  });
});

describe('an odd result is refused whole', () => {
  const odd: readonly Json[] = [
    null,
    true,
    '/input',
    { '/input': true },
    [1],
    [null],
    [['/input']],
    [''],
    ['input/a'],
    ['/'],
    ['/labels/id'],
    ['/custom'],
    ['/inputs'],
    ['/input/a', '/input/%zz'],
    ['/input/%F/b'],
    [{ path: '/input' }],
    [{ op: 'remove' }],
    [{ op: '', path: '/input' }],
    [{ op: 'erase', path: '/input' }],
    [{ op: 'remove', path: 7 }],
    [{ op: ['remove'], path: '/input' }],
    Array(1001).fill('/input/a'),
  ];
  for (const result of odd) {
    test(JSON.stringify(result).slice(0, 60), () => assert.equal(readOperations(result), undefined));
  }
});

test('segments are escaped as Go does it', () => {
  const all = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => i + 32));
  assert.equal(
    escapeSegment(`${all}é`),
    '%20%21%22%23$%25&%27%28%29%2A+%2C-.%2F0123456789:%3B%3C=%3E%3F@ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D~%C3%A9',
  );
});
