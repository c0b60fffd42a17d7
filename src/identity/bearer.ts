import type { RefusalReason } from '../model/reasons.ts';

/** Longest token that is looked at, characters. */
const MAX_TOKEN_CHARS = 8192;
const PARTS = 3;
const DOT = 0x2e;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const NO_DIGIT = 255;
/** The six bits of each character of base64url (RFC 4648 section 5). */
const digits = new Uint8Array(128).fill(NO_DIGIT);
for (let i = 0; i < ALPHABET.length; i++) digits[ALPHABET.charCodeAt(i)] = i;

type Oddity = { readonly reason: RefusalReason; readonly cause: string };

/** A token that is longer than any is looked at. */
export function tooLarge(token: string): Oddity | undefined {
  if (token.length <= MAX_TOKEN_CHARS) return undefined;
  return { reason: 'token_too_large', cause: `more than ${MAX_TOKEN_CHARS} characters` };
}

/** A token that is no compact JWS (RFC 7515 section 7.1). */
export const malformed = (token: string): Oddity | undefined =>
  isCompactJws(token) ? undefined : { reason: 'token_malformed', cause: 'no compact JWS' };

function isCompactJws(token: string): boolean {
  let parts = 0;
  let from = 0;
  for (let at = 0; at <= token.length; at++) {
    const code = at === token.length ? DOT : token.charCodeAt(at);
    if (code !== DOT) {
      if ((digits[code] ?? NO_DIGIT) === NO_DIGIT) return false;
      continue;
    }
    if (++parts > PARTS || !isWhole(at - from, token.charCodeAt(at - 1))) return false;
    from = at + 1;
  }
  return parts === PARTS;
}

/** Bits of the last character that belong to no byte are zero, so that the same bytes have one text (RFC 4648 section 3.5). */
function isWhole(length: number, last: number): boolean {
  const over = length % 4;
  if (length === 0 || over === 1) return false;
  const spareBits = over === 0 ? 0 : over === 2 ? 4 : 2;
  return ((digits[last] ?? NO_DIGIT) & ((1 << spareBits) - 1)) === 0;
}
