import type { BundleConfig, Config } from '../config/schema.ts';
import { isSignatureAlgorithm, type SignatureAlgorithm } from '../lib/public-key.ts';

/** A key that signatures are verified with; `pem` is a public key or a certificate. */
export type VerificationKey = {
  readonly pem: string;
  readonly algorithm: SignatureAlgorithm;
  readonly scope: string;
};

/** How a bundle is verified; plain data, so that it can be handed to another thread. */
export type Verification = {
  readonly keys: { readonly [id: string]: VerificationKey };
  /** Whether a bundle without a signature is refused. One that is signed is verified in any case. */
  readonly required: boolean;
  /** The only key that counts; empty: the one that the signature names. */
  readonly keyId: string;
  /** What the signature's scope must be; empty: the scope of the key. */
  readonly scope: string;
  /** Patterns of files that the signature need not cover (lib/file-pattern.ts). */
  readonly excludeFiles: readonly string[];
  /** Deltas cannot be signed; whether they are taken although snapshots must be. */
  readonly allowUnsignedDeltas: boolean;
};

/**
 * How OPA's `keys` and `bundles.NAME.signing` want a bundle verified. Every `signing` section makes a signature mandatory,
 * also an empty one (GHSA-g2pf-6v5v-qcc8); without it, keys verify what is signed. Undefined: there is nothing to verify
 * with, and what is signed is refused.
 */
export function verificationOf(keys: Config['keys'], signing: BundleConfig['signing']): Verification | undefined {
  const known = Object.entries(keys).flatMap(([id, { key, algorithm, scope }]) =>
    key === undefined || !isSignatureAlgorithm(algorithm) ? [] : [[id, { pem: key, algorithm, scope }] as const],
  );
  if (signing === undefined && known.length === 0) return undefined;
  return {
    keys: Object.fromEntries(known),
    required: signing !== undefined,
    keyId: signing?.keyid ?? '',
    scope: signing?.scope ?? '',
    excludeFiles: signing?.exclude_files ?? [],
    allowUnsignedDeltas: signing?.allow_unsigned_delta_bundles ?? false,
  };
}
