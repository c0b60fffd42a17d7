import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createIdentify, type Identification } from '../../src/identity/identify.ts';
import type { RequestFacts } from '../../src/model/facts.ts';
import { refusalReasons } from '../../src/model/reasons.ts';
import { facts } from '../support/facts.ts';
import { ecPair, edPair, forge, jwkOf, type Pair, rsaPair } from '../support/forge.ts';
import { createScope } from '../support/scope.ts';
import { scratchFolder } from '../support/servers.ts';

/* Valid tokens with something changed. The seed is fixed, so that what fails once fails again. */

const SEED = 20_260_728;
const MUTATIONS = 20_000;
const issuer = 'https://i.test/';
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Numbers from 0 to 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const random = randomFrom(SEED);
const below = (n: number): number => Math.floor(random() * n);
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)] as T;

/** Flips one bit of one part's bytes. */
function flipBit(token: string): string {
  const parts = token.split('.');
  const i = below(parts.length);
  const bytes = Buffer.from(parts[i] ?? '', 'base64url');
  const at = below(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
  parts[i] = bytes.toString('base64url');
  return parts.join('.');
}

const replaceAt = (text: string, at: number, length: number, by: string): string =>
  text.slice(0, at) + by + text.slice(at + length);

const mutations: readonly ((token: string, other: string) => string)[] = [
  flipBit,
  (token) => flipBit(flipBit(token)),
  (token) => replaceAt(token, below(token.length), 1, oneOf([...ALPHABET])),
  (token) => replaceAt(token, below(token.length), 1, String.fromCharCode(below(256))),
  (token) => replaceAt(token, below(token.length), 0, oneOf([...ALPHABET, '.', '=', ' ', '\u0000'])),
  (token) => replaceAt(token, below(token.length), 1 + below(8), ''),
  (token) => token.slice(0, below(token.length)),
  (token) => token.slice(1 + below(token.length)),
  (token, other) => exchange(token, other, below(3)),
  (token) => oneOf([token.toUpperCase(), token.toLowerCase(), [...token].reverse().join('')]),
  (token) => `${token}${oneOf(['=', '.', 'A', ' x', '\n.', '\ud800', '%00'])}`,
];

/** The token with one part of another one. */
function exchange(token: string, other: string, i: number): string {
  const parts = token.split('.');
  parts[i] = other.split('.')[i] ?? '';
  return parts.join('.');
}

const pairs: { readonly [alg: string]: Pair } = {
  RS256: rsaPair(),
  PS256: rsaPair(),
  ES256: ecPair(),
  EdDSA: edPair(),
};

function tokensOf(alg: string, pair: Pair): readonly string[] {
  const now = Math.floor(Date.now() / 1000);
  return Array.from({ length: 10 }, (_, jti) =>
    forge(
      { alg, ...(jti % 2 === 0 ? { kid: alg } : {}), typ: 'JWT' },
      { iss: issuer, sub: `user-${jti}`, aud: 'api', iat: now, exp: now + 600, jti, alg },
      pair,
      alg,
    ),
  );
}

describe('valid tokens with something changed', () => {
  const suite = createScope();
  after(suite.close);
  let identification: Identification;

  before(async () => {
    const file = join(scratchFolder(suite), 'keys.json');
    const keys = Object.entries(pairs).map(([alg, pair]) => jwkOf(pair, { kid: alg, alg }));
    writeFileSync(file, JSON.stringify({ keys }));
    identification = createIdentify({
      config: {
        required: true,
        token: {
          header: 'authorization',
          scheme: 'bearer',
          cookie: 'session',
          query: 'access_token',
          metadata: null,
          forward: true,
        },
        rules: [],
        workload: { trust_domains: ['cluster.local'], xfcc: true },
        claims_to_headers: {},
        identity_headers: [],
        remove_forwarded: false,
        issuers: [
          {
            issuer,
            jwks_file: file,
            verified_by: 'postern',
            discovery: false,
            audiences: ['api'],
            algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
            leeway_seconds: 60,
            max_lifetime_seconds: 86_400,
            jwks_mirrors: [],
            allow_http: false,
            max_stale_seconds: 86_400,
            required_claims: [],
          },
        ],
      },
      clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() },
      random: Math.random,
      log: { warn: () => {} },
      onCache: () => {},
      onKeys: () => {},
      onReady: () => {},
    });
    suite.after(identification.stop);
    await identification.start();
  });

  const requestsWith = (token: string): RequestFacts =>
    oneOf([
      facts({ headers: { authorization: `Bearer ${token}` } }),
      facts({ headerList: [['Authorization', `bearer ${token}`]] }),
      facts({ headers: { cookie: `a=1; session=${token}` } }),
      facts({ path: `/a?access_token=${token}` }),
    ]);

  test(`are never good, and never an error of ours (${MUTATIONS} of them, seed ${SEED})`, async (context) => {
    const tokens = Object.entries(pairs).flatMap(([alg, pair]) => tokensOf(alg, pair));
    const valid = new Set(tokens);
    for (const token of tokens) {
      const result = await identification.identify(facts({ headers: { authorization: `Bearer ${token}` } }));
      assert.ok(result.ok, JSON.stringify(result));
    }
    const reasons = new Map<string, number>();
    for (let i = 0; i < MUTATIONS; i++) {
      const mutated = oneOf(mutations)(oneOf(tokens), oneOf(tokens));
      // Parts exchanged between tokens of one header, a change that was none, or a blank around the token.
      if (valid.has(mutated.replace(/^ | $/, ''))) continue;
      const request = requestsWith(mutated);
      const result = await identification.identify(request);
      assert.ok(!result.ok, `accepted: ${JSON.stringify(request.headers)} ${request.path}`);
      assert.ok(refusalReasons.includes(result.reason));
      assert.notEqual(result.reason, 'internal_error', `${result.cause}: ${mutated}`);
      assert.notEqual(result.reason, 'keys_unavailable', mutated);
      reasons.set(result.reason, (reasons.get(result.reason) ?? 0) + 1);
    }
    context.diagnostic(JSON.stringify(Object.fromEntries(reasons)));
    for (const reason of ['token_malformed', 'token_signature', 'token_algorithm', 'token_issuer']) {
      assert.ok((reasons.get(reason) ?? 0) > 0, `none was ${reason}`);
    }
  });
});
