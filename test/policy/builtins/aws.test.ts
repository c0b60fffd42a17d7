import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { awsBuiltins } from '../../../src/policy/builtins/aws.ts';
import { BuiltinError } from '../../../src/policy/builtins/builtin.ts';
import { createContext, defaultHostOptions } from '../../../src/policy/engine/context.ts';
import { dump } from '../../../src/values/dump.ts';
import { parse } from '../../../src/values/parse.ts';
import { isRegoObject, RegoObject, type Value } from '../../../src/values/value.ts';

const CONFIG = {
  aws_access_key: 'AK',
  aws_secret_access_key: 'SK',
  aws_service: 's3',
  aws_region: 'us-east-1',
};
const TIME = 1451311705000000000n;

type Members = { readonly [name: string]: Value };

function sign(request: Members, config: Members = {}, time = `${TIME}`): RegoObject {
  const [builtin] = awsBuiltins;
  const signed = builtin?.run(
    createContext(defaultHostOptions(), undefined),
    RegoObject.from(request),
    RegoObject.from({ ...CONFIG, ...config }),
    parse(time),
  );
  assert.ok(isRegoObject(signed));
  return signed;
}

/** Signed headers and the signature, without what they have in common. */
function authorization(request: Members, config: Members = {}): string {
  const headers = sign(request, config).get('headers');
  const text = isRegoObject(headers) ? headers.get('Authorization') : undefined;
  return String(text).replace(/^.*SignedHeaders=/, '');
}

// Signatures are those of OPA 1.22.2.
describe('providers.aws.sign_req', () => {
  for (const [title, want, request, config] of [
    [
      'a path is signed escaped, the query as it is written',
      'host;x-amz-content-sha256;x-amz-date,Signature=60065e9bf7139c3ee6d3357d873bae1841124de585ec27b3a832dc3d6d65d306',
      { method: 'GET', url: 'http://h/a b/%41?q=1 2' },
      {},
    ],
    [
      'a header of the request stands for the one that is added',
      'host;x-amz-content-sha256;x-amz-date,Signature=abfe21e0d29a03d076f8b415904b52c0a58ba698b86e6851c30c00bcc2ec5646',
      { method: 'GET', url: 'http://h/', headers: RegoObject.from({ Host: 'other', 'User-Agent': 'x' }) },
      {},
    ],
    [
      'headers are in the order of their bytes',
      'host;x-amz-content-sha256;x-amz-date;\uffee;\ud83d\ude00,Signature=5c8c462e0b8b9768b6d9c2aea6c2da50de5b3145e217e9e05a61ba98e73810da',
      { method: 'GET', url: 'http://h/', headers: RegoObject.from({ '\ud83d\ude00': '1', '\uffee': '2' }) },
      {},
    ],
    [
      'a body is signed as JSON with escapes for HTML',
      'host;x-amz-content-sha256;x-amz-date,Signature=ca23550afca8c19ea8c27f76b3a93c44128ce5176bee5452fd8e9686da5f8b3e',
      { method: 'POST', url: 'http://h/', body: RegoObject.from({ a: '<&>' }) },
      {},
    ],
    [
      'a body of null is signed as null',
      'host;x-amz-content-sha256;x-amz-date,Signature=d68237fc376e5630e6a971284a3941a8c8398d304d67dcda792339410365b31a',
      { method: 'POST', url: 'http://h/', body: null },
      {},
    ],
    [
      'a raw body that is no string is signed as nothing',
      'host;x-amz-content-sha256;x-amz-date,Signature=e5487caca3ec7a398bab60da3384f1e10541a9a3ad9dd6b93f1f0e0816b275a9',
      { method: 'POST', url: 'http://h/', raw_body: 5 },
      {},
    ],
    [
      'other services sign no hash header',
      'host;x-amz-date,Signature=368b3a7924dcde4d7e623d70e2d07d43af0e8bdae6252dc28a50f98077db6c6b',
      { method: 'GET', url: 'http://h/' },
      { aws_service: 'ec2' },
    ],
  ] as const) {
    test(title, () => {
      assert.equal(authorization(request, config), want);
    });
  }

  test('an empty header name and names of object members are headers like others', () => {
    const headers = parse('{"__proto__": "x", "constructor": "y", 1: "z"}');
    const signed = sign({ method: 'GET', url: 'http://h/', headers }).get('headers');
    assert.ok(isRegoObject(signed));
    assert.deepEqual(
      ['__proto__', 'constructor', ''].map((name) => signed.get(name)),
      ['x', 'y', 'z'],
    );
  });

  test('only the headers of the request change', () => {
    const signed = sign({ method: 'GET', url: 'http://h/', timeout: '5s', body: parse('{1, 2}') });
    assert.equal(dump([signed.get('timeout') ?? null, signed.get('body') ?? null]), '["5s",{1,2}]');
  });

  for (const [title, request, config, time] of [
    ['null in the place of headers', { headers: null }, {}, `${TIME}`],
    ['null in the place of a flag', {}, { disable_payload_signing: null }, `${TIME}`],
    ['an unknown member of the request', { foo: 1 }, {}, `${TIME}`],
    ['a URL with a malformed escape', { url: 'http://h/%zz' }, {}, `${TIME}`],
    ['a number in the place of the region', {}, { aws_region: 1 }, `${TIME}`],
    ['a time beyond 64 bits', {}, {}, '9223372036854775808'],
    ['a time that is no integer', {}, {}, '1.5'],
    ['a time before 1970', {}, {}, '-1'],
  ] as const) {
    test(`refuses ${title}`, () => {
      assert.throws(() => sign({ method: 'GET', url: 'http://h/', ...request }, config, time), BuiltinError);
    });
  }
});
