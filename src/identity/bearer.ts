import type { RequestFacts } from '../model/facts.ts';
import type { RefusalReason } from '../model/reasons.ts';

/** Longest token that is looked at, characters. */
const MAX_TOKEN_CHARS = 8192;

export type Bearer =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly cause: string };

const absent: Bearer = { kind: 'absent' };
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** The bearer token of a request (RFC 6750 section 2.1). Another scheme than Bearer is no token. */
export function bearerOf(facts: RequestFacts): Bearer {
  const value = authorizationOf(facts);
  if (value === undefined) return absent;
  const match = /^ *bearer(?: +(.*))?$/is.exec(value);
  if (match === null) return absent;
  const token = (match[1] ?? '').trim();
  if (token.length > MAX_TOKEN_CHARS) {
    return { kind: 'refused', reason: 'token_too_large', cause: `more than ${MAX_TOKEN_CHARS} characters` };
  }
  if (!COMPACT_JWS.test(token)) return { kind: 'refused', reason: 'token_malformed', cause: 'no compact JWS' };
  return { kind: 'token', token };
}

/** The one Authorization value; that there are not two was seen to before (check/screen.ts). */
function authorizationOf({ headers, headerList }: RequestFacts): string | undefined {
  const direct = headers['authorization'];
  if (direct !== undefined) return direct;
  const name = Object.keys(headers).find((key) => key.length === 13 && key.toLowerCase() === 'authorization');
  if (name !== undefined) return headers[name];
  return headerList.find(([key]) => key.toLowerCase() === 'authorization')?.[1];
}
