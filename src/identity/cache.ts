import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../lib/clock.ts';
import type { Identity } from '../model/identity.ts';

const MAX_ENTRIES = 10_000;
const MAX_AGE_MS = 300_000;

/** Wall clock, ms since the epoch; the end is no part of it. A clock may be set back as well as forward. */
export type Validity = { readonly fromMs: number; readonly untilMs: number };
type Entry = {
  readonly identity: Identity;
  readonly issuer: string;
  readonly valid: Validity;
  readonly agesAt: number;
};

/** Identities of verified tokens, by the token's digest; nothing else is remembered, no refusal either. */
export type TokenCache = {
  readonly get: (token: string) => Identity | undefined;
  /** Answers while the token is valid, for five minutes at most. */
  readonly set: (token: string, issuer: string, identity: Identity, valid: Validity) => void;
  readonly forgetIssuer: (issuer: string) => void;
};

export function createTokenCache(clock: Clock): TokenCache {
  const entries = new LRUCache<string, Entry>({ max: MAX_ENTRIES });
  const digest = (token: string): string => hash('sha256', token, 'base64');
  return {
    get: (token) => {
      const key = digest(token);
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      const now = clock.wallMs();
      const { fromMs, untilMs } = entry.valid;
      if (now >= fromMs && now < untilMs && clock.monotonicMs() < entry.agesAt) return entry.identity;
      entries.delete(key);
      return undefined;
    },
    set: (token, issuer, identity, valid) => {
      entries.set(digest(token), { identity, issuer, valid, agesAt: clock.monotonicMs() + MAX_AGE_MS });
    },
    forgetIssuer: (issuer) => {
      for (const [key, entry] of entries.entries()) if (entry.issuer === issuer) entries.delete(key);
    },
  };
}
