import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { IssuerConfig } from '../../src/config/schema.ts';
import { createIdentify, type Identification } from '../../src/identity/identify.ts';
import { readTokenPart } from '../../src/identity/token-json.ts';
import type { RequestFacts } from '../../src/model/facts.ts';
import { facts } from '../support/facts.ts';
import { scratchFolder } from '../support/servers.ts';
import { createSigner, type Signer } from '../support/tokens.ts';

const issuer = 'https://i.test/';
const factsWith = (headers: { readonly [name: string]: string }): RequestFacts => facts({ headers });

type Setup = {
  readonly identification: Identification;
  readonly signer: Signer;
  readonly hits: boolean[];
  advance: (ms: number) => void;
};

async function setUp(context: TestContext, over: Partial<IssuerConfig> = {}): Promise<Setup> {
  const folder = scratchFolder(context);
  const signer = await createSigner(issuer);
  const file = join(folder, 'keys.json');
  writeFileSync(file, JSON.stringify(signer.jwks));
  let passed = 0;
  const hits: boolean[] = [];
  const identification = createIdentify({
    config: {
      required: true,
      token: { header: 'authorization', scheme: 'bearer', cookie: null, query: null, metadata: null, forward: true },
      rules: [],
      workload: { trust_domains: [], xfcc: false },
      claims_to_headers: {},
      identity_headers: [],
      remove_forwarded: false,
      issuers: [
        {
          issuer,
          verified_by: 'postern',
          jwks_file: file,
          discovery: false,
          audiences: [],
          algorithms: ['RS256'],
          leeway_seconds: 60,
          max_lifetime_seconds: 86_400,
          jwks_mirrors: [],
          allow_http: false,
          max_stale_seconds: 86_400,
          required_claims: [],
          ...over,
        },
      ],
    },
    clock: { wallMs: () => Date.now() + passed, monotonicMs: () => performance.now() + passed },
    random: () => 0.5,
    log: { warn: () => {} },
    onCache: (hit) => hits.push(hit),
    onKeys: () => {},
    onReady: () => {},
  });
  context.after(identification.stop);
  await identification.start();
  return {
    identification,
    signer,
    hits,
    advance: (ms) => {
      passed += ms;
    },
  };
}

describe('a verified token', () => {
  test('is remembered, and answered at once the second time', async (context) => {
    const { identification, signer, hits } = await setUp(context);
    const facts = factsWith({ authorization: `Bearer ${await signer.sign({ sub: 'ann' })}` });
    const first = identification.identify(facts);
    assert.ok(first instanceof Promise);
    const verified = await first;
    assert.ok(verified.ok && verified.identity?.subject === 'ann');
    assert.equal(identification.identify(facts) instanceof Promise, false);
    assert.deepEqual(hits, [false, true]);
  });

  test('is not answered from memory once it has expired', async (context) => {
    const { identification, signer, advance } = await setUp(context);
    const facts = factsWith({ authorization: `Bearer ${await signer.sign({ sub: 'ann' }, 30)}` });
    assert.ok((await identification.identify(facts)).ok);
    advance(89_000);
    assert.ok((await identification.identify(facts)).ok, 'within the leeway');
    advance(2000);
    assert.deepEqual(await identification.identify(facts), {
      ok: false,
      reason: 'token_expired',
      cause: 'exp has passed',
    });
  });

  test('is verified again after five minutes', async (context) => {
    const { identification, signer, hits, advance } = await setUp(context);
    const facts = factsWith({ authorization: `Bearer ${await signer.sign({ sub: 'ann' }, 3600)}` });
    await identification.identify(facts);
    advance(301_000);
    await identification.identify(facts);
    assert.deepEqual(hits, [false, false]);
  });

  test('keeps every digit of its claims, and keys that JavaScript has plans for', async (context) => {
    const { identification, signer } = await setUp(context);
    const token = await signer.sign({ sub: 'ann', ['__proto__']: 1, constructor: 2 });
    const result = await identification.identify(factsWith({ authorization: `Bearer ${token}` }));
    assert.ok(result.ok);
    assert.equal(Object.getPrototypeOf(result.identity?.claims ?? {}) === Object.prototype && 'x' in {}, false);
    const part = Buffer.from('{"n":12345678901234567890}').toString('base64url');
    assert.equal(JSON.stringify(readTokenPart(part)), '{"n":12345678901234567890}');
  });
});

describe('a token of another kind', () => {
  const reasonFor = async (context: TestContext, over: Partial<IssuerConfig>, claims: object): Promise<unknown> => {
    const { identification, signer } = await setUp(context, over);
    const result = await identification.identify(
      factsWith({ authorization: `Bearer ${await signer.sign({ sub: 'ann', ...claims })}` }),
    );
    return result.ok ? 'accepted' : [result.reason, result.cause];
  };

  test('is refused where its header must say what it is', async (context) => {
    assert.deepEqual(await reasonFor(context, { typ: 'at+jwt' }, {}), ['token_claims', 'typ is another']);
    assert.equal(await reasonFor(context, { typ: 'application/JWT' }, {}), 'accepted');
  });

  test('is refused without the claims that it must have', async (context) => {
    const over = { required_claims: ['tenant', 'constructor'] };
    assert.deepEqual(await reasonFor(context, over, { constructor: 1 }), ['token_claims', 'tenant is missing']);
    assert.deepEqual(await reasonFor(context, over, { tenant: null, constructor: 1 }), [
      'token_claims',
      'tenant is missing',
    ]);
    assert.deepEqual(await reasonFor(context, over, { tenant: 'a' }), ['token_claims', 'constructor is missing']);
    assert.equal(await reasonFor(context, over, { tenant: 'a', constructor: 1 }), 'accepted');
  });
});

test('a part of a token is an object whose keys are unique, in whatever spelling', () => {
  const read = (text: string | Buffer): unknown => readTokenPart(Buffer.from(text).toString('base64url'));
  const bad: readonly (string | Buffer)[] = [
    '',
    'x',
    '[]',
    '"a"',
    '5',
    'null',
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"a":{"b":1,"b":1}}',
    '{"a":[{"b":1,"b":1}]}',
    '{"a" : 1, "a" : 2}',
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    `{"a":${'['.repeat(40)}${']'.repeat(40)}}`,
  ];
  for (const text of bad) assert.throws(() => read(text), { name: 'TokenError' }, String(text));
  for (const text of ['{}', '{"a":{"a":{"a":1}},"b":"a"}', '{"a":"a","b":["a","a"]}', '{"a":"\\"a\\":","b":1}'])
    read(text);
});
