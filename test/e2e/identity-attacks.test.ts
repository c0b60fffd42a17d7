import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type Attacked,
  bearer,
  CANARY,
  claims,
  goodToken,
  header,
  issuerA,
  now,
  pairs,
  startAttacked,
} from '../support/attacked.ts';
import { forge, forgeHmac, jwkOf, type Pair, part, signatureOf } from '../support/forge.ts';
import { createScope } from '../support/scope.ts';

type Token = readonly [name: string, token: string];

const suite = createScope();
after(suite.close);
let attacked: Attacked;
before(async () => {
  attacked = await startAttacked(suite);
});

/** Each is refused with 401, and the service goes on. */
async function allRefused(tokens: readonly Token[]): Promise<void> {
  for (const [name, token] of tokens) await attacked.refused(name, bearer(token), 401);
}

const rs256 = (head: Parameters<typeof part>[0], body: Parameters<typeof part>[0] = claims()): string =>
  forge(head, body, pairs.rsa, 'RS256');
const withAlg = (alg: unknown): string => rs256(header({ alg }));
/** Signed by one algorithm with one key, and said to be so, or otherwise, by the header. */
const mixed = (kid: string, said: string, pair: Pair, done = said): string =>
  forge({ alg: said, kid }, claims(), pair, done);

describe('tokens signed as they say, by every kind of key, are accepted', () => {
  for (const [kid, alg, pair] of [
    ['rsa', 'RS256', pairs.rsa],
    ['free', 'RS384', pairs.free],
    ['free', 'PS512', pairs.free],
    ['ps', 'PS256', pairs.psOnly],
    ['ec', 'ES256', pairs.ec],
    ['ec384', 'ES384', pairs.ec384],
    ['ed', 'EdDSA', pairs.ed],
  ] as const) {
    test(`${alg} with ${kid}`, () => attacked.allowed(alg, bearer(mixed(kid, alg, pair))));
  }
});

