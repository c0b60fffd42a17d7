import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { create, toBinary } from '@bufbuild/protobuf';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import {
  JWTBundlesResponseSchema,
  X509SVIDResponseSchema,
} from '../../src/identity/workload-api/gen/spiffe/workload/workload_pb.ts';
import { type IssueOptions, issue, type Pair, selfSigned } from './certificates.ts';

/** An X509-SVID in the files of which the pair consists, and as the Workload API has it. */
export type Svid = { readonly id: string; readonly pair: Pair; readonly chain: Buffer; readonly key: Buffer };

export type TrustDomain = {
  readonly name: string;
  readonly authority: Pair;
  /** The authorities, DER. */
  readonly bundle: Buffer;
  /** An SVID with this path. */
  readonly svid: (path: string, options?: IssueOptions) => Svid;
};

/** DER of the certificates in a PEM file, one after another. */
export const derOf = (file: string): Buffer =>
  Buffer.concat(
    (readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).map(
      (block) => new X509Certificate(block).raw,
    ),
  );

/** PKCS #8 of the key in a PEM file. */
export const keyOf = (file: string): Buffer =>
  createPrivateKey(readFileSync(file)).export({ format: 'der', type: 'pkcs8' });

let made = 0;

/** A trust domain with one authority, whose files are in the folder. */
export function createTrustDomain(folder: string, name: string): TrustDomain {
  const extensions = [`subjectAltName=URI:spiffe://${name}`, 'keyUsage=critical,keyCertSign,cRLSign'];
  const authority = selfSigned(folder, `authority-${name}-${++made}`, extensions);
  return {
    name,
    authority,
    bundle: derOf(authority.cert),
    svid: (path, options) => {
      const id = `spiffe://${name}${path}`;
      const pair = issue(authority, folder, `svid-${++made}`, { san: `URI:${id},DNS:localhost`, ...options });
      return { id, pair, chain: derOf(pair.cert), key: keyOf(pair.key) };
    },
  };
}

/** An X509SVIDResponse. */
export function x509Response(
  svids: readonly (Svid & { readonly bundle: Buffer })[],
  federated: readonly TrustDomain[] = [],
): Buffer {
  return Buffer.from(
    toBinary(
      X509SVIDResponseSchema,
      create(X509SVIDResponseSchema, {
        svids: svids.map(({ id, chain, key, bundle }) => ({
          spiffeId: id,
          x509Svid: chain,
          x509SvidKey: key,
          bundle,
        })),
        federatedBundles: Object.fromEntries(federated.map(({ name, bundle }) => [`spiffe://${name}`, bundle])),
      }),
    ),
  );
}

/** A JWTBundlesResponse, from key sets by the name of their trust domain. */
export const jwtBundlesResponse = (bundles: { readonly [trustDomain: string]: object }): Buffer =>
  Buffer.from(
    toBinary(
      JWTBundlesResponseSchema,
      create(JWTBundlesResponseSchema, {
        bundles: Object.fromEntries(
          Object.entries(bundles).map(([name, keys]) => [`spiffe://${name}`, Buffer.from(JSON.stringify(keys))]),
        ),
      }),
    ),
  );

export type JwtAuthority = {
  /** Public; `use` as SPIFFE bundles have it. */
  readonly jwk: object;
  /** The same without `use`, as SPIRE's agent sends it. */
  readonly bare: object;
  readonly sign: (claims: JWTPayload, header?: object) => Promise<string>;
};

/** A JWT authority of a trust domain. Tokens last five minutes unless their claims say otherwise. */
export async function createJwtAuthority(kid = 'a1', alg = 'ES256', use = 'jwt-svid'): Promise<JwtAuthority> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const bare = { ...(await exportJWK(publicKey)), kid };
  return {
    jwk: { ...bare, use },
    bare,
    sign: (claims, header = {}) =>
      new SignJWT({ exp: Math.floor(Date.now() / 1000) + 300, ...claims })
        .setProtectedHeader({ alg, kid, typ: 'JWT', ...header })
        .sign(privateKey),
  };
}
