import type { IdentityConfig, IssuerConfig } from '../config/schema.ts';
import { messageOf } from '../lib/message.ts';
import type { RequestFacts } from '../model/facts.ts';
import type { Identity, IdentityResult } from '../model/identity.ts';
import type { JsonObject } from '../model/json.ts';
import { malformed, tooLarge } from './bearer.ts';
import { checkClaims, checkType, TokenError } from './claims.ts';
import { type Payload, payloadOf } from './payload.ts';
import { sameClaims, sameToken } from './same-claims.ts';
import { readTokenPart } from './token-json.ts';
import { tokensOf } from './token-source.ts';

type Result = IdentityResult | Promise<IdentityResult>;

export type VouchedParts = {
  readonly config: IdentityConfig;
  /** Seconds since the epoch. */
  readonly now: () => number;
  /** Whether no token may be there. */
  readonly isForbidden: (facts: RequestFacts) => boolean;
  /** Who is calling by the tokens of the request alone. */
  readonly identify: (facts: RequestFacts) => Result;
};

const unwanted: IdentityResult = { ok: false, reason: 'token_forbidden', cause: 'a token where none may be' };
const others: IdentityResult = {
  ok: false,
  reason: 'authorization_ambiguous',
  cause: 'the metadata is of another token than the request',
};

/**
 * Who is calling, where Envoy may have verified a token and left its payload (`postern.identity.token.metadata`). A token
 * that is there as well must be the same one: it is verified where its issuer has keys; where it has none, it must repeat
 * the payload in all its claims, or it would go upstream with others than those that were verified.
 */
export function identifyVouched({ config, now, isForbidden, identify }: VouchedParts): (facts: RequestFacts) => Result {
  const { metadata } = config.token;
  if (metadata === null) return identify;
  const issuers = new Map(config.issuers.map((issuer) => [issuer.issuer, issuer]));

  const vouchedIn = (facts: RequestFacts): IdentityResult | undefined => {
    try {
      const payload = payloadOf(facts, metadata);
      return payload === undefined ? undefined : { ok: true, identity: identityOf(payload, issuers, now()) };
    } catch (error) {
      if (error instanceof TokenError) return { ok: false, reason: error.reason, cause: error.message };
      return { ok: false, reason: 'internal_error', cause: messageOf(error) };
    }
  };

  return (facts) => {
    const vouched = vouchedIn(facts);
    if (vouched === undefined) return identify(facts);
    if (isForbidden(facts)) return unwanted;
    if (!vouched.ok) return vouched;
    const found = tokensOf(facts, config.token);
    if (found.length === 0) return vouched;
    const { issuer = '', claims = {} } = vouched.identity ?? {};
    if (found !== 'ambiguous' && issuers.get(issuer)?.verified_by === 'envoy') {
      const [text, ...more] = new Set(found.map(({ token }) => token));
      const lists = metadata.space_delimited_claims;
      if (text !== undefined && more.length === 0 && repeats(text, claims, lists)) return vouched;
    }
    const own = identify(facts);
    return own instanceof Promise ? own.then((done) => agreed(done, claims)) : agreed(own, claims);
  };
}

/** The caller by a payload whose signature Envoy has verified. Throws TokenError. */
function identityOf(
  { claims, header }: Payload,
  issuers: ReadonlyMap<string, IssuerConfig>,
  nowSeconds: number,
): Identity {
  const issuer = typeof claims['iss'] === 'string' ? issuers.get(claims['iss']) : undefined;
  if (issuer === undefined) throw new TokenError('token_issuer', 'iss is none of the configured issuers');
  checkType(header ?? {}, issuer);
  const { alg, kid } = header ?? {};
  if (header !== undefined && !issuer.algorithms.some((accepted) => accepted === alg)) {
    throw new TokenError('token_algorithm', 'alg is not accepted for this issuer');
  }
  if (kid !== undefined && typeof kid !== 'string') throw new TokenError('token_malformed', 'kid is no string');
  const { subject, expiresAt } = checkClaims(claims, issuer, nowSeconds);
  return {
    authenticated: true,
    issuer: issuer.issuer,
    subject,
    claims,
    token: {
      ...(typeof alg === 'string' ? { alg } : {}),
      ...(kid === undefined ? {} : { kid }),
      expires_at: expiresAt,
      source: 'metadata',
    },
  };
}

/** Whether a token, whose signature nobody here can verify, says the same as the payload. */
function repeats(token: string, payload: JsonObject, lists: readonly string[]): boolean {
  if (tooLarge(token) !== undefined || malformed(token) !== undefined) return false;
  try {
    return sameClaims(readTokenPart(token.split('.')[1] ?? ''), payload, lists);
  } catch {
    return false;
  }
}

const agreed = (own: IdentityResult, payload: JsonObject): IdentityResult =>
  own.ok && !sameToken(own.identity?.claims ?? {}, payload) ? others : own;