describe('tokens are refused', () => {
  test('whose algorithm is odd', () =>
    allRefused([
      ...['none', 'None', 'nOnE', 'NONE', ' none', 'none ', '', 'RS256 ', ' RS256', 'rs256', 'Rs256', 'RS-256']
        .concat([
          'RS256\u0000',
          'ＲＳ２５６',
          'R\u0405256',
          'RЅ256',
          'RS2５6',
          'RS1',
          'HS256',
          'HS512',
          'A128KW',
          'dir',
        ])
        .map((alg): Token => [`alg ${JSON.stringify(alg)}`, withAlg(alg)]),
      ...[null, true, 256, 0, ['RS256'], [], {}, { alg: 'RS256' }, ['none', 'RS256']].map(
        (alg): Token => [`alg ${JSON.stringify(alg)}`, withAlg(alg)],
      ),
      ['a very long alg', withAlg('R'.repeat(5000))],
      ['no alg', rs256({ kid: 'rsa' })],
      ['alg of the prototype', rs256('{"kid":"rsa","__proto__":{"alg":"RS256"}}')],
      ['alg named by something inherited', withAlg('constructor')],
      ['alg in other case', rs256({ kid: 'rsa', Alg: 'RS256' })],
      ['alg with an empty signature', `${part({ alg: 'none' })}.${part(claims())}.`],
    ]));

  test('whose key is another than their algorithm is for', () => {
    const ecText = `${part({ alg: 'ES256', kid: 'ec' })}.${part(claims())}`;
    return allRefused([
      ['ES256 with a P-384 key', mixed('ec384', 'ES256', pairs.ec384)],
      ['ES384 with a P-256 key', mixed('ec', 'ES384', pairs.ec)],
      ['RS256 for a PS256 key', mixed('ps', 'RS256', pairs.psOnly)],
      ['PS256 for an RS256 key', mixed('rsa', 'PS256', pairs.rsa)],
      ['PS256 said, RS256 done', mixed('free', 'PS256', pairs.free, 'RS256')],
      ['RS256 said, PS256 done', mixed('free', 'RS256', pairs.free, 'PS256')],
      ['RS512 said, RS256 done', mixed('free', 'RS512', pairs.free, 'RS256')],
      ['RS512 for an RS256 key', mixed('rsa', 'RS512', pairs.rsa)],
      ['EdDSA for an EC key', mixed('ec', 'EdDSA', pairs.ed)],
      ['ES256 for an Ed25519 key', mixed('ed', 'ES256', pairs.ec)],
      ['RS256 for an EC key', mixed('ec', 'RS256', pairs.rsa)],
      ['ES256 for an RSA key', mixed('free', 'ES256', pairs.ec)],
      ['EdDSA for an RSA key', mixed('free', 'EdDSA', pairs.ed)],
      ['ES256 by another EC key', mixed('ec', 'ES256', pairs.foreignEc)],
      ['a key for encryption', mixed('enc', 'RS256', pairs.enc)],
      ['a key whose operations do not include verify', mixed('ops', 'RS256', pairs.ops)],
      ['the key of another issuer with the same kid', mixed('rsa', 'RS256', pairs.b)],
      ['the key of the wrong kid', mixed('free', 'RS256', pairs.rsa)],
      ['ES256 signed twice', `${ecText}.${part(Buffer.concat([sig(ecText), sig(ecText)]))}`],
    ]);
  });

  test('whose HMAC is made with a public key', () => {
    const secrets: (readonly [string, string | Buffer])[] = [];
    for (const name of ['rsa', 'ec', 'ed'] as const) {
      const { publicKey } = pairs[name];
      const pem = String(publicKey.export({ type: 'spki', format: 'pem' }));
      const jwk = jwkOf(pairs[name], { kid: name });
      secrets.push([`${name} PEM`, pem], [`${name} PEM after a space`, ` ${pem}`], [`${name} PEM, cut`, pem.trim()]);
      secrets.push([`${name} PEM, CRLF`, pem.replaceAll('\n', '\r\n')]);
      secrets.push([`${name} DER`, publicKey.export({ type: 'spki', format: 'der' })]);
      secrets.push([`${name} JWK`, JSON.stringify(jwk)], [`${name} bare`, String(jwk['n'] ?? jwk['x'])]);
      secrets.push([`${name} raw`, Buffer.from(String(jwk['n'] ?? jwk['x']), 'base64url')]);
    }
    const rsaPem = pairs.rsa.publicKey.export({ type: 'pkcs1', format: 'pem' });
    return allRefused([
      ...secrets.flatMap(([name, secret]): Token[] => [
        [`HS256: ${name}`, forgeHmac({ alg: 'HS256', kid: name.split(' ')[0] }, claims(), secret)],
        [`HS256 said to be RS256: ${name}`, forgeHmac(header(), claims(), secret)],
      ]),
      ['HS256: rsa PKCS#1', forgeHmac({ alg: 'HS256', kid: 'rsa' }, claims(), rsaPem)],
      ['HS256 without kid', forgeHmac({ alg: 'HS256' }, claims(), rsaPem)],
      ['HS256 with nothing', forgeHmac({ alg: 'HS256' }, claims(), '')],
    ]);
  });

  test('whose kid is odd', () =>
    allRefused([
      ...[
        '',
        ' ',
        'rsa ',
        'RSA',
        'r\u0000',
        '../../../dev/null',
        '/etc/passwd',
        "' OR 1=1 --",
        '__proto__',
        'constructor',
      ]
        .concat(['$(id)', '{{7*7}}', '%72sa', 'rsа', `http://127.0.0.1/${CANARY}`, 'rsa\nrsa', '\ud800', '0'])
        .map((kid): Token => [`kid ${JSON.stringify(kid)}`, rs256(header({ kid }))]),
      ...[null, 0, 1e3, true, [], ['rsa'], {}, { toString: 'rsa' }].map(
        (kid): Token => [`kid ${JSON.stringify(kid)}`, rs256(header({ kid }))],
      ),
      ['kid of 5,000 characters', rs256(header({ kid: 'k'.repeat(5000) }))],
      ['kid of a megabyte', rs256(header({ kid: 'k'.repeat(1_048_576) }))],
      ['no kid, signed by nobody known', forge({ alg: 'RS256' }, claims(), pairs.foreign, 'RS256')],
    ]));

  test('that bring their key, or say where it is; nobody goes there', async () => {
    const url = `${attacked.canaryAddress}/jwks.json`;
    const jwk = jwkOf(pairs.foreign, { kid: 'rsa' });
    const withKey = (more: object): string => forge(header(more), claims(), pairs.foreign, 'RS256');
    await allRefused([
      ['jku', withKey({ jku: url })],
      ['jku and no known kid', withKey({ jku: url, kid: 'rsa2' })],
      ['x5u', withKey({ x5u: url })],
      ['jwk', withKey({ jwk })],
      ['jwk without kid', forge({ alg: 'RS256', jwk }, claims(), pairs.foreign, 'RS256')],
      ['x5c', withKey({ x5c: [pairs.foreign.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] })],
      ['x5t', withKey({ x5t: 'AAAA', 'x5t#S256': 'AAAA' })],
      ['jwks', withKey({ jwks: { keys: [jwk] }, jwks_uri: url })],
      ['the issuer is the listener', forge(header(), claims({ iss: attacked.canaryAddress }), pairs.foreign, 'RS256')],
      ['jku by the issuer key of another', forge(header({ jku: url }), claims(), pairs.b, 'RS256')],
      ['kid is the listener', withKey({ kid: url })],
    ]);
    assert.equal(attacked.canaryHits(), 0);
  });

  test('with extensions that must be understood', () =>
    allRefused(
      [['exp'], [], ['b64'], ['b64', 'b64'], 'b64', {}, [null], [5], null, 0, ['__proto__'], ['alg'], ['crit'], ['']]
        .map((crit): Token => [`crit ${JSON.stringify(crit)}`, rs256(header({ crit, b64: true, exp: now() + 60 }))])
        .concat([
          ['crit of something absent', rs256(header({ crit: ['http://example.com/x'] }))],
          ['crit and b64: false', rs256(header({ crit: ['b64'], b64: false }))],
          ['b64: false', rs256(header({ b64: false }))],
          ['b64: "false"', rs256(header({ b64: 'false' }))],
        ]),
    ));

  test('that are encrypted, nested, or of more or fewer parts', () => {
    const good = goodToken();
    const [head = '', body = '', signature = ''] = good.split('.');
    const jwe = part({ alg: 'RSA-OAEP', enc: 'A256GCM', zip: 'DEF', kid: 'rsa' });
    const pbes = part({ alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2 ** 31, p2s: 'AAAA' });
    return allRefused([
      ['JWE', `${jwe}.AAAA.AAAA.AAAA.AAAA`],
      ['JWE with an empty key', `${jwe}..AAAA.AAAA.AAAA`],
      ['PBES2', `${pbes}.AAAA.AAAA.AAAA.AAAA`],
      ['JWE header on three parts', forge({ alg: 'dir', enc: 'A256GCM' }, claims(), pairs.rsa, 'RS256')],
      ['nested', rs256(header({ cty: 'JWT' }), good)],
      ['nested twice', rs256(header({ cty: 'JWT' }), rs256(header({ cty: 'JWT' }), good))],
      ['nested in quotes', rs256(header({ cty: 'JWT' }), JSON.stringify(good))],
      ['one part', head],
      ['two parts', `${head}.${body}`],
      ['no header', `.${body}.${signature}`],
      ['no payload', `${head}..${signature}`],
      ['no signature', `${head}.${body}.`],
      ['four parts', `${good}.AAAA`],
      ['four parts, the last empty', `${good}.`],
      ['a dot before', `.${good}`],
      ['dots only', '..'],
      ['two tokens in a row', `${good}${good}`],
      ['two tokens joined by a dot', `${good}.${good}`],
      ['two tokens joined by a tilde (SD-JWT)', `${good}~AAAA~`],
    ]);
  });

  test('whose signature is another, or spelled in another way', () => {
    const [head = '', body = '', signature = ''] = goodToken().split('.');
    const rsa = Buffer.from(signature, 'base64url');
    const ecText = `${part({ alg: 'ES256', kid: 'ec' })}.${part(claims())}`;
    const edText = `${part({ alg: 'EdDSA', kid: 'ed' })}.${part(claims())}`;
    const raw = sig(ecText);
    const [r, s] = [raw.subarray(0, 32), raw.subarray(32)];
    const zero = Buffer.alloc(32);
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
    const ec = (bytes: Buffer): string => `${ecText}.${part(bytes)}`;
    const ed = signatureOf('EdDSA', edText, pairs.ed);
    const rs = (bytes: Buffer): string => `${head}.${body}.${part(bytes)}`;
    return allRefused([
      ['r and s are zero', ec(Buffer.concat([zero, zero]))],
      ['r is zero', ec(Buffer.concat([zero, s]))],
      ['s is zero', ec(Buffer.concat([r, zero]))],
      ['r is the order', ec(Buffer.concat([order, s]))],
      ['s is the order', ec(Buffer.concat([r, order]))],
      ['r and s are the order', ec(Buffer.concat([order, order]))],
      ['r and s are one', ec(Buffer.concat([Buffer.alloc(31), Buffer.from([1]), Buffer.alloc(31), Buffer.from([1])]))],
      ['s and r', ec(Buffer.concat([s, r]))],
      ['DER', ec(derOf(r, s))],
      ['s is short', ec(raw.subarray(0, 63))],
      ['s is long', ec(Buffer.concat([raw, Buffer.from([0])]))],
      ['r is padded', ec(Buffer.concat([Buffer.from([0]), r, Buffer.from([0]), s]))],
      ['half', ec(r)],
      ['nothing but ones', ec(Buffer.alloc(64, 0xff))],
      ['a short Ed25519 signature', `${edText}.${part(ed.subarray(0, 63))}`],
      ['an Ed25519 signature of zeros', `${edText}.${part(Buffer.alloc(64))}`],
      ['S beyond the order (Ed25519)', `${edText}.${part(beyondOrder(ed))}`],
      ['RSA, a byte short', rs(rsa.subarray(1))],
      ['RSA, a zero before', rs(Buffer.concat([Buffer.from([0]), rsa]))],
      ['RSA, a zero behind', rs(Buffer.concat([rsa, Buffer.from([0])]))],
      ['RSA, zeros', rs(Buffer.alloc(256))],
      ['RSA, one', rs(Buffer.concat([Buffer.alloc(255), Buffer.from([1])]))],
      ['RSA, of 4096 bits', rs(Buffer.alloc(512, 0x41))],
      ['RSA, ones', rs(Buffer.alloc(256, 0xff))],
      ['padding', `${head}.${body}.${signature}==`],
      ['padding in the header', `${head}=.${body}.${signature}`],
      ['standard alphabet', `${head}.${body}.+/${signature.slice(2)}`],
      ['other trailing bits', `${head}.${body}.${otherTail(signature)}`],
      ['a character more', `${head}.${body}.${signature}A`],
      ['a space inside', `${head}.${body}.${signature.slice(0, 9)} ${signature.slice(9)}`],
      ['a space before the dot', `${head} .${body}.${signature}`],
      ['a line feed inside', `${head}.${body}.${signature.slice(0, 9)}\n${signature.slice(9)}`],
      ['a percent escape', `${head}.${body}.${signature.slice(0, -1)}%41`],
      ['the signature of another token', `${head}.${part(claims({ jti: 'x' }))}.${signature}`],
      ['the header re-encoded', `${part(` ${JSON.stringify(header())}`)}.${body}.${signature}`],
    ]);
  });

  test('again and again, whatever came before', async () => {
    const odd = rs256(header({ alg: 'none' }));
    for (let i = 0; i < 50; i++) await attacked.refused('alg none', bearer(odd), 401);
    await attacked.refused('issuer as a number', bearer(rs256(header(), claims({ iss: 5 }))), 401);
    assert.equal(issuerA, 'https://a.test/');
  });
});

