import { isIP } from 'node:net';
import { constructedTag, contextTag, type DerReader, derReader, malformed, TAG } from './der.ts';
import { isMapped } from './ip.ts';
import { type Mailbox, mailboxOf } from './mailbox.ts';
import { type Certificate, CONSTRAINTS_OID, extensionOf, NAMES_OID } from './model.ts';
import { ia5Of } from './name.ts';
import type { Url } from './url.ts';

/*
 * Names that an authority may certify (RFC 5280 section 4.2.1.10), with the leniencies of Go's crypto/x509: a leading
 * dot means subdomains only, for all kinds of names.
 */

/** Address and mask, four or sixteen bytes each; masks are prefixes. */
export type IpRange = { readonly ip: Buffer; readonly mask: Buffer };

/** Names of one side, as they are written. */
export type Subtrees = {
  readonly dns: readonly string[];
  readonly ips: readonly IpRange[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
};

export type NameConstraints = {
  readonly permitted: Subtrees;
  readonly excluded: Subtrees;
  /** Whether there are constraints on names of other kinds, such as directory names, which nothing here checks. */
  readonly hasOthers: boolean;
};

const NO_SUBTREES: Subtrees = { dns: [], ips: [], emails: [], uris: [] };

/** No constraints. */
export const constrainedNames = (): NameConstraints => ({
  permitted: NO_SUBTREES,
  excluded: NO_SUBTREES,
  hasOthers: false,
});

/** Of the extension's value. Throws BuiltinError. */
export function constraintsOf(value: Buffer): NameConstraints {
  const outer = derReader(value);
  const list = outer.inside(TAG.sequence);
  const permitted = list.insideOptional(constructedTag(0));
  const excluded = list.insideOptional(constructedTag(1));
  if (!outer.isEmpty() || !list.isEmpty()) throw malformed('name constraints');
  if ((permitted?.isEmpty() ?? true) && (excluded?.isEmpty() ?? true)) throw malformed('name constraints: none');
  const allowed = subtreesOf(permitted);
  const refused = subtreesOf(excluded);
  return {
    permitted: allowed.subtrees,
    excluded: refused.subtrees,
    hasOthers: allowed.hasOthers || refused.hasOthers,
  };
}

function subtreesOf(list: DerReader | undefined): { readonly subtrees: Subtrees; readonly hasOthers: boolean } {
  const dns: string[] = [];
  const ips: IpRange[] = [];
  const emails: string[] = [];
  const uris: string[] = [];
  let hasOthers = false;
  while (list?.isEmpty() === false) {
    const { tag, content } = list.inside(TAG.sequence).any();
    if (tag === contextTag(2)) dns.push(domainFrom(content));
    else if (tag === contextTag(7)) ips.push(rangeOf(content));
    else if (tag === contextTag(1)) emails.push(emailFrom(content));
    else if (tag === contextTag(6)) uris.push(uriDomainFrom(content));
    else hasOthers = true;
  }
  return { subtrees: { dns, ips, emails, uris }, hasOthers };
}

function domainFrom(content: Buffer): string {
  const domain = ia5Of(content);
  if (!isDomainName(domain, true)) throw malformed('name constraint');
  return domain;
}

function emailFrom(content: Buffer): string {
  const email = ia5Of(content);
  if (!email.includes('@')) return domainFrom(content);
  if (mailboxOf(email) === undefined) throw malformed('name constraint');
  return email;
}

function uriDomainFrom(content: Buffer): string {
  if (isIP(ia5Of(content)) !== 0) throw malformed('name constraint: an IP address');
  return domainFrom(content);
}

const IP_MASK = /^f*[8ce]?0*$/;

function rangeOf(content: Buffer): IpRange {
  if (content.length !== 8 && content.length !== 32) throw malformed('name constraint');
  const half = content.length / 2;
  const mask = content.subarray(half);
  if (!IP_MASK.test(mask.toString('hex'))) throw malformed('name constraint: the mask');
  return { ip: content.subarray(0, half), mask };
}

/** Nothing, or labels of visible ASCII; a constraint may begin with a dot. */
export function isDomainName(name: string, isConstraint: boolean): boolean {
  if (name === '') return true;
  const labels = (isConstraint && name.startsWith('.') ? name.slice(1) : name).split('.');
  return labels.every((label) => /^[!-~]+$/.test(label));
}

/** Names that are longer, in characters, are refused where names are constrained. */
const MAX_NAME = 1_000;

type DomainSet = (domain: string) => boolean;

/** Whether a domain is one of these or below one. Exclusion also covers wildcards that could stand for one of them. */
function domainSet(domains: readonly string[], isExclusion: boolean): DomainSet {
  const names = new Set(domains.map((domain) => domain.toLowerCase()));
  const parents = new Set(isExclusion ? [...names].map(afterFirstLabel) : []);
  parents.delete('');
  return (domain) => {
    if (names.has('')) return true;
    const name = domain.toLowerCase();
    if (names.has(name) || (name.startsWith('*') && parents.has(afterFirstLabel(name)))) return true;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      if (names.has(name.slice(dot + 1)) || (dot > 0 && names.has(name.slice(dot)))) return true;
    }
    return false;
  };
}

