import type { RequestListener } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { errors } from 'oidc-provider';
import type { Pair } from './certificates.ts';
import type { Scope } from './scope.ts';
import { serve } from './web.ts';

export const CLIENT = { id: 'svc', secret: 's3cret-s3cret-s3cret-s3cret-1234' };
export const ASSERTING_CLIENT = 'asserting';
export const AUDIENCE = 'https://api.test';

export type Idp = {
  readonly issuer: string;
  /** An access token (JWT, RFC 9068) by the client credentials grant. */
  readonly token: () => Promise<string>;
  /** From now on signs with a new key; the old one stays in the key set when it `overlaps`. */
  readonly rotate: (overlaps: boolean) => Promise<void>;
  /** What stands before the provider; undefined: nothing. Tokens are still issued. */
  fault: RequestListener | undefined;
  /** Requests for key sets that came, answered or not. */
  readonly keyRequests: () => number;
  /** Requests for tokens. */
  readonly tokenRequests: () => number;
};

export type IdpOptions = {
  /** Served over TLS with this certificate. */
  readonly tls?: Pair;
  /** Public key (JWK) of a client that proves itself by assertions, ASSERTING_CLIENT. */
  readonly clientKey?: object | undefined;
};

type Jwk = { readonly kid: string; readonly alg: string };

/** A certified OpenID provider on loopback, with discovery, whose keys can be changed and which can be made to fail. */
export async function startIdp(
  context: Scope,
  alg: 'RS256' | 'ES256' = 'ES256',
  { tls, clientKey }: IdpOptions = {},
): Promise<Idp> {
  let provider: RequestListener = () => {};
  let keyRequests = 0;
  let tokenRequests = 0;
  const isToken = (url = ''): boolean => url.startsWith('/token');
  const issuer = await serve(
    context,
    (request, response) => {
      if (request.url?.startsWith('/jwks') === true) keyRequests++;
      if (isToken(request.url)) tokenRequests++;
      if (idp.fault === undefined || isToken(request.url)) provider(request, response);
      else idp.fault(request, response);
    },
    tls,
  );
  let keys: readonly Jwk[] = [];
  let made = 0;

  async function rotate(overlaps: boolean): Promise<void> {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: `k${++made}`, alg, use: 'sig' };
    keys = overlaps ? [key, ...keys] : [key];
    provider = providerOf(issuer, keys, alg, clientKey).callback();
  }

  const idp: Idp = {
    issuer,
    rotate,
    fault: undefined,
    keyRequests: () => keyRequests,
    tokenRequests: () => tokenRequests,
    token: async () => {
      const credentials = Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64');
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${credentials}`, 'content-type': 'application/x-www-form-urlencoded' },
        body: 'grant_type=client_credentials&scope=read',
      });
      const { access_token: token } = (await response.json()) as { readonly access_token?: string };
      if (token === undefined) throw new Error(`the provider answered ${response.status}`);
      return token;
    },
  };
  await rotate(false);
  return idp;
}

function providerOf(
  issuer: string,
  keys: readonly Jwk[],
  alg: 'RS256' | 'ES256',
  clientKey: object | undefined,
): Provider {
  const asserting = {
    client_id: ASSERTING_CLIENT,
    jwks: { keys: [clientKey] as never },
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'private_key_jwt' as const,
  };
  return new Provider(issuer, {
    jwks: { keys: [...keys] as never },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        token_endpoint_auth_method: 'client_secret_basic',
        id_token_signed_response_alg: alg,
      },
      ...(clientKey === undefined ? [] : [{ ...asserting, id_token_signed_response_alg: alg }]),
    ],
    scopes: ['read'],
    extraTokenClaims: async () => ({ roles: ['admin'], tenant: 't1' }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: (_context: unknown, resource: string) => {
          if (resource !== AUDIENCE) throw new errors.InvalidTarget();
          return {
            scope: 'read',
            audience: resource,
            accessTokenTTL: 300,
            accessTokenFormat: 'jwt' as const,
            jwt: { sign: { alg } },
          };
        },
      },
    },
  });
}
