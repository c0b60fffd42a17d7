import type { IdentityConfig, IssuerConfig } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/message.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity, IdentityResult } from '../model/identity.ts';
import { bearerOf } from './bearer.ts';
import { createTokenCache } from './cache.ts';
import { checkClaims, checkType, TokenError } from './claims.ts';
import { createJwks, type Jwks } from './jwks.ts';
import { keyOriginsOf } from './key-origin.ts';
import { createKeyStore } from './key-store.ts';
import { readTokenPart } from './token-json.ts';
import { KeysUnavailable, verifySignature } from './verify.ts';

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
};

type Issuer = { readonly config: IssuerConfig; readonly jwks: Jwks };

const anonymous: IdentityResult = { ok: true, identity: { authenticated: false } };
const missing: IdentityResult = { ok: false, reason: 'token_missing', cause: 'no bearer token' };

/** Who is calling: the bearer token of a request, verified. */
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
      const header = readTokenPart(head);
      const claims = readTokenPart(body);
      const issuer = typeof claims['iss'] === 'string' ? issuers.get(claims['iss']) : undefined;
      if (issuer === undefined) throw new TokenError('token_issuer', 'iss is none of the configured issuers');
      checkType(header, issuer.config);
      const { alg, kid, keys } = await verifySignature(token, header, issuer.config, issuer.jwks);
      const { subject, expiresAt } = checkClaims(claims, issuer.config, clock.wallMs() / 1000);
      const identity: Identity = {
        authenticated: true,
        issuer: issuer.config.issuer,
        subject,
        claims,
        token: { alg, ...(kid === undefined ? {} : { kid }), expires_at: expiresAt, source: 'header' },
      };
      // Keys that changed meanwhile have emptied the cache already, and would not do so again.
      if (issuer.jwks.current() === keys) {
        cache.set(token, issuer.config.issuer, identity, (expiresAt + issuer.config.leeway_seconds) * 1000);
      }
      return { ok: true, identity };
    } catch (error) {
      if (error instanceof TokenError) return { ok: false, reason: error.reason, cause: error.message };
      const reason = error instanceof KeysUnavailable ? 'keys_unavailable' : 'internal_error';
      return { ok: false, reason, cause: messageOf(error) };
    }
  }

  const all = [...issuers.values()];
  return {
    identify: (facts) => {
      const bearer = bearerOf(facts);
      if (bearer.kind === 'absent') return config.required ? missing : anonymous;
      if (bearer.kind === 'refused') return { ok: false, reason: bearer.reason, cause: bearer.cause };
      const known = cache.get(bearer.token);
      options.onCache(known !== undefined);
      return known === undefined ? verify(bearer.token) : { ok: true, identity: known };
    },
    start: async () => {
      await Promise.all(all.map(({ jwks }) => jwks.start()));
    },
    stop: () => {
      for (const { jwks } of all) jwks.stop();
    },
    isReady: () => all.every(({ jwks }) => jwks.current() !== undefined),
    status: () => Object.fromEntries(all.map(({ config: { issuer }, jwks }) => [issuer, jwks.status()])),
  };
}
