import type { JsonObject } from './json.ts';
import type { RefusalReason } from './reasons.ts';

/** Who is calling, after verification; becomes `input.identity`. */
export type Identity = {
  readonly authenticated: boolean;
  readonly issuer?: string;
  readonly subject?: string;
  readonly claims?: JsonObject;
  readonly token?: {
    readonly alg: string;
    readonly kid?: string;
    /** Seconds since the epoch (RFC 7519 section 4.1.4). */
    readonly expires_at: number;
    readonly source: 'header';
  };
};

/** Who is calling, or why the caller is turned away. An absent identity: none is configured. */
export type IdentityResult =
  | { readonly ok: true; readonly identity: Identity | undefined }
  | { readonly ok: false; readonly reason: RefusalReason; readonly cause: string };
