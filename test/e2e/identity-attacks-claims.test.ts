import { after, before, describe, test } from 'node:test';
import {
  type Attacked,
  bearer,
  claims,
  header,
  issuerA,
  issuerB,
  now,
  pairs,
  startAttacked,
} from '../support/attacked.ts';
import { forge, type Part } from '../support/forge.ts';
import { createScope } from '../support/scope.ts';

/* Tokens whose signature is good, and whose JSON or claims are not. */

const suite = createScope();
after(suite.close);
let attacked: Attacked;
before(async () => {
  attacked = await startAttacked(suite);
});

type Token = readonly [name: string, token: string];
const signed = (body: Part, head: Part = header()): string => forge(head, body, pairs.rsa, 'RS256');

async function allRefused(tokens: readonly Token[], http = 401): Promise<void> {
  for (const [name, token] of tokens) await attacked.refused(name, bearer(token), http);
}
async function allAllowed(tokens: readonly Token[]): Promise<void> {
  for (const [name, token] of tokens) await attacked.allowed(name, bearer(token));
}

/** JSON text of good claims, with one of them, or more of the text, as written here. */
const text = (name: string, raw: string): string =>
  JSON.stringify(claims({ [name]: '@' })).replace(`"${name}":"@"`, `"${name}":${raw}`);
const more = (raw: string): string => `${JSON.stringify(claims()).slice(0, -1)},${raw}}`;
const without = (name: string): object => Object.fromEntries(Object.entries(claims()).filter(([key]) => key !== name));
const each = (name: string, values: readonly string[]): Token[] =>
  values.map((raw) => [`${name} ${raw.slice(0, 60)}`, signed(text(name, raw))]);

describe('good tokens with unusual contents are accepted', () => {
  test('dates with fractions and exponents, and digits without an end', () => {
    const exp = now() + 600;
    return allAllowed([
      ...each('exp', [`${exp}.5`, `${exp}.0`, `${exp}.000`, `${exp}e0`, `${exp / 10}e1`, `${exp}.1234567890123456789`]),
      ...each('iat', ['0', '-0', '0.0', `${now()}.0`, `${now() + 30}`]),
      ...each('nbf', [`${now() - 5}.0`, `${now() + 30}`]),
      ...each('n', ['1e400', '-1e400', '123456789012345678901234567890', '-0', '1E-400']),
      ...each('aud', ['["api"]', '["other","api"]', '["api","api"]']),
      ...each('__proto__', ['{"sub":"eve"}', 'null']),
      ['claims of the prototype', signed(more('"constructor":1,"toString":2,"hasOwnProperty":3,"then":4,"toJSON":5'))],
      ['blanks around', signed(`\n\t ${JSON.stringify(claims())} \r\n`)],
      ['keys that differ in case', signed(more('"SUB":"eve","Exp":0'))],
      ['escapes in keys', signed(JSON.stringify(claims()).replace('"sub"', '"\\u0073ub"'))],
      [
        'a pair of surrogates in escapes, and a backslash before something like one',
        signed(more('"x":"\\ud83d\\ude00","y":"\\\\ud800"')),
      ],
      ['emoji, combining marks and a pair of surrogates', signed(claims({ name: 'é\u0301👩‍🚀𝒳' }))],
      ['thirty levels', signed(more(`"deep":${'['.repeat(30)}${']'.repeat(30)}`))],
    ]);
  });

  test('claims that their issuer requires by names of the prototype', async () => {
    const own = '"__proto__":1,"constructor":2,"toString":3';
    const body = `${JSON.stringify(claims({ iss: issuerB })).slice(0, -1)},${own}}`;
    await attacked.allowed('required claims', bearer(forge(header(), body, pairs.b, 'RS256')));
  });
});

