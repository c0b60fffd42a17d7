import type { IdentityConfig, IssuerConfig } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity, IdentityResult, TokenPlace, Workload } from '../model/identity.ts';
import { malformed, tooLarge } from './bearer.ts';
import { createTokenCache } from './cache.ts';
import { checkClaims, checkType, TokenError } from './claims.ts';
import { createJwks, type Jwks } from './jwks.ts';
import { keyOriginsOf } from './key-origin.ts';
import { createKeyStore } from './key-store.ts';
import { createRules } from './rules.ts';
import { workloadOf } from './spiffe.ts';
import { peekTokenPart, readTokenPart } from './token-json.ts';
import { tokensOf } from './token-source.ts';
import { KeysUnavailable, verifySignature } from './verify.ts';
import { workloadOfXfcc } from './xfcc.ts';

export type IdentifyOptions = {
  readonly config: IdentityConfig;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: { readonly warn: (fields: object, message: string) => void };
  readonly onCache: (hit: boolean) => void;
  readonly onKeys: (issuer: string, ok: boolean) => void;
  /** `isReady` may have changed. */
  readonly onReady: () => void;
};

export type Identification = {
  /** Answers at once for a token that was verified before. Never rejects. */
  readonly identify: (facts: RequestFacts) => IdentityResult | Promise<IdentityResult>;
  /** Resolves after the first attempt to get each issuer's keys. */
  readonly start: () => Promise<void>;
  readonly stop: () => void;
  /** Whether every issuer has keys. */
  readonly isReady: () => boolean;
  readonly status: () => object;
  /** Issuers that have a key set, with its age in seconds. */
  readonly keySetAges: () => readonly (readonly [issuer: string, seconds: number])[];
};

type Issuer = { readonly config: IssuerConfig; readonly jwks: Jwks };

const anonymous: Identity = { authenticated: false };
const missing: IdentityResult = { ok: false, reason: 'token_missing', cause: 'no token' };
const unwanted: IdentityResult = { ok: false, reason: 'token_forbidden', cause: 'a token where none may be' };
const several: IdentityResult = { ok: false, reason: 'authorization_ambiguous', cause: 'more than one token' };

