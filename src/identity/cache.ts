import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../lib/clock.ts';
import type { Identity } from '../model/identity.ts';

const MAX_ENTRIES = 10_000;
const MAX_AGE_MS = 300_000;

type Entry = { readonly identity: Identity; readonly issuer: string };

/** Identities of verified tokens, by the token's digest; nothing else is remembered, no refusal either. */
export type TokenCache = {
  readonly get: (token: string) => Identity | undefined;
  /** Keeps it until the token expires (wall clock, ms), or five minutes. */
  readonly set: (token: string, issuer: string, identity: Identity, expiresAtMs: number) => void;
  readonly forgetIssuer: (issuer: string) => void;
};

export function createTokenCache(clock: Clock): TokenCache {
  const entries = new LRUCache<string, Entry & { readonly untilMs: number; readonly agesAt: number }>({
    max: MAX_ENTRIES,
  });
  const digest = (token: string): string => hash('sha256', token, 'base64');
  return {
    get: (token) => {
      const key = digest(token);
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (clock.wallMs() < entry.untilMs && clock.monotonicMs() < entry.agesAt) return entry.identity;
      entries.delete(key);
      return undefined;
    },
    set: (token, issuer, identity, untilMs) => {
      entries.set(digest(token), { identity, issuer, untilMs, agesAt: clock.monotonicMs() + MAX_AGE_MS });
    },
    forgetIssuer: (issuer) => {
      for (const [key, entry] of entries.entries()) if (entry.issuer === issuer) entries.delete(key);
    },
  };
}
