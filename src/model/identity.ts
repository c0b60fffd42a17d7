import type { JsonObject } from './json.ts';
import type { RefusalReason } from './reasons.ts';

/** `metadata`: Envoy verified it and left its payload. */
export type TokenPlace = 'header' | 'cookie' | 'query' | 'metadata';

/** A SPIFFE ID, taken apart (https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/). */
export type Workload = {
  readonly spiffe_id: string;
  readonly trust_domain: string;
  /** With its leading slash; empty for the ID of a trust domain itself. */
  readonly path: string;
  /** Where the path is `/ns/NAMESPACE/sa/ACCOUNT`, Kubernetes' convention. */
  readonly namespace?: string;
  readonly service_account?: string;
};

/** Who is calling, after verification; becomes `input.identity`. */
export type Identity = {
  readonly authenticated: boolean;
  /** Who vouches for the token: its `iss`, or the SPIFFE ID of the trust domain of a JWT-SVID. */
  readonly issuer?: string;
  readonly subject?: string;
  readonly claims?: JsonObject;
  readonly token?: {
    /** Unknown, as `kid`, where Envoy left only the payload. */
    readonly alg?: string;
    readonly kid?: string;
    /** Seconds since the epoch (RFC 7519 section 4.1.4). */
    readonly expires_at: number;
    readonly source: TokenPlace;
  };
  /** The caller's: by its JWT-SVID if the token is one, else by the connection. */
  readonly workload?: Workload;
  /** The connection's, where JWT-SVIDs are accepted and `workload` may therefore be another one. */
  readonly peer_workload?: Workload;
};

/** Who is calling, or why the caller is turned away. An absent identity: none is configured. */
export type IdentityResult =
  | { readonly ok: true; readonly identity: Identity | undefined }
  | { readonly ok: false; readonly reason: RefusalReason; readonly cause: string };
