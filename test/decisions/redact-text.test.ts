import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { redact } from '../../src/decisions/redact.ts';
import { redactText } from '../../src/decisions/redact-text.ts';
import { regions } from '../../src/decisions/regions.ts';
import type { Json, MutableJsonObject } from '../../src/model/json.ts';
import { parseExact, stringify } from '../../src/values/json.ts';
import { createRandom, type Random } from '../support/random.ts';
import { inputText } from './records.ts';

/** Names that mean something somewhere, and names that do not. */
const keys = [
  ...['attributes', 'request', 'http', 'headers', 'path', 'parsed_query', 'parsed_body', 'identity', 'claims', 'token'],
  ...['authorization', 'Cookie', 'x-api-key', ':path', 'accept', 'body', 'rawBody', 'password', 'max_tokens', 'code'],
  ...['a', 'b/c', 'd~e', 'é', 'sid', 'key', 'name', 'typedFilterMetadata', 'query_parameters_to_set', '0', '__proto__'],
];
const rareKeys = ['value', 'rawValue', 'q"uote', 'back\\slash', 'x=1&token=abcdef', 'eyJhbGciOiJub25lIn0.e30.', ''];
const texts = [
  ...['', 'plain', 'with space', 'é ü 漢字 \u2028', 'tab\there', 'quote " inside', 'back\\slash', '\ud800', 'a\\"b'],
  ...[
    'Bearer abcdef123456',
    'bearer\tabcdef123456',
    'BASIC+dXNlcjpwYXNz',
    'token abcdefgh1',
    'tokens',
    'the bearer of news',
  ],
  ...[
    'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln',
    'prefix eyJhbGciOiJub25lIn0.e30.x suffix',
    'ey',
    'EYA.b.c',
    'key Japan',
  ],
  ...['/a/b?c=d', '/a?access_token=s3cr3t-value&b=c', '/a%3Ftoken%3Ds3cr3t', 'https://u:pass123@host/x', 'a@b.example'],
  ...[
    '{"password":"s3cr3t"}',
    '{\\"api_key\\": 1}',
    'x=1;sid=abcdef',
    'YmVhcmVyIGFiY2RlZmdo',
    'a,b',
    '[]',
    '{}',
    ':',
    '],"',
  ],
];

function anyValue(random: Random, depth: number, rare: boolean): Json {
  const kind = random.below(depth > 5 ? 4 : 9);
  if (kind < 2) return random.pick(texts);
  if (kind === 2) return random.pick<Json>([0, -1, 1.5, 1e21, 12_345_678_901, parseExact('1.10'), parseExact('1e400')]);
  if (kind === 3) return random.pick<Json>([true, false, null]);
  if (kind === 4) return Array.from({ length: random.below(4) }, () => anyValue(random, depth + 1, rare));
  const object: MutableJsonObject = Object.create(null);
  for (let i = random.below(6); i > 0; i--) {
    const key = rare && random.below(12) === 0 ? random.pick(rareKeys) : random.pick(keys);
    object[key] = anyValue(random, depth + 1, rare);
  }
  return object;
}

describe('a document is redacted in its text as it is member by member', () => {
  for (const rare of [false, true]) {
    for (const mode of ['masked', 'full'] as const) {
      test(`${rare ? 'with' : 'without'} unusual keys, ${mode}`, () => {
        const random = createRandom(rare ? 7 : 11);
        let inText = 0;
        for (let i = 0; i < 4000; i++) {
          const input = anyValue(random, 0, rare);
          const result = random.pick<Json>([true, anyValue(random, 3, false)]);
          const parts = { input, result, reasons: [random.pick(texts)], cause: undefined };
          const text = stringify(input);
          const { text: redacted, ...others } = redact({ ...parts, text: inputText(input) }, mode);
          const { text: none, ...wanted } = redact(parts, mode);
          assert.equal(none, undefined);
          if (redacted === undefined) {
            assert.deepEqual(others, wanted);
            continue;
          }
          inText++;
          assert.equal(redacted, stringify(wanted.input ?? null), text);
          assert.deepEqual({ ...others, input: wanted.input }, wanted, text);
        }
        assert.ok(inText > (rare ? 500 : 3500), `${inText} were usual`);
      });
    }
  }
});

describe('what is unusual is left to the other way', () => {
  const cases: readonly (readonly [string, Json])[] = [
    ['a pair of name and value', { key: 'password', value: 'x' }],
    ['a key with an escape', { 'a\nb': 1 }],
    ['a key that holds a secret', { 'token=abcdef': 1 }],
    ['great depth', JSON.parse('['.repeat(60) + ']'.repeat(60)) as Json],
    ['many members', Array.from({ length: 3000 }, () => 1)],
    ['a long text', { a: 'x'.repeat(20_000) }],
    ['a large document', Array.from({ length: 100 }, () => 'x'.repeat(1000))],
    ['a number of many digits', parseExact(`[${'1'.repeat(100)}]`)],
  ];
  for (const [name, document] of cases) {
    test(name, () => {
      assert.equal(redactText(stringify(document), regions.masked, ''), undefined);
    });
  }
});