test('a signature whose s is the other one of the two is the same signature (RFC 7518 section 3.4 knows no low s)', async () => {
  const text = `${part({ alg: 'ES256', kid: 'ec' })}.${part(claims())}`;
  const raw = sig(text);
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const s = order - BigInt(`0x${raw.subarray(32).toString('hex')}`);
  const other = Buffer.concat([raw.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
  await attacked.allowed('the other s', bearer(`${text}.${part(other)}`));
});

const sig = (text: string): Buffer => signatureOf('ES256', text, pairs.ec);

/** ECDSA-Sig-Value (RFC 3279 section 2.2.3). */
function derOf(r: Buffer, s: Buffer): Buffer {
  const integer = (value: Buffer): Buffer => {
    const positive = (value[0] ?? 0) > 127 ? Buffer.concat([Buffer.from([0]), value]) : value;
    return Buffer.concat([Buffer.from([2, positive.length]), positive]);
  };
  const both = Buffer.concat([integer(r), integer(s)]);
  return Buffer.concat([Buffer.from([0x30, both.length]), both]);
}

/** The same S modulo the order of Ed25519, which RFC 8032 section 5.1.7 tells verifiers to refuse. */
function beyondOrder(signature: Buffer): Buffer {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order;
  const bytes = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
  return Buffer.concat([signature.subarray(0, 32), bytes]);
}

/** The same bytes: the last character of 342 holds four bits that nobody reads. */
function otherTail(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(signature.at(-1) ?? '');
  return signature.slice(0, -1) + alphabet[last + 1];
}
