import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import { extensionsOf } from '../../lib/certificate-extensions.ts';
import { elementsOf } from '../../lib/der.ts';
import { messageOf } from '../../lib/message.ts';
import type { Workload } from '../../model/identity.ts';
import { parseSpiffeId } from '../spiffe.ts';
import { type X509SVID, type X509SVIDResponse, X509SVIDResponseSchema } from './gen/spiffe/workload/workload_pb.ts';

/*
 * X509-SVIDs (https://spiffe.io/docs/latest/spiffe-specs/x509-svid/) as the Workload API gives them, and the bundles that
 * others' are verified with.
 */

/** Our own SVID, checked, and whom to believe. */
export type X509Context = {
  readonly id: Workload;
  /** The leaf first, then the intermediate ones. */
  readonly chain: readonly X509Certificate[];
  readonly key: KeyObject;
  /** Authorities by the name of their trust domain: ours, and of federated ones those that were asked for. */
  readonly bundles: ReadonlyMap<string, readonly X509Certificate[]>;
  /** Validity of the leaf, ms since the epoch. */
  readonly startsMs: number;
  readonly expiresMs: number;
  /** How many revocation lists came with it; nobody looks at them. */
  readonly revocationLists: number;
  /** Of all that is used. */
  readonly digest: string;
};

export type X509Choice = {
  /** Which SVID; the first one when undefined. */
  readonly spiffeId: string | undefined;
  /** Trust domains whose federated bundles are wanted. */
  readonly trustDomains: readonly string[];
  readonly nowMs: number;
};

const MAX_SVIDS = 100;
const MAX_CHAIN = 16;
const MAX_AUTHORITIES = 200;
const MAX_KEY_BYTES = 16_384;

/** An X509SVIDResponse to what is in it for us. Throws Error, naming what is wrong and never the key. */
export function readX509Response(message: Buffer, choice: X509Choice): X509Context {
  let response: X509SVIDResponse;
  try {
    response = fromBinary(X509SVIDResponseSchema, message);
  } catch {
    throw new Error('the message is no X509SVIDResponse');
  }
  const svid = chosen(response.svids, choice.spiffeId);
  const id = parseSpiffeId(svid.spiffeId);
  if (id === undefined || id.path === '') throw new Error('the SVID: its SPIFFE ID is not that of a workload');
  const chain = named('the SVID', () => certificatesIn(svid.x509Svid, MAX_CHAIN));
  const key = named('the key', () => keyIn(svid.x509SvidKey));
  const bundles = bundlesOf(response, svid, id.trust_domain, choice.trustDomains);
  const validity = named('the SVID', () => checkLeaf(chain, id, key, choice.nowMs));
  named('the SVID', () => checkChain(chain, bundles.get(id.trust_domain) ?? []));
  const hash = createHash('sha256').update(svid.x509Svid).update(svid.x509SvidKey);
  for (const [name, authorities] of bundles) {
    hash.update(`|${name}|`);
    for (const { raw } of authorities) hash.update(raw);
  }
  return {
    ...{ id, chain, key, bundles },
    ...validity,
    revocationLists: response.crl.length,
    digest: hash.digest('hex'),
  };
}

function chosen(svids: readonly X509SVID[], spiffeId: string | undefined): X509SVID {
  if (svids.length > MAX_SVIDS) throw new Error(`more than ${MAX_SVIDS} SVIDs`);
  const svid = spiffeId === undefined ? svids[0] : svids.find((one) => one.spiffeId === spiffeId);
  if (svid !== undefined) return svid;
  throw new Error(svids.length === 0 ? 'no SVID' : `none of the ${svids.length} SVIDs is that of ${spiffeId}`);
}

