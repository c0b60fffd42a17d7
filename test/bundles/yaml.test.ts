import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stringify } from 'yaml';
import { digestOf } from '../../src/bundles/digest.ts';
import { createDocuments } from '../../src/bundles/documents.ts';
import { createRandom, type Random } from '../support/random.ts';
import type { Scope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';
import { asFiles, type Files, payloadOf, signWithOpa } from '../support/signing.ts';

const digest = (text: string): string =>
  digestOf('SHA-256', createDocuments(asFiles({ 'data.yaml': text }))('data.yaml'));

const REFUSED = 'refused';
function digestOrRefusal(text: string): string {
  try {
    return digest(text);
  } catch {
    return REFUSED;
  }
}

/** What opa signs for each of many documents; it refuses all when it refuses one. */
function digestsOfOpa(scope: Scope, texts: readonly string[]): readonly string[] {
  const files: Files = Object.fromEntries(texts.map((text, i) => [`d${i}/data.yaml`, text]));
  try {
    const listed = payloadOf(signWithOpa(scratchFolder(scope), files, 'EdDSA')).files;
    const byName = new Map((listed as readonly { name: string; hash: string }[]).map(({ name, hash }) => [name, hash]));
    return texts.map((_, i) => byName.get(`d${i}/data.yaml`) ?? '');
  } catch {
    if (texts.length === 1) return [REFUSED];
    const middle = Math.ceil(texts.length / 2);
    return [...digestsOfOpa(scope, texts.slice(0, middle)), ...digestsOfOpa(scope, texts.slice(middle))];
  }
}

const scalars =
  `1.0 -0.0 -0 1e3 1E3 1e21 1e-7 1.5e300 5e-324 1e-400 1e400 0.10 5. .5 .5e1 +.5 +1 +1.5 0e0 1.7976931348623157e308
  9007199254740993 18446744073709551615 18446744073709551616 +18446744073709551615 -9223372036854775808
  -9223372036854775809 123456789012345678901234567890 100000000000000000000.0 0x10 -0x10 0xffffffffffffffff
  0xfffffffffffffffff 0b101 -0b1_1 0b2 0o17 -0o7 0o8 017 08 007.5 00 0x1_0 0x1p3 1_000 1_000.5 1__0 1_ _1 -_1 1e 1.e3 e3
  1:30 190:20:30.15 1.2.3 2001-01-01 2001-01-01T00:00:00Z ~ null Null NULL nULL true True TRUE tRUE yes No on y . .. .e1
  Inf nan = x#c "x" 'it''s' "\\n\\x41\\u00e9\\U0001F600\\0\\e\\_\\L" !!str&1 !!str&2001-01-01 [1,&2,] {b:&1,} {b,&c} [a:&1]`
    .split(/\s+/)
    .map((text) => `a: ${text.replaceAll('&', ' ')}`);

const documents = [
  ...scalars,
  ...['1', '1.5', 'true', 'yes', '0x10', '017', '1e3', '2001-01-01', '"1"', '-0', '0.25'].map((key) => `${key}: x`),
  ...['', '# nothing', '---\n', '---\na: 1', '---\na: 1\n...\n', '- 1\n- 2', 'text', '1', '"x"', 'a : 1', '"a":1'],
  ...[
    '|\n  x\n  y\n',
    '|-\n  x\n',
    '|+\n  x\n\n',
    '>\n  x\n  y\n\n  z\n',
    '>-\n x\n',
    '|\n  x',
    '|+\n  x',
    '>\n  x\n  y',
  ].map((block) => `a: ${block}`),
  ...['"x\n  y"', 'x\n  y', 'x # c', '- 1', '"a\\\n  b"', '\n- 1\n- 2', '\n  - 1\n  - b: 2\n    c: 3'].map(
    (text) => `a: ${text}`,
  ),
  ...[
    'b: &x {a: 1}\nc:\n  <<: *x\n  d: 2',
    'b: &x {a: 1}\nc:\n  <<: [*x, {a: 2, e: 3}]',
    'b: &x {a: 1}\nc:\n  a: 5\n  <<: *x',
  ],
  ...[
    'a: "<<"\n"<<": 1',
    'a: &x [1]\nb: *x',
    '\ufeffa: 1',
    'a:\r\n  b: 1\r\n',
    '{"a":1.0}',
    '{"a":1,"a":2}',
    '{a: 1E3}',
  ],
  ...['__proto__: {x: 1}\nconstructor: 2', 'a: <b>&c', 'a: \u00a0x', 'é: 😀', 'a:\n  - - 1\n    - 2'],
];

/** What is read differently in two places is refused here, whatever OPA makes of it. */
const refused: readonly (readonly [name: string, text: string, message: RegExp])[] = [
  ['a key twice', 'a: 1\na: 2', /a key is there twice/],
  ['a key twice in two spellings', '"1": x\n1: y', /a key is there twice/],
  ['two merges', 'b: &x {a: 1}\nc:\n  <<: *x\n  <<: {z: 1}', /twice/],
  ['a key that is a list', '? [a]\n: b', /no text/],
  ['a key that is null', '~: x', /no text/],
  ['a key of many digits', '1.2345678: x', /many digits/],
  ['a key that OPA writes with an exponent', '1e7: x', /many digits/],
  ['two documents', '---\na: 1\n---\nb: 2', /more than one document/],
  ['a document after the end of one', 'a: 1\n...\nb: 2', /more than one document|not usable/],
  ['a directive', '%YAML 1.1\n---\na: yes', /a directive/],
  ['a tag of its own', 'a: !foo 1', /TAG_RESOLVE_FAILED/],
  ['binary', 'a: !!binary aGk=', /TAG_RESOLVE_FAILED/],
  ['a time', 'a: !!timestamp 2001-01-01', /TAG_RESOLVE_FAILED/],
  ['a set', 'a: !!set {x, y}', /TAG_RESOLVE_FAILED/],
  ['a tagged number', 'a: !!int "1"', /a tag/],
  ['a tag that is none', 'a: ! 1', /a tag/],
  ['infinity', 'a: .inf', /not finite/],
  ['no number', 'a: .NaN', /not finite/],
  ['a sign in the middle', 'a: 0b-1', /not usable/],
  ['a control character', 'a: \u0007', /control character/],
  ['a line break of Unicode', 'a: "\u2028"', /line break of another kind/],
  ['a line break of old', 'a: 1\rb: 2', /line break of another kind/],
  ['half a surrogate pair', 'a: "\\ud800"', /surrogate/],
  ['half a surrogate pair for a key', '"\\ud800": 1', /surrogate/],
  ['an alias of nothing', 'a: *nope', /alias|not usable/],
  ['an alias of itself', 'a: &a [*a]', /alias/],
  ['a list that does not end', 'a: [', /not usable/],
  ['a tab for indentation', '\ta: 1', /not usable/],
  ['lists nested too deep', `a: ${'['.repeat(2000)}${']'.repeat(2000)}`, /not usable/],
];

describe('YAML', () => {
  test('has the value that OPA gives it', (context) => {
    const theirs = digestsOfOpa(context, documents);
    assert.deepEqual(
      documents.filter((text, i) => digestOrRefusal(text) !== theirs[i]),
      [],
    );
    assert.ok(theirs.filter((each) => each !== REFUSED).length > 120);
  });

  test('of generated values in all styles has the value that OPA gives it', (context) => {
    const random = createRandom(99);
    const texts = Array.from({ length: 300 }, () => stringify({ v: randomValue(random) }, styleOf(random)));
    const theirs = digestsOfOpa(context, texts);
    assert.deepEqual(
      texts.filter((text, i) => theirs[i] !== REFUSED && ![theirs[i], REFUSED].includes(digestOrRefusal(text))),
      [],
    );
    assert.ok(texts.filter((text, i) => digestOrRefusal(text) === theirs[i]).length > 250);
  });

  for (const [name, text, message] of refused) {
    test(`with ${name} is refused`, () => assert.throws(() => digest(text), { name: 'BundleError', message }));
  }
});

const texts = [
  '',
  'a',
  ' a ',
  'a: b',
  '- a',
  '# a',
  'yes',
  'null',
  '1',
  '1.0',
  '0x1',
  '2001-01-01',
  'é',
  '😀',
  'a\nb',
  'a\n\n b\n',
].concat([
  '\ta',
  "it's",
  '"q"',
  '[a',
  '{a',
  '&a',
  '*a',
  '!a',
  '%a',
  '@a',
  '`a',
  '<<',
  '~',
  '-',
  '?',
  'a #b',
  'a:',
  '\\',
  'x'.repeat(100),
]);

function randomValue({ below, pick }: Random, depth = 0): unknown {
  const random = { below, pick };
  switch (below(depth > 3 ? 3 : 5)) {
    case 0:
      return pick([0, 1, -1, 1.5, 1e21, 1e-7, 123456789, true, false, null]);
    case 1:
    case 2:
      return pick(texts);
    case 3:
      return Array.from({ length: below(4) }, () => randomValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: below(4) }, () => [pick(texts), randomValue(random, depth + 1)] as const),
      );
  }
}

const styleOf = ({ pick }: Random) => ({
  collectionStyle: pick(['any', 'block', 'flow'] as const),
  defaultStringType: pick(['PLAIN', 'QUOTE_DOUBLE', 'QUOTE_SINGLE', 'BLOCK_LITERAL', 'BLOCK_FOLDED'] as const),
  indent: pick([2, 4]),
  lineWidth: pick([0, 20, 80]),
});
