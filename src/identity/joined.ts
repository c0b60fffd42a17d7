import type { Identity, IdentityResult, Workload } from '../model/identity.ts';

type Join = (identity: Identity | undefined, workload: Workload) => Identity;

const anonymous: Identity = { authenticated: false };

/** The caller by token and by connection: one workload. */
const own: Join = (identity, workload) => ({ ...(identity ?? anonymous), workload });

/** A JWT-SVID says who calls; the peer may be a gateway in between. */
const ofPeer: Join = (identity, peer) => ({ workload: peer, ...(identity ?? anonymous), peer_workload: peer });

/**
 * Adds the connection's workload to who the token says is calling; with `acceptsSvids` as that of a peer. A caller mostly
 * comes by the same peer, and is then the same object again, of which more may be known already.
 */
export function createJoin(acceptsSvids: boolean): (result: IdentityResult, workload: Workload) => IdentityResult {
  const join = acceptsSvids ? ofPeer : own;
  const last = new WeakMap<Identity, { readonly spiffeId: string; readonly result: IdentityResult }>();
  return (result, workload) => {
    if (!result.ok) return result;
    const identity = result.identity ?? anonymous;
    const known = last.get(identity);
    if (known?.spiffeId === workload.spiffe_id) return known.result;
    const joined: IdentityResult = { ok: true, identity: join(identity, workload) };
    last.set(identity, { spiffeId: workload.spiffe_id, result: joined });
    return joined;
  };
}
