import type { X509Certificate } from 'node:crypto';
import { messageOf } from '../../lib/message.ts';
import type { ClientRefusal } from '../../lib/tls-server.ts';
import type { Workload } from '../../model/identity.ts';
import { leafIdOf, type X509Context } from './x509-svid.ts';

/** Whether a chain of certificates (DER, the leaf first) ends, by RFC 5280, at one of these authorities. */
export type IsAnchored = (chain: readonly Buffer[], authorities: readonly Buffer[]) => boolean;

/** What others' SVIDs are judged by. */
export type ClientRules = {
  /** SPIFFE IDs; empty: every workload of our own trust domain. */
  readonly allowed: readonly string[];
  readonly isAnchored: IsAnchored;
};

/**
 * Why a client, whose certificate one of all authorities vouches for, is turned away: its certificate must be an X509-SVID
 * that an authority of its own trust domain vouches for (SPIFFE Workload API, section 4.6), and its SPIFFE ID allowed.
 */
export function refusalOfClient(
  client: X509Certificate,
  { id: own, bundles }: Pick<X509Context, 'id' | 'bundles'>,
  { allowed, isAnchored }: ClientRules,
): ClientRefusal | undefined {
  let id: Workload;
  try {
    id = leafIdOf(client);
  } catch (error) {
    return ['client_unverified', `no X509-SVID: ${messageOf(error)}`];
  }
  const authorities = bundles.get(id.trust_domain);
  if (authorities === undefined) return ['client_unverified', `${id.spiffe_id}: another trust domain`];
  // With one bundle the handshake has asked just this.
  if (
    bundles.size > 1 &&
    !isAnchored(
      chainOf(client),
      authorities.map(({ raw }) => raw),
    )
  ) {
    return ['client_unverified', `${id.spiffe_id}: its own trust domain does not vouch for it`];
  }
  const isAllowed = allowed.length === 0 ? id.trust_domain === own.trust_domain : allowed.includes(id.spiffe_id);
  return isAllowed ? undefined : ['client_not_allowed', id.spiffe_id];
}

/** The leaf, and what the client has sent with it. */
function chainOf(leaf: X509Certificate): readonly Buffer[] {
  const chain: Buffer[] = [];
  for (let at: X509Certificate | undefined = leaf; at !== undefined; at = at.issuerCertificate) {
    if (chain.some((one) => one.equals(at?.raw ?? one))) break;
    chain.push(at.raw);
  }
  return chain;
}
