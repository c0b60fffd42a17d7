import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider, { errors } from 'oidc-provider';
import type { Scope } from './scope.ts';

const CLIENT = { id: 'svc', secret: 's3cret-s3cret-s3cret-s3cret-1234' };
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
};

type Jwk = { readonly kid: string; readonly alg: string };

/** A certified OpenID provider on loopback, with discovery, whose keys can be changed and which can be made to fail. */
export async function startIdp(context: Scope, alg: 'RS256' | 'ES256' = 'ES256'): Promise<Idp> {
  let provider: RequestListener = () => {};
  let keyRequests = 0;
  const isToken = (url = ''): boolean => url.startsWith('/token');
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/jwks') === true) keyRequests++;
    if (idp.fault === undefined || isToken(request.url)) provider(request, response);
    else idp.fault(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let keys: readonly Jwk[] = [];
  let made = 0;

  async function rotate(overlaps: boolean): Promise<void> {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: `k${++made}`, alg, use: 'sig' };
    keys = overlaps ? [key, ...keys] : [key];
    provider = providerOf(issuer, keys, alg).callback();
  }

  const idp: Idp = {
    issuer,
    rotate,
    fault: undefined,
    keyRequests: () => keyRequests,
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

function providerOf(issuer: string, keys: readonly Jwk[], alg: 'RS256' | 'ES256'): Provider {
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
