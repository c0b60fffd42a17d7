import type { Workload } from '../model/identity.ts';

const MAX_ID_BYTES = 2048;
const MAX_TRUST_DOMAIN_BYTES = 255;
const SPIFFE_ID = /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/;
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/;
const KUBERNETES = /^\/ns\/([^/]+)\/sa\/([^/]+)$/;

/** A SPIFFE ID (SPIFFE-ID specification, section 2), taken literally: nothing is decoded, folded or trimmed. */
export function parseSpiffeId(text: string): Workload | undefined {
  // All that matches is ASCII, so that characters are bytes.
  if (text.length > MAX_ID_BYTES) return undefined;
  const [spiffe_id, trust_domain = '', path = ''] = SPIFFE_ID.exec(text) ?? [];
  if (spiffe_id === undefined || trust_domain.length > MAX_TRUST_DOMAIN_BYTES) return undefined;
  if (DOT_SEGMENT.test(path)) return undefined;
  const [, namespace, service_account] = KUBERNETES.exec(path) ?? [];
  if (namespace === undefined || service_account === undefined) return { spiffe_id, trust_domain, path };
  return { spiffe_id, trust_domain, path, namespace, service_account };
}

/**
 * The workload that Envoy's `source.principal` names (envoy.service.auth.v3.AttributeContext.Peer.principal: the first
 * URI SAN, else the first DNS SAN, else the subject). Undefined unless it is the SPIFFE ID of a workload, which has a
 * path (X509-SVID specification, section 5.2), in one of the trust domains.
 */
export function workloadOf(principal: string, trustDomains: readonly string[]): Workload | undefined {
  const workload = parseSpiffeId(principal);
  if (workload === undefined || workload.path === '') return undefined;
  return trustDomains.includes(workload.trust_domain) ? workload : undefined;
}
