import type { IdentityConfig, IssuerConfig } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import { onlyHeader } from '../lib/request-headers.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity, IdentityResult, TokenPlace, Workload } from '../model/identity.ts';
import type { JsonObject } from '../model/json.ts';
import { malformed, tooLarge } from './bearer.ts';
import { createTokenCache } from './cache.ts';
import { checkClaims, checkType, TokenError } from './claims.ts';
import { createJoin } from './joined.ts';
import { createJwks, type Jwks, type JwksOptions } from './jwks.ts';
import { createJwtSvids, type JwtBundles } from './jwt-svid.ts';
import { keyOriginsOf } from './key-origin.ts';
import { createKeyStore } from './key-store.ts';
import { createRules } from './rules.ts';
import { createSharedJwks, type KeyHolder } from './shared-jwks.ts';
import { workloadOf } from './spiffe.ts';
import { peekTokenPart, readTokenPart } from './token-json.ts';
import { tokensOf } from './token-source.ts';
import { KeysUnavailable, verifySignature } from './verify.ts';
import { identifyVouched } from './vouched.ts';
import { workloadOfXfcc } from './xfcc.ts';

export type IdentifyOptions = {
  readonly config: IdentityConfig;
  readonly clock: Clock;
  readonly random: () => number;
  /** Needed where a trust domain's bundle comes from the Workload API. */
  readonly jwtBundles?: JwtBundles | undefined;
  /** Another process that looks after the keys; undefined: this one does. */
  readonly holder?: KeyHolder | undefined;
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
  /** Whether every issuer has keys, but for those whose tokens Envoy verifies. */
  readonly isReady: () => boolean;
  readonly status: () => object;
  /** By issuer. */
  readonly keys: ReadonlyMap<string, Jwks>;
  /** Seconds since the keys of each issuer were fetched; Infinity where there are none. */
  readonly keyAges: () => readonly (readonly [issuer: string, seconds: number])[];
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
  const keysOf = (name: string, keys: Pick<JwksOptions, 'origins' | 'parse' | 'maxStaleMs'>): Jwks => {
    const common: Omit<JwksOptions, 'store'> = {
      ...keys,
      clock,
      random,
      onChanged: () => cache.forgetIssuer(name),
      onFetched: (ok, cause) => {
        options.onKeys(name, ok);
        // Whoever fetches them has said so already.
        if (options.holder !== undefined) {
          options.onReady();
          return;
        }
        if (!ok) log.warn({ issuer: name, cause }, 'the key set could not be fetched');
        else if (jwks.current()?.keys.length === 0) log.warn({ issuer: name }, 'the bundle has no JWT authorities');
        options.onReady();
      },
    };
    const directory = config.keys_directory;
    const store = directory === undefined ? undefined : createKeyStore(directory, name);
    const jwks: Jwks =
      options.holder === undefined ? createJwks({ ...common, store }) : createSharedJwks(name, common, options.holder);
    return jwks;
  };
  for (const issuer of config.issuers) {
    // It has no keys: its tokens count where Envoy has verified them, and nowhere else.
    if (issuer.verified_by === 'envoy') continue;
    const jwks = keysOf(issuer.issuer, { origins: keyOriginsOf(issuer), maxStaleMs: issuer.max_stale_seconds * 1000 });
    issuers.set(issuer.issuer, { config: issuer, jwks });
  }
  const svids = createJwtSvids(config.workload.jwt_svid, options.jwtBundles, keysOf);

  const isVouchedFor = (iss: unknown): boolean =>
    config.issuers.some(({ issuer, verified_by: by }) => issuer === iss && by === 'envoy');

  async function verify(token: string): Promise<IdentityResult> {
    try {
      const [head = '', body = ''] = token.split('.');
      const header = peekTokenPart(head);
      const { iss } = peekTokenPart(body);
      const issuer = typeof iss === 'string' ? issuers.get(iss) : undefined;
      if (issuer === undefined) {
        if (isVouchedFor(iss)) throw new TokenError('token_issuer', 'tokens of iss count where Envoy verified them');
        return await verifySvid(token, readTokenPart(head), readTokenPart(body));
      }
      checkType(header, issuer.config);
      const { alg, kid, keys } = await verifySignature(token, header, issuer.config.algorithms, issuer.jwks);
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

  async function verifySvid(token: string, header: JsonObject, claims: JsonObject): Promise<IdentityResult> {
    const verified = await svids.verify(token, header, claims, clock.wallMs() / 1000);
    const { identity, jwks, keys, validFrom, validUntil } = verified;
    if (jwks.current() === keys) {
      cache.set(token, identity.issuer ?? '', identity, { fromMs: validFrom * 1000, untilMs: validUntil * 1000 });
    }
    return { ok: true, identity };
  }

  const all = new Map([...[...issuers].map(([name, { jwks }]) => [name, jwks] as const), ...svids.keys]);
  const { trust_domains: trustDomains, xfcc } = config.workload;
  const needOf = createRules(config);
  const join = createJoin(config.workload.jwt_svid !== undefined);

  function workloadIn(facts: RequestFacts): Workload | undefined {
    if (trustDomains.length === 0) return undefined;
    if (!xfcc) return workloadOf(facts.sourcePrincipal, trustDomains);
    const header = onlyHeader(facts, 'x-forwarded-client-cert');
    return header === undefined ? undefined : workloadOfXfcc(header, trustDomains);
  }

  /** What was verified with keys that have become too old is no longer verified. */
  const stillKeyed = (identity: Identity | undefined): Identity | undefined =>
    identity?.issuer === undefined || all.get(identity.issuer)?.current() === undefined ? undefined : identity;

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

  const identifyCaller = identifyVouched({
    config,
    now: () => clock.wallMs() / 1000,
    isForbidden: (facts) => needOf(facts) === 'forbidden',
    identify: fromToken,
  });

  return {
    identify: (facts) => {
      const result: IdentityResult | Promise<IdentityResult> =
        all.size === 0 && config.issuers.length === 0 ? { ok: true, identity: anonymous } : identifyCaller(facts);
      const workload = workloadIn(facts);
      if (workload === undefined) return result;
      return result instanceof Promise ? result.then((done) => join(done, workload)) : join(result, workload);
    },
    start: async () => {
      await Promise.all([...all.values()].map((jwks) => jwks.start()));
    },
    stop: () => {
      for (const jwks of all.values()) jwks.stop();
    },
    isReady: () => [...all.values()].every((jwks) => jwks.current() !== undefined),
    status: () => Object.fromEntries([...all].map(([name, jwks]) => [name, jwks.status()])),
    keys: all,
    keyAges: () => [...all].map(([name, jwks]) => [name, jwks.status().age_seconds ?? Number.POSITIVE_INFINITY]),
  };
}

/** What is remembered of a token says header; a copy is made only where that is not so. */
const withPlace = (identity: Identity, source: TokenPlace): Identity =>
  source === 'header' || identity.token === undefined
    ? identity
    : { ...identity, token: { ...identity.token, source } };

const placed = (result: IdentityResult, source: TokenPlace): IdentityResult =>
  result.ok && result.identity !== undefined ? { ok: true, identity: withPlace(result.identity, source) } : result;
