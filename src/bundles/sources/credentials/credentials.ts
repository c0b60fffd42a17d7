import type { ServiceConfig, SigningKeyConfig } from '../../../config/schema.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Transport } from '../../../lib/http-transport.ts';
import { createBearer } from './bearer.ts';
import { createOAuth2 } from './oauth2.ts';
import { createS3Signing } from './s3-signing.ts';

export type Headers = { readonly [name: string]: string };

/** A request as it will be sent; names of headers are in lower case. */
export type OutgoingRequest = {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body?: string | Uint8Array | undefined;
  /** The service has just refused (401) what was given for the same request. */
  readonly wasRefused: boolean;
};

/** The headers that prove who is asking. Rejects when there are none to be had; no message holds a secret. */
export type Credentials = (request: OutgoingRequest) => Promise<Headers>;

export type CredentialsParts = {
  /** Connections as the service has them. */
  readonly transport: Transport;
  readonly keys: { readonly [name: string]: SigningKeyConfig };
  readonly env: { readonly [name: string]: string | undefined };
  readonly clock: Clock;
};

/** The credentials of a service; a client certificate is not among them, but the connection's. */
export function credentialsOf({ credentials = {} }: ServiceConfig, parts: CredentialsParts): Credentials {
  const { bearer, oauth2, s3_signing: signing } = credentials;
  if (bearer !== undefined) return createBearer(bearer);
  if (oauth2 !== undefined) return createOAuth2(oauth2, parts);
  if (signing !== undefined) return createS3Signing(signing, parts.env);
  return async () => ({});
}
