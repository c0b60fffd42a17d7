import { namesAreAllowed } from './constraints.ts';
import { oidText } from './der.ts';
import { isForHost } from './host.ts';
import { type Certificate, extensionOf, NAMES_OID } from './model.ts';
import { policiesAreValid } from './policies.ts';
import { verifies } from './public-key.ts';

/*
 * Chains of certificates (RFC 5280 section 6), built and checked as Go's crypto/x509 does. Nothing is revoked here.
 */

export type VerifyOptions = {
  /** Time to be valid at, ns since the epoch. */
  readonly timeNs: bigint;
  /** A host that the leaf must be for; empty for any. */
  readonly host: string;
  /** Object identifiers of extended key usages of which one must be allowed all along the chain. */
  readonly usages: readonly string[];
  /** Throws when the time for checking is up. */
  readonly checkDeadline: () => void;
};

const ANY_USAGE = '2.5.29.37.0';
export const SERVER_USAGE = '1.3.6.1.5.5.7.3.1';

/** The most signatures that are checked for one leaf. */
const MAX_SIGNATURES = 100;
const CERT_SIGN = 1 << 5;

/** From the leaf, which is the last certificate, to the root, which is the first. Undefined when no chain is good. */
export function verifiedChain(
  certificates: readonly Certificate[],
  options: VerifyOptions,
): readonly Certificate[] | undefined {
  const [root] = certificates;
  const leaf = certificates[certificates.length - 1];
  if (root === undefined || leaf === undefined || certificates.length < 2) return undefined;
  if (!isValidAt(leaf, options.timeNs) || (options.host !== '' && !isForHost(leaf, options.host))) return undefined;
  const chains = root.raw.equals(leaf.raw) ? [[leaf]] : builtChains(root, certificates.slice(1, -1), leaf, options);
  return chains.find(
    (chain) =>
      policiesAreValid(chain, options.checkDeadline) &&
      (options.usages.includes(ANY_USAGE) || isUsable(chain, options.usages)) &&
      namesAreAllowed(chain),
  );
}

/** Whether it is valid at this time, and all that is critical in it is understood. */
function isValidAt(certificate: Certificate, timeNs: bigint): boolean {
  return certificate.unhandled.length === 0 && timeNs >= certificate.notBefore.ns && timeNs <= certificate.notAfter.ns;
}

type Pool = ReadonlyMap<string, readonly Certificate[]>;

const nameKey = (name: Buffer): string => name.toString('latin1');

/** By their subjects, each certificate once. */
function poolOf(certificates: readonly Certificate[]): Pool {
  const unique = new Map(certificates.map((certificate) => [nameKey(certificate.raw), certificate]));
  return Map.groupBy(unique.values(), ({ rawSubject }) => nameKey(rawSubject));
}

/** Certificates that may have signed this one, those with fitting key identifiers first. */
function candidates(pool: Pool, { rawIssuer, authorityKeyId }: Certificate): readonly Certificate[] {
  const wanted = authorityKeyId ?? Buffer.alloc(0);
  const rank = ({ subjectKeyId }: Certificate): number => {
    const own = subjectKeyId ?? Buffer.alloc(0);
    if (own.equals(wanted)) return 0;
    return (own.length === 0) !== (wanted.length === 0) ? 1 : 2;
  };
  return (pool.get(nameKey(rawIssuer)) ?? []).toSorted((a, b) => rank(a) - rank(b));
}

function builtChains(
  root: Certificate,
  intermediates: readonly Certificate[],
  leaf: Certificate,
  options: VerifyOptions,
): readonly (readonly Certificate[])[] {
  const roots = poolOf([root]);
  const others = poolOf(intermediates);
  const chains: (readonly Certificate[])[] = [];
  let signatures = 0;

  /** Whether `parent` may come next. */
  function isParent(chain: readonly Certificate[], child: Certificate, parent: Certificate, isRoot: boolean): boolean {
    if (++signatures > MAX_SIGNATURES) return false;
    options.checkDeadline();
    if (parent.subjectKey.key === undefined || isIn(chain, parent) || !hasSigned(parent, child)) return false;
    const { basicConstraints } = parent;
    if (!isValidAt(parent, options.timeNs) || !(isRoot || basicConstraints?.isCa)) return false;
    const maxLength = basicConstraints?.maxPathLength ?? -1n;
    return maxLength < 0n || BigInt(chain.length - 1) <= maxLength;
  }

  function extend(chain: readonly Certificate[], child: Certificate): void {
    for (const parent of candidates(roots, child)) {
      if (isParent(chain, child, parent, true)) chains.push([...chain, parent]);
    }
    for (const parent of candidates(others, child)) {
      if (isParent(chain, child, parent, false)) extend([...chain, parent], parent);
    }
  }

  extend([leaf], leaf);
  return chains;
}

/** Whether the same authority is in the chain already, perhaps with another certificate. */
function isIn(chain: readonly Certificate[], candidate: Certificate): boolean {
  const names = extensionOf(candidate, NAMES_OID)?.value;
  const same = chain.filter(
    ({ rawSubject, subjectKey }) =>
      rawSubject.equals(candidate.rawSubject) && subjectKey.spki.equals(candidate.subjectKey.spki),
  );
  for (const certificate of same) {
    const others = extensionOf(certificate, NAMES_OID)?.value;
    if (names === undefined || others === undefined) return names === others;
    if (names.equals(others)) return true;
  }
  return false;
}

function hasSigned(parent: Certificate, child: Certificate): boolean {
  const { basicConstraints, keyUsage, version } = parent;
  if (basicConstraints === undefined ? version === 3 : !basicConstraints.isCa) return false;
  if (keyUsage !== 0 && (keyUsage & CERT_SIGN) === 0) return false;
  return verifies(parent.subjectKey, child.algorithm, child.rawTbs, child.signature);
}

/** Whether one of the usages is allowed by every certificate that names usages at all. */
function isUsable(chain: readonly Certificate[], usages: readonly string[]): boolean {
  const named = chain.map(({ extendedKeyUsages }) => new Set(extendedKeyUsages.map(oidText)));
  const narrowing = named.filter((own) => own.size > 0 && !own.has(ANY_USAGE));
  return usages.some((usage) => narrowing.every((own) => own.has(usage)));
}
