import type { RefusalReason } from '../model/reasons.ts';

/** Longest token that is looked at, characters. */
const MAX_TOKEN_CHARS = 8192;
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Why a token is not even looked into: it is too long, or no compact JWS (RFC 7515 section 7.1). */
export function oddityOf(token: string): { readonly reason: RefusalReason; readonly cause: string } | undefined {
  if (token.length > MAX_TOKEN_CHARS) {
    return { reason: 'token_too_large', cause: `more than ${MAX_TOKEN_CHARS} characters` };
  }
  return COMPACT_JWS.test(token) ? undefined : { reason: 'token_malformed', cause: 'no compact JWS' };
}
