import type { JsonObject } from '../values/json.ts';

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
    readonly source: 'header' | 'cookie' | 'query';
  };
};