/** Who is calling: the token of a request, verified, and the workload that its connection belongs to. */
export function createIdentify(options: IdentifyOptions): Identification {
  const { config, clock, random, log } = options;
  const cache = createTokenCache(clock);
  const issuers = new Map<string, Issuer>();
  for (const issuer of config.issuers) {
    const jwks = createJwks({
      origins: keyOriginsOf(issuer),
      store: config.keys_directory === undefined ? undefined : createKeyStore(config.keys_directory, issuer.issuer),
      maxStaleMs: issuer.max_stale_seconds * 1000,
      clock,
      random,
      onChanged: () => cache.forgetIssuer(issuer.issuer),
      onFetched: (ok, cause) => {
        options.onKeys(issuer.issuer, ok);
        if (!ok) log.warn({ issuer: issuer.issuer, cause }, 'the key set could not be fetched');
        options.onReady();
      },
    });
    issuers.set(issuer.issuer, { config: issuer, jwks });
  }

  async function verify(token: string): Promise<IdentityResult> {
    try {
      const [head = '', body = ''] = token.split('.');
      const header = peekTokenPart(head);
      const { iss } = peekTokenPart(body);
      const issuer = typeof iss === 'string' ? issuers.get(iss) : undefined;
      if (issuer === undefined) throw new TokenError('token_issuer', 'iss is none of the configured issuers');
      checkType(header, issuer.config);
      const { alg, kid, keys } = await verifySignature(token, header, issuer.config, issuer.jwks);
      readTokenPart(head);
      const claims = readTokenPart(body);
      const { subject, expiresAt, validFrom, validUntil } = checkClaims(claims, issuer.config, clock.wallMs() / 1000);
      const identity: Identity = {
        authenticated: true,
        issuer: issuer.config.issuer,
        subject,
        claims,
        token: { alg, ...(kid === undefined ? {} : { kid }), expires_at: expiresAt, source: 'header' },
      };
      // Keys that changed meanwhile have emptied the cache already, and would not do so again.
      if (issuer.jwks.current() === keys) {
        const valid = { fromMs: validFrom * 1000, untilMs: validUntil * 1000 };
        cache.set(token, issuer.config.issuer, identity, valid);
      }
      return { ok: true, identity };
    } catch (error) {
      if (error instanceof TokenError) return { ok: false, reason: error.reason, cause: error.message };
      const reason = error instanceof KeysUnavailable ? 'keys_unavailable' : 'internal_error';
      return { ok: false, reason, cause: messageOf(error) };
    }
  }

  const all = [...issuers.values()];
  const { trust_domains: trustDomains, xfcc } = config.workload;
  const needOf = createRules(config);

  function workloadIn(facts: RequestFacts): Workload | undefined {
    if (trustDomains.length === 0) return undefined;
    if (!xfcc) return workloadOf(facts.sourcePrincipal, trustDomains);
    const header = onlyHeader(facts, 'x-forwarded-client-cert');
    return header === undefined ? undefined : workloadOfXfcc(header, trustDomains);
  }

  /** What was verified with keys that have become too old is no longer verified. */
  const stillKeyed = (identity: Identity | undefined): Identity | undefined =>
    identity?.issuer === undefined || issuers.get(identity.issuer)?.jwks.current() === undefined ? undefined : identity;

  function fromToken(facts: RequestFacts): IdentityResult | Promise<IdentityResult> {
    const need = needOf(facts);
    const found = tokensOf(facts, config.token);
    if (found === 'ambiguous') return several;
    const [first, ...others] = found;
    if (first === undefined) return need === 'required' ? missing : { ok: true, identity: anonymous };
    if (need === 'forbidden') return unwanted;
    const { token, source } = first;
    if (others.some((other) => other.token !== token)) return several;
    const long = tooLarge(token);
    if (long !== undefined) return { ok: false, ...long };
    // What is remembered has been looked at before.
    const known = stillKeyed(cache.get(token));
    options.onCache(known !== undefined);
    if (known !== undefined) return { ok: true, identity: withPlace(known, source) };
    const oddity = malformed(token);
    if (oddity !== undefined) return { ok: false, ...oddity };
    return source === 'header' ? verify(token) : verify(token).then((result) => placed(result, source));
  }

  return {
    identify: (facts) => {
      const result: IdentityResult | Promise<IdentityResult> =
        all.length === 0 ? { ok: true, identity: anonymous } : fromToken(facts);
      const workload = workloadIn(facts);
      if (workload === undefined) return result;
      return result instanceof Promise ? result.then((done) => joined(done, workload)) : joined(result, workload);
    },
    start: async () => {
      await Promise.all(all.map(({ jwks }) => jwks.start()));
    },
    stop: () => {
      for (const { jwks } of all) jwks.stop();
    },
    isReady: () => all.every(({ jwks }) => jwks.current() !== undefined),
    keySetAges: () =>
      all.flatMap(({ config: { issuer }, jwks }) => {
        const age = jwks.status().age_seconds;
        return age === null ? [] : [[issuer, age] as const];
      }),
    status: () => Object.fromEntries(all.map(({ config: { issuer }, jwks }) => [issuer, jwks.status()])),
  };
}

/** What is remembered of a token says header; a copy is made only where that is not so. */
const withPlace = (identity: Identity, source: TokenPlace): Identity =>
  source === 'header' || identity.token === undefined
    ? identity
    : { ...identity, token: { ...identity.token, source } };

const placed = (result: IdentityResult, source: TokenPlace): IdentityResult =>
  result.ok && result.identity !== undefined ? { ok: true, identity: withPlace(result.identity, source) } : result;

const joined = (result: IdentityResult, workload: Workload): IdentityResult =>
  result.ok ? { ok: true, identity: { ...(result.identity ?? anonymous), workload } } : result;

/** The value of a header that is there once, in whatever spelling. */
function onlyHeader({ headers, headerList }: RequestFacts, name: string): string | undefined {
  const values = [...Object.entries(headers), ...headerList].filter(([key]) => key.toLowerCase() === name);
  return values.length === 1 ? values[0]?.[1] : undefined;
}
