import type { JwtSvidConfig } from '../config/schema.ts';
import { readLimited } from '../lib/read-limited.ts';
import type { Identity } from '../model/identity.ts';
import type { JsonObject } from '../model/json.ts';
import { checkAudience, checkTimes, type Times, TokenError } from './claims.ts';
import type { Jwks } from './jwks.ts';
import { downloadFrom, type FetchedKeys, type KeyOrigin } from './key-origin.ts';
import { type KeySet, MAX_KEY_SET_BYTES, parseJwtBundle, parseSpiffeBundle } from './key-set.ts';
import { parseSpiffeId } from './spiffe.ts';
import { verifySignature } from './verify.ts';

/*
 * JWT-SVIDs (https://spiffe.io/docs/latest/spiffe-specs/jwt-svid/): tokens whose subject is a workload, verified with the
 * authorities of this workload's trust domain and no others.
 */

/** Where the JWT bundles of trust domains come from when it is the Workload API. */
export type JwtBundles = {
  readonly originOf: (trustDomain: string) => KeyOrigin;
  /** Calls back when there may be other bundles than before. */
  readonly onChange: (changed: () => void) => void;
};

/** How the keys of one trust domain are got; what is common to all key sets is added to it. */
export type BundleKeys = {
  readonly origins: readonly KeyOrigin[];
  readonly parse: (text: string) => KeySet;
  readonly maxStaleMs: number;
};

export type JwtSvids = {
  /** SPIFFE IDs of the trust domains, with their keys. */
  readonly keys: ReadonlyMap<string, Jwks>;
  /** Rejects with TokenError, also when this is no JWT-SVID of a trust domain that is configured, or KeysUnavailable. */
  readonly verify: (token: string, header: JsonObject, claims: JsonObject, nowSeconds: number) => Promise<VerifiedSvid>;
};

export type VerifiedSvid = Pick<Times, 'validFrom' | 'validUntil'> & {
  readonly identity: Identity;
  /** The trust domain's, which the token was verified with if `keys` are still its current ones. */
  readonly jwks: Jwks;
  readonly keys: KeySet;
};

export function createJwtSvids(
  config: JwtSvidConfig | undefined,
  bundles: JwtBundles | undefined,
  keysOf: (name: string, keys: BundleKeys) => Jwks,
): JwtSvids {
  const keys = new Map<string, Jwks>();
  for (const [name, domain] of Object.entries(config?.trust_domains ?? {})) {
    const { origin, parse } = sourceOf(name, domain, bundles);
    const maxStaleMs = (config?.max_stale_seconds ?? 0) * 1000;
    const jwks = keysOf(`spiffe://${name}`, { origins: [origin], parse, maxStaleMs });
    keys.set(`spiffe://${name}`, jwks);
    if (domain.workload_api) bundles?.onChange(() => void jwks.refresh());
  }
  return {
    keys,
    verify: async (token, header, claims, nowSeconds) => {
      const { iss, sub } = claims;
      // A token that names an issuer in a way that cannot be compared is nobody's.
      const workload = (iss === undefined || typeof iss === 'string') && typeof sub === 'string' && parseSpiffeId(sub);
      const issuer = workload ? `spiffe://${workload.trust_domain}` : '';
      const jwks = keys.get(issuer);
      if (config === undefined || !workload || jwks === undefined) {
        throw new TokenError('token_issuer', 'neither iss nor the trust domain of sub is a configured one');
      }
      checkHeader(header);
      const verified = await verifySignature(token, header, config.algorithms, jwks);
      if (workload.path === '') throw new TokenError('token_claims', 'sub is a trust domain, not a workload');
      const { expiresAt, validFrom, validUntil } = checkTimes(claims, config, nowSeconds);
      checkAudience(claims, config.audiences);
      const { alg, kid } = verified;
      const identity: Identity = {
        authenticated: true,
        issuer,
        subject: workload.spiffe_id,
        claims,
        token: { alg, ...(kid === undefined ? {} : { kid }), expires_at: expiresAt, source: 'header' },
        workload,
      };
      return { identity, jwks, keys: verified.keys, validFrom, validUntil };
    },
  };
}

/** JWT-SVID specification, section 2.3. Throws TokenError. */
function checkHeader({ typ }: JsonObject): void {
  if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw new TokenError('token_claims', 'typ is another');
}

type Source = { readonly origin: KeyOrigin; readonly parse: (text: string) => KeySet };

function sourceOf(
  name: string,
  { bundle_file: file, bundle_url: url }: JwtSvidConfig['trust_domains'][string],
  bundles: JwtBundles | undefined,
): Source {
  if (url !== undefined) return { origin: hinted(downloadFrom(url, false)), parse: parseSpiffeBundle };
  if (file !== undefined) return { origin: hinted(bundleIn(file)), parse: parseSpiffeBundle };
  if (bundles === undefined) throw new Error(`trust domain ${name}: there is no Workload API to take its bundle from`);
  return { origin: bundles.originOf(name), parse: parseJwtBundle };
}

const bundleIn =
  (file: string): KeyOrigin =>
  async () => ({ text: (await readLimited(file, MAX_KEY_SET_BYTES)).toString('utf8'), freshMs: undefined });

/** Trust Domain and Bundle specification, section 6.1: five minutes unless the bundle says otherwise. */
const DEFAULT_REFRESH_SECONDS = 300;

/** How long a bundle may be called fresh is for the bundle to say (section 4.1.2). */
const hinted =
  (origin: KeyOrigin): KeyOrigin =>
  async (signal) => {
    const { text } = await origin(signal);
    return { text, freshMs: refreshHint(text) * 1000 } satisfies FetchedKeys;
  };

function refreshHint(text: string): number {
  try {
    const { spiffe_refresh_hint: hint } = JSON.parse(text) as { readonly spiffe_refresh_hint?: unknown };
    return typeof hint === 'number' && hint > 0 ? hint : DEFAULT_REFRESH_SECONDS;
  } catch {
    return DEFAULT_REFRESH_SECONDS;
  }
}