describe('tokens with a good signature are refused', () => {
  test('whose JSON is none, or can be read in two ways', () => {
    const good = JSON.stringify(claims());
    const utf8 = (bytes: number[]): Buffer =>
      Buffer.concat([Buffer.from(more('"x":"').slice(0, -1)), Buffer.from(bytes), Buffer.from('"}')]);
    const head = JSON.stringify(header());
    return allRefused([
      ['sub twice', signed(more('"sub":"ann"'))],
      ['sub twice by an escape', signed(more('"s\\u0075b":"eve"'))],
      ['sub twice by another escape', signed(more('"\\u0073\\u0075\\u0062":"eve"'))],
      ['sub twice, blanks before the colon', signed(more('"sub"  \n\t :"eve"'))],
      ['sub twice, many blanks before the colon', signed(more(`"sub"${' '.repeat(100)}:"eve"`))],
      ['exp twice', signed(more(`"exp":${now() + 6000}`))],
      ['a nested key twice', signed(more('"a":{"b":{"c":1,"c":2}}'))],
      ['a key twice in a list', signed(more('"a":[[{"c":1},{"c":1,"d":2,"c":1}]]'))],
      ['__proto__ twice', signed(more('"__proto__":1,"__proto__":2'))],
      ['an empty key twice', signed(more('"":1,"":2'))],
      ['a key with an escaped quote twice', signed(more('"a\\"b":1,"a\\u0022b":2'))],
      ['alg twice', signed(claims(), `${head.slice(0, -1)},"alg":"RS256"}`)],
      ['kid twice by an escape', signed(claims(), `${head.slice(0, -1)},"k\\u0069d":"ec"}`)],
      ['alg twice, none first', signed(claims(), '{"alg":"none","alg":"RS256","kid":"rsa"}')],
      ['a byte order mark before the payload', signed(Buffer.from(`\ufeff${good}`))],
      ['a byte order mark before the header', signed(claims(), Buffer.from(`\ufeff${head}`))],
      ['UTF-16', signed(Buffer.from(good, 'utf16le'))],
      ['invalid UTF-8', signed(utf8([0xff]))],
      ['overlong UTF-8', signed(utf8([0xc0, 0xaf]))],
      ['a surrogate in UTF-8', signed(utf8([0xed, 0xa0, 0x80]))],
      ['cut UTF-8', signed(utf8([0xf0, 0x9f, 0x91]))],
      ['beyond Unicode', signed(utf8([0xf4, 0x90, 0x80, 0x80]))],
      [
        'invalid UTF-8 in the header',
        signed(
          claims(),
          Buffer.concat([Buffer.from('{"alg":"RS256","kid":"rsa","x":"'), Buffer.from([0xff]), Buffer.from('"}')]),
        ),
      ],
      ['half a character', signed(more('"x":"\\ud800"'))],
      ['half a character in a key', signed(more('"\\uDFFF":1'))],
      ['two halves in the wrong order', signed(more('"x":["\\udc00\\ud800"]'))],
      ['half a character for a subject', signed(claims({ sub: '\ud800' }))],
      ['a NUL in a string', signed(more('"x":"\u0000"'))],
      ['a NUL behind', signed(`${good}\u0000`)],
      ['a line feed in a string', signed(more('"x":"\n"'))],
      ['a comma at the end', signed(`${good.slice(0, -1)},}`)],
      ['a comment', signed(`${good}/**/`)],
      ['single quotes', signed(good.replaceAll('"', "'"))],
      ['two documents', signed(`${good}${good}`)],
      ['half a document', signed(good.slice(0, -5))],
      ['NaN', signed(more('"x":NaN'))],
      ['a hexadecimal number', signed(more('"x":0x10'))],
      ['a number with a leading zero', signed(more('"x":01'))],
      ['a bad escape', signed(more('"x":"\\x41"'))],
      ['a list', signed(`[${good}]`)],
      ['a string', signed(JSON.stringify(good))],
      ['null', signed('null')],
      ['a number', signed('5')],
      ['a list for a header', signed(claims(), `[${head}]`)],
      ['null for a header', signed(claims(), 'null')],
      ['forty levels', signed(more(`"deep":${'['.repeat(40)}${']'.repeat(40)}`))],
      ['two thousand levels', signed(more(`"deep":${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`))],
      ['brackets without an end', signed(more(`"deep":${'['.repeat(4000)}`))],
      ['forty levels in the header', signed(claims(), `${head.slice(0, -1)},"x":${'['.repeat(40)}${']'.repeat(40)}}`)],
      ['64 KB', signed(claims({ x: 'x'.repeat(65_536) }))],
      ['a megabyte', signed(claims({ x: 'x'.repeat(1_048_576) }))],
    ]);
  });

  test('whose dates are odd', () =>
    allRefused([
      ['no exp', signed(without('exp'))],
      ...['exp', 'nbf', 'iat'].flatMap((name) =>
        each(
          name,
          ['"1"', `"${now() + 60}"`, 'true', 'null', '[]', `[${now() + 60}]`, '{}', '{"$date":1}', '-1', '-0.5'].concat(
            ['1e400', '-1e400', '1e308', '1e20', '253402300800', '99999999999999999999', '"NaN"', '"Infinity"'],
          ),
        ),
      ),
      ...each('exp', [
        '0',
        '-0',
        '1',
        '1e-5',
        `${now() - 62}`,
        `${now() - 62}.9`,
        `${now() + 90_000}`,
        `${(now() + 600) * 1000}`,
      ]),
      ...each('nbf', [`${now() + 75}`, `${now() + 75}.5`, `${now() * 1000}`]),
      ...each('iat', [`${now() + 75}`, `${now() + 75}.0`, `${now() * 1000}`]),
    ]));

  test('whose issuer or audience is another, or none', () =>
    allRefused([
      ['no iss', signed(without('iss'))],
      ...each('iss', ['5', 'null', 'true', '[]', `["${issuerA}"]`, `{"":"${issuerA}"}`, '""', '" "', '"__proto__"'])
        .concat(each('iss', ['"https://a.test"', '"https://A.test/"', '"HTTPS://a.test/"', '"https://a.test//"']))
        .concat(
          each('iss', ['"https://a.test/ "', '" https://a.test/"', '"https://a.test/\\u0000"', '"https://a.test/?"']),
        )
        .concat(
          each('iss', ['"https://a.test:443/"', '"https://а.test/"', '"https://a.test/#"', '"https://x@a.test/"']),
        ),
      ['the other issuer', signed(claims({ iss: issuerB }))],
      ['no aud', signed(without('aud'))],
      ...each('aud', [
        '5',
        'null',
        'true',
        '{}',
        '{"0":"api"}',
        '{"api":true}',
        '[]',
        '[["api"]]',
        '[{"":"api"}]',
        '""',
      ])
        .concat(
          each('aud', ['"API"', '"api "', '" api"', '"api,other"', '"api other"', '"api\\u0000"', '["API","other"]']),
        )
        .concat(each('aud', ['["api",5]', '["api",null]', '["api",["api"]]', '[5,"api"]', '"*"', '["*"]', '"apі"'])),
    ]));

  test('whose subject is none', () =>
    allRefused([
      ['no sub', signed(without('sub'))],
      ...each('sub', ['""', 'null', '0', '5', 'true', '[]', '["ann"]', '{}', '{"toString":"ann"}', '1e400']),
    ]));

  test('that lack a required claim, or have it from the prototype only', async () => {
    const b = (body: Part): string => forge(header(), body, pairs.b, 'RS256');
    const body = (raw: string): string => `${JSON.stringify(claims({ iss: issuerB })).slice(0, -1)}${raw}}`;
    await allRefused([
      ['none of them', b(body(''))],
      ['__proto__ with the others in it', b(body(',"__proto__":{"constructor":1,"toString":1}'))],
      ['all but __proto__', b(body(',"constructor":1,"toString":1'))],
      ['all, one of them null', b(body(',"__proto__":1,"constructor":null,"toString":1'))],
      ['by names in other case', b(body(',"__PROTO__":1,"Constructor":1,"tostring":1'))],
    ]);
  });
});

test('subjects that JavaScript has plans for are nobody special: the policy decides, and says no', async () => {
  for (const sub of [
    '__proto__',
    'constructor',
    'toString',
    'ann\u0000',
    ' ann',
    'Ann',
    'ann\u200b',
    'x'.repeat(3000),
  ]) {
    const answer = await attacked.ask(bearer(signed(claims({ sub }))));
    // A boolean denial is the policy's own, which Envoy turns into 403.
    if (answer.grpc !== 7 || answer.http !== undefined)
      throw new Error(`${JSON.stringify(sub)}: ${JSON.stringify(answer)}`);
  }
});
