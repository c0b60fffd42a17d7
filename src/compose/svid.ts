import type { TlsConfig } from '../config/schema.ts';
import { type IsAnchored, refusalOfClient } from '../identity/workload-api/client-svid.ts';
import { type SvidCertificates, watchSvid } from '../identity/workload-api/svid-certificates.ts';
import type { ServerTlsParts } from '../lib/tls-server.ts';
import type { CertificateReports, WatchedCertificates } from '../lib/watched-certificates.ts';
import { parseCertificates } from '../policy/builtins/x509/certificate.ts';
import { verifiedChain } from '../policy/builtins/x509/verify.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Where a server's certificates come from. */
export type CertificateSource = {
  /** What it is called in the log. */
  readonly name: string;
  readonly watch: (reports: CertificateReports) => WatchedCertificates;
  readonly judge?: ServerTlsParts['judge'];
  /** Whether a certificate that still lasts so long, of its whole time, should have been replaced by now; ms. */
  readonly isLate: (remainingMs: number, lifetimeMs: number) => boolean;
  /** How often that is said, ms. */
  readonly remindMs: number;
};

type WorkloadApi = NonNullable<TlsConfig['workload_api']>;

/** Agents replace an SVID at half its time. */
const LATE_PART = 0.25;
const REMIND_MS = 600_000;
const VERIFY_MS = 100;
/** Any extended key usage: what clients need the handshake has asked for. */
const ANY_USAGE = '2.5.29.37.0';

/** The Workload API as the source of our own certificate, and of the authorities that clients are verified against. */
export function svidSource(config: TlsConfig, workloadApi: WorkloadApi, log: Logger): CertificateSource {
  const { socket = '', spiffe_id: spiffeId, start_timeout_seconds: seconds } = workloadApi;
  const allowed = config.allowed_client_sans;
  let watched: SvidCertificates | undefined;
  let waitingFor: string | undefined;
  return {
    name: socket,
    isLate: (remainingMs, lifetimeMs) => remainingMs < lifetimeMs * LATE_PART,
    remindMs: REMIND_MS,
    judge: (client) =>
      watched === undefined
        ? ['client_unverified', 'no trust bundle']
        : refusalOfClient(client, watched.context(), { allowed, isAnchored }),
    watch: (reports) => {
      const made = watchSvid({
        ...reports,
        ...{ socket, spiffeId, trustDomains: trustDomainsOf(allowed), startTimeoutMs: seconds * 1000 },
        random: Math.random,
        onWaiting: (cause) => {
          if (cause !== waitingFor) log.warn({ socket, cause }, 'waiting for the first X509-SVID');
          waitingFor = cause;
        },
        onChange: (certificates) => {
          reports.onChange(certificates);
          if (watched !== undefined) report(watched, allowed, log);
        },
      });
      watched = made;
      return made;
    },
  };
}

const trustDomainsOf = (ids: readonly string[]): readonly string[] => [
  ...new Set(ids.map((id) => id.split('/')[2] ?? '')),
];

/** What an operator should know of an SVID beside when it ends. */
function report(watched: SvidCertificates, allowed: readonly string[], log: Logger): void {
  const { id, bundles, revocationLists } = watched.context();
  log.info({ spiffe_id: id.spiffe_id, trust_domains: [...bundles.keys()] }, 'an X509-SVID from the Workload API');
  if (revocationLists > 0)
    log.warn({ count: revocationLists }, 'revocation lists of the Workload API are not looked at');
  const missing = trustDomainsOf(allowed).filter((name) => !bundles.has(name));
  if (missing.length > 0) {
    log.warn({ trust_domains: missing }, 'clients of these trust domains are refused: the Workload API has no bundle');
  }
  const odd = [...bundles.values()].flat().filter((one) => !one.checkIssued(one));
  if (odd.length > 0) {
    log.warn({ count: odd.length }, 'authorities that are not self-signed: clients below them cannot be verified');
  }
}

/** Each authority by itself: the chain must end there. */
export const isAnchored: IsAnchored = (chain, authorities) => {
  const until = performance.now() + VERIFY_MS;
  const checkDeadline = (): void => {
    if (performance.now() > until) throw new Error('verifying the chain takes too long');
  };
  const [leaf, ...others] = parseCertificates(Buffer.concat(chain), checkDeadline);
  if (leaf === undefined) return false;
  const options = { timeNs: BigInt(Date.now()) * 1_000_000n, host: '', usages: [ANY_USAGE], checkDeadline };
  return authorities.some((authority) => {
    const [root] = parseCertificates(authority, checkDeadline);
    return root !== undefined && verifiedChain([root, ...others, leaf], options) !== undefined;
  });
};