function named<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${what}: ${messageOf(error)}`);
  }
}

function certificatesIn(bytes: Uint8Array, atMost: number): readonly X509Certificate[] {
  const certificates = elementsOf(Buffer.from(bytes), atMost).map(({ whole }) => {
    const certificate = new X509Certificate(whole);
    // Node would rather read PEM that stands somewhere inside.
    if (!certificate.raw.equals(whole)) throw new Error('a certificate cannot be read');
    return certificate;
  });
  if (certificates.length === 0) throw new Error('there is no certificate');
  return certificates;
}

function keyIn(bytes: Uint8Array): KeyObject {
  if (bytes.length === 0 || bytes.length > MAX_KEY_BYTES) throw new Error('there is none, or it is too large');
  try {
    return createPrivateKey({ key: Buffer.from(bytes), format: 'der', type: 'pkcs8' });
  } catch {
    throw new Error('it cannot be read (PKCS #8 without encryption is expected)');
  }
}

function bundlesOf(
  response: X509SVIDResponse,
  svid: X509SVID,
  own: string,
  federated: readonly string[],
): ReadonlyMap<string, readonly X509Certificate[]> {
  const bundles = new Map([[own, named('the trust bundle', () => authoritiesIn(svid.bundle))]]);
  for (const name of federated) {
    const id = `spiffe://${name}`;
    const bytes = Object.hasOwn(response.federatedBundles, id) ? response.federatedBundles[id] : undefined;
    if (name === own || bytes === undefined) continue;
    bundles.set(
      name,
      named(`the bundle of ${name}`, () => authoritiesIn(bytes)),
    );
  }
  return bundles;
}

function authoritiesIn(bytes: Uint8Array): readonly X509Certificate[] {
  const authorities = certificatesIn(bytes, MAX_AUTHORITIES);
  if (!authorities.every((authority) => extensionsOf(authority).isCa)) throw new Error('a certificate is no authority');
  return authorities;
}

/**
 * The SPIFFE ID of a certificate when it is the leaf of an X509-SVID (X509-SVID specification, section 5.2): no authority,
 * with one URI, that of a workload. Throws Error.
 */
export function leafIdOf(leaf: X509Certificate): Workload {
  const { isCa, keyUsage, uris } = extensionsOf(leaf);
  if (isCa) throw new Error('it is an authority');
  if (keyUsage === undefined || keyUsage.keyCertSign || keyUsage.crlSign)
    throw new Error('its key usage is none of a leaf');
  const [uri] = uris;
  if (uri === undefined || uris.length > 1) throw new Error(`it has ${uris.length} URI names, not one`);
  const id = parseSpiffeId(uri);
  if (id === undefined || id.path === '') throw new Error('its URI is not the SPIFFE ID of a workload');
  return id;
}

const [SERVER_AUTH, CLIENT_AUTH] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

function checkLeaf(
  [leaf]: readonly X509Certificate[],
  id: Workload,
  key: KeyObject,
  nowMs: number,
): { readonly startsMs: number; readonly expiresMs: number } {
  if (leaf === undefined) throw new Error('there is no certificate');
  if (leafIdOf(leaf).spiffe_id !== id.spiffe_id) throw new Error('it is for another SPIFFE ID than it is said to be');
  if (extensionsOf(leaf).keyUsage?.digitalSignature !== true) throw new Error('its key is not for signatures');
  // Section 4.4: when usages are named at all, both must be.
  const usages: readonly string[] = leaf.keyUsage ?? [];
  if (usages.length > 0 && !(usages.includes(SERVER_AUTH) && usages.includes(CLIENT_AUTH))) {
    throw new Error('its extended key usage is not that of servers and clients');
  }
  if (!leaf.checkPrivateKey(key)) throw new Error('the key does not belong to it');
  const [startsMs, expiresMs] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  // Written so that a date that cannot be read is refused, too.
  if (!(startsMs <= nowMs)) throw new Error(`it is not valid before ${leaf.validFrom}`);
  if (!(nowMs < expiresMs)) throw new Error(`it has expired on ${leaf.validTo}`);
  return { startsMs, expiresMs };
}

/** Each certificate is signed by the next one, and the last one by an authority of the trust domain, or is one. */
function checkChain(chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): void {
  const isSignedBy = (child: X509Certificate, parent: X509Certificate): boolean =>
    child.checkIssued(parent) && child.verify(parent.publicKey);
  for (const { isCa, keyUsage } of chain.slice(1).map(extensionsOf)) {
    if (!isCa || keyUsage?.keyCertSign !== true) throw new Error('an intermediate certificate is no authority');
  }
  const isChain = chain.slice(1).every((parent, i) => chain[i] !== undefined && isSignedBy(chain[i], parent));
  if (!isChain) throw new Error('its certificates are no chain');
  const last = chain.at(-1);
  const isAnchored = last !== undefined && authorities.some((one) => one.raw.equals(last.raw) || isSignedBy(last, one));
  if (!isAnchored) throw new Error('its chain does not end at the trust bundle that came with it');
}