const afterFirstLabel = (name: string): string => (name.includes('.') ? name.slice(name.indexOf('.')) : '');

function mailboxSet(emails: readonly string[], isExclusion: boolean): (mailbox: Mailbox) => boolean {
  const exact = new Set(emails.map(mailboxOf).map((mailbox) => (mailbox === undefined ? '' : mailboxKey(mailbox))));
  const domains = emails.filter((email) => !email.includes('@'));
  const isBelow = domainSet(domains, isExclusion);
  return (mailbox) => exact.has(mailboxKey(mailbox)) || isBelow(mailbox.domain);
}

const mailboxKey = ({ local, domain }: Mailbox): string => `${local}@${domain.toLowerCase()}`;

/** Address family with what counts of the address: IPv4 in IPv6 is a family of its own. */
function familyOf(ip: Buffer): { readonly family: string; readonly bytes: Buffer } {
  return isMapped(ip) ? { family: 'mapped', bytes: ip.subarray(12) } : { family: String(ip.length), bytes: ip };
}

function rangeSet(ranges: readonly IpRange[]): (ip: Buffer) => boolean {
  const networks = new Set<string>();
  const masks = new Map<string, Buffer>();
  const keyOf = (family: string, bytes: Buffer, mask: Buffer): string =>
    `${family} ${mask.toString('hex')} ${Buffer.from(bytes.map((byte, i) => byte & (mask[i] ?? 0))).toString('hex')}`;
  for (const { ip, mask } of ranges) {
    const { family, bytes } = familyOf(ip);
    const own = mask.subarray(mask.length - bytes.length);
    networks.add(keyOf(family, bytes, own));
    masks.set(own.toString('hex'), own);
  }
  return (ip) => {
    const { family, bytes } = familyOf(ip);
    return [...masks.values()].some((mask) => mask.length === bytes.length && networks.has(keyOf(family, bytes, mask)));
  };
}

/** Names that constraints are held against. */
type Names = {
  readonly dns: readonly string[];
  readonly ips: readonly Buffer[];
  readonly mailboxes: readonly Mailbox[];
  readonly uriDomains: readonly string[];
};

/** Undefined when there are names that no constraint can be held against. */
function namesOf({ alternativeNames: { dns, emails, ips, uris } }: Certificate): Names | undefined {
  const mailboxes = emails.map(mailboxOf).filter((mailbox) => mailbox !== undefined);
  const uriDomains = uris.map(uriDomain).filter((domain) => domain !== undefined);
  if (mailboxes.length < emails.length || uriDomains.length < uris.length) return undefined;
  const domains = [...dns, ...uriDomains, ...mailboxes.map(({ domain }) => domain)];
  const areGood = domains.every((domain) => domain.length <= MAX_NAME && isDomainName(domain, false));
  return areGood ? { dns, ips, mailboxes, uriDomains } : undefined;
}

/** The host without its port. Undefined without a host and for IP addresses. */
function uriDomain({ host }: Url): string | undefined {
  const domain = host.replace(/:[^:]*$/, '').toLowerCase();
  return domain === '' || domain.includes(':') || domain.startsWith('[') || isIP(domain) !== 0 ? undefined : domain;
}

type Check = (names: Names) => boolean;

function checkOf({ permitted, excluded }: NameConstraints): Check {
  const passes = <C, N>(
    pick: (subtrees: Subtrees) => readonly C[],
    matcher: (constraints: readonly C[], isExclusion: boolean) => (name: N) => boolean,
  ): ((names: readonly N[]) => boolean) => {
    const allowed = pick(permitted);
    const refused = pick(excluded);
    const isAllowed = allowed.length === 0 ? () => true : matcher(allowed, false);
    const isRefused = refused.length === 0 ? () => false : matcher(refused, true);
    return (names) => names.every((name) => isAllowed(name) && !isRefused(name));
  };
  const dns = passes<string, string>(({ dns: domains }) => domains, domainSet);
  const uris = passes<string, string>(({ uris: domains }) => domains, domainSet);
  const emails = passes<string, Mailbox>(({ emails: boxes }) => boxes, mailboxSet);
  const ips = passes<IpRange, Buffer>(({ ips: ranges }) => ranges, rangeSet);
  return (names) => ips(names.ips) && dns(names.dns) && uris(names.uriDomains) && emails(names.mailboxes);
}

/** Whether all names in a chain, the leaf first, are ones that the certificates above them may certify. */
export function namesAreAllowed(chain: readonly Certificate[]): boolean {
  const checks: Check[] = [];
  for (const certificate of chain.toReversed()) {
    if (checks.length > 0 && extensionOf(certificate, NAMES_OID) !== undefined) {
      const names = namesOf(certificate);
      if (names === undefined || !checks.every((check) => check(names))) return false;
    }
    const isConstraining = extensionOf(certificate, CONSTRAINTS_OID) !== undefined;
    if (isConstraining) checks.push(checkOf(certificate.nameConstraints));
  }
  return true;
}
