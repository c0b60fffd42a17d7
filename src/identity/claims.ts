import type { IssuerConfig } from '../config/schema.ts';
import type { JsonObject } from '../model/json.ts';
import type { RefusalReason } from '../model/reasons.ts';
import { numberOf } from '../values/json.ts';

/** A token is refused. The cause names what is wrong and never repeats the token's content. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly reason: RefusalReason;
  constructor(reason: RefusalReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Seconds since the epoch. */
export type Times = {
  readonly expiresAt: number;
  /** When, leeway and longest lifetime included, the claims begin to be good, and when they no longer are. */
  readonly validFrom: number;
  readonly validUntil: number;
};

/** Checks the registered claims (RFC 7519 section 4.1) as the issuer's configuration says. Throws TokenError. */
export function checkClaims(
  claims: JsonObject,
  issuer: IssuerConfig,
  nowSeconds: number,
): Times & { readonly subject: string } {
  if (claims['iss'] !== issuer.issuer) throw new TokenError('token_issuer', 'iss is another issuer');
  const subject = claims['sub'];
  if (typeof subject !== 'string' || subject === '') throw new TokenError('token_claims', 'sub is missing');
  const times = checkTimes(claims, issuer, nowSeconds);
  if (issuer.audiences.length > 0) checkAudience(claims, issuer.audiences);
  const absent = issuer.required_claims.find((name) => !Object.hasOwn(claims, name) || claims[name] === null);
  if (absent !== undefined) throw new TokenError('token_claims', `${absent} is missing`);
  return { subject, ...times };
}

type TimeRules = Pick<IssuerConfig, 'leeway_seconds' | 'max_lifetime_seconds'>;

/** Checks `exp`, which must be there, `nbf` and `iat`. Throws TokenError. */
export function checkTimes(claims: JsonObject, rules: TimeRules, nowSeconds: number): Times {
  const { leeway_seconds: leeway, max_lifetime_seconds: lifetime } = rules;
  const expiresAt = numericDate(claims, 'exp');
  if (expiresAt === undefined) throw new TokenError('token_claims', 'exp is missing');
  if (expiresAt + leeway <= nowSeconds) throw new TokenError('token_expired', 'exp has passed');
  if (expiresAt > nowSeconds + lifetime + leeway) throw new TokenError('token_claims', 'exp is too far away');
  let validFrom = expiresAt - lifetime - leeway;
  for (const claim of ['nbf', 'iat']) {
    const from = numericDate(claims, claim);
    if (from === undefined) continue;
    if (from > nowSeconds + leeway) throw new TokenError('token_not_yet_valid', `${claim} is in the future`);
    validFrom = Math.max(validFrom, from - leeway);
  }
  return { expiresAt, validFrom, validUntil: expiresAt + leeway };
}

/** Throws TokenError unless `aud` names one of the audiences. */
export function checkAudience(claims: JsonObject, audiences: readonly string[]): void {
  if (!audienceOf(claims).some((name) => audiences.includes(name))) {
    throw new TokenError('token_audience', 'aud names none of the configured audiences');
  }
}

/** RFC 8725 section 3.11: a token of one kind must not pass for another. Throws TokenError. */
export function checkType(header: JsonObject, { typ: wanted }: IssuerConfig): void {
  if (wanted === undefined) return;
  const { typ } = header;
  // RFC 7515 section 4.1.9: a media type, `application/` may be left out.
  const plain = (text: string): string => text.toLowerCase().replace(/^application\//, '');
  if (typeof typ !== 'string' || plain(typ) !== plain(wanted)) throw new TokenError('token_claims', 'typ is another');
}

/** Largest date that any calendar could need, seconds; beyond it arithmetic stops making sense. */
const MAX_DATE = 253_402_300_799;

function numericDate(claims: JsonObject, name: string): number | undefined {
  if (claims[name] === undefined) return undefined;
  const date = numberOf(claims[name]);
  if (date === undefined || !(date >= 0) || date > MAX_DATE) throw new TokenError('token_claims', `${name} is no date`);
  return date;
}

/** RFC 7519 section 4.1.3: a name or a list of names; what is neither names nobody. */
function audienceOf({ aud }: JsonObject): readonly string[] {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.every((name) => typeof name === 'string') ? list : [];
}
