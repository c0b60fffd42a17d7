import { constraintsOf, isDomainName } from './constraints.ts';
import { contextTag, type DerReader, derReader, int64Of, malformed, oidText, TAG } from './der.ts';
import type { AlternativeNames, Extension, Extensions, Limit, PolicyMapping } from './model.ts';
import { ia5Of } from './name.ts';
import { textOf } from './text.ts';
import { type Url, urlFrom } from './url.ts';

/*
 * Extensions of certificates (RFC 5280 section 4.2).
 */

type Reader = (reader: DerReader, extension: Extension) => Partial<Extensions>;

const EMAIL = contextTag(1);
const DNS = contextTag(2);
const URI = contextTag(6);
const IP = contextTag(7);

/** What all of a certificate's extensions say; `none` for what they do not. Throws BuiltinError. */
export function readExtensions(none: Extensions, extensions: readonly Extension[]): Extensions {
  const unhandled: (readonly number[])[] = [];
  let known = none;
  for (const extension of extensions) {
    const found = READERS.get(oidText(extension.id))?.(derReader(extension.value), extension);
    if (found !== undefined) known = { ...known, ...found };
    if (extension.critical && (found === undefined || isUnhandled(found))) unhandled.push(extension.id);
  }
  return { ...known, unhandled };
}

/** Names of kinds that nothing here reads. */
function isUnhandled({ alternativeNames: names, nameConstraints }: Partial<Extensions>): boolean {
  if (nameConstraints !== undefined) return nameConstraints.hasOthers;
  return names !== undefined && names.dns.length + names.emails.length + names.ips.length + names.uris.length === 0;
}

function keyUsage(reader: DerReader): Partial<Extensions> {
  const { bytes, bitLength } = reader.bitString();
  let usage = 0;
  for (let bit = 0; bit < Math.min(bitLength, 9); bit++) {
    const byte = bytes[Math.floor(bit / 8)] ?? 0;
    if ((byte & (0x80 >> (bit % 8))) !== 0) usage |= 1 << bit;
  }
  return { keyUsage: usage };
}

function basicConstraints(reader: DerReader): Partial<Extensions> {
  const inner = reader.inside(TAG.sequence);
  const isCa = inner.hasNext(TAG.boolean) && inner.boolean();
  const maxPathLength = inner.hasNext(TAG.integer) ? inner.int64() : undefined;
  if (maxPathLength !== undefined && maxPathLength < 0n) throw malformed('basic constraints');
  return { basicConstraints: { isCa, maxPathLength: maxPathLength ?? -1n } };
}

/** Names of a SubjectAltName's value. Throws BuiltinError. */
export function alternativeNamesOf(value: Buffer): AlternativeNames {
  const list = derReader(value).inside(TAG.sequence);
  const dns: string[] = [];
  const emails: string[] = [];
  const ips: Buffer[] = [];
  const uris: Url[] = [];
  while (!list.isEmpty()) {
    const { tag, content } = list.any();
    if (tag === DNS) dns.push(ia5Of(content));
    else if (tag === EMAIL) emails.push(ia5Of(content));
    else if (tag === URI) uris.push(uriOf(ia5Of(content)));
    else if (tag === IP) {
      if (content.length !== 4 && content.length !== 16) throw malformed('IP address');
      ips.push(content);
    }
  }
  return { dns, emails, ips, uris };
}

function uriOf(text: string): Url {
  const url = urlFrom(text);
  if (url.host !== '' && !isDomainName(url.host, false)) throw malformed('URI: the host');
  return url;
}

function distributionPoints(reader: DerReader): Partial<Extensions> {
  const list = reader.inside(TAG.sequence);
  const crlUrls: string[] = [];
  while (!list.isEmpty()) {
    const names = list.inside(TAG.sequence).insideOptional(0xa0)?.inside(0xa0);
    while (names?.hasNext(URI)) crlUrls.push(textOf(names.content(URI)));
  }
  return { crlUrls };
}

function authorityKeyId(reader: DerReader, { critical }: Extension): Partial<Extensions> {
  if (critical) throw malformed('authority key identifier: it is critical');
  const inner = reader.inside(TAG.sequence);
  return { authorityKeyId: inner.hasNext(contextTag(0)) ? inner.content(contextTag(0)) : undefined };
}

function subjectKeyId(reader: DerReader, { critical }: Extension): Partial<Extensions> {
  if (critical) throw malformed('subject key identifier: it is critical');
  return { subjectKeyId: reader.content(TAG.octetString) };
}

const limitOf = (value: bigint): Limit => ({ value, isZero: value === 0n });

function policyConstraints(reader: DerReader): Partial<Extensions> {
  const inner = reader.inside(TAG.sequence);
  const limit = (number: number): Limit | undefined =>
    inner.hasNext(contextTag(number)) ? limitOf(int64Of(inner.content(contextTag(number)))) : undefined;
  const requireExplicitPolicy = limit(0);
  const inhibitPolicyMapping = limit(1);
  return {
    ...(requireExplicitPolicy === undefined ? {} : { requireExplicitPolicy }),
    ...(inhibitPolicyMapping === undefined ? {} : { inhibitPolicyMapping }),
  };
}

function extendedKeyUsages(reader: DerReader): Partial<Extensions> {
  const list = reader.inside(TAG.sequence);
  const usages: (readonly number[])[] = [];
  while (!list.isEmpty()) usages.push(list.oid());
  return { extendedKeyUsages: usages };
}

/** Longer components of policies are refused. */
const MAX_COMPONENT_BYTES = 64;

function checkPolicy(oid: Buffer): Buffer {
  let length = 0;
  for (const byte of oid) {
    if (length === 0 && byte === 0x80) throw malformed('certificate policy');
    length = byte < 0x80 ? 0 : length + 1;
    if (length > MAX_COMPONENT_BYTES) throw malformed('certificate policy');
  }
  if (oid.length === 0 || length > 0) throw malformed('certificate policy');
  return oid;
}

function policies(reader: DerReader): Partial<Extensions> {
  const list = reader.inside(TAG.sequence);
  const found = new Map<string, Buffer>();
  while (!list.isEmpty()) {
    const oid = checkPolicy(list.inside(TAG.sequence).content(TAG.oid));
    const key = oid.toString('hex');
    if (found.has(key)) throw malformed('certificate policies: one of them twice');
    found.set(key, oid);
  }
  return { policies: [...found.values()] };
}

function policyMappings(reader: DerReader): Partial<Extensions> {
  const list = reader.inside(TAG.sequence);
  const mappings: PolicyMapping[] = [];
  while (!list.isEmpty()) {
    const mapping = list.inside(TAG.sequence);
    mappings.push({ issuer: checkPolicy(mapping.content(TAG.oid)), subject: checkPolicy(mapping.content(TAG.oid)) });
  }
  return { policyMappings: mappings };
}

const OCSP = '1.3.6.1.5.5.7.48.1';
const ISSUERS = '1.3.6.1.5.5.7.48.2';

function authorityAccess(reader: DerReader, { critical }: Extension): Partial<Extensions> {
  if (critical) throw malformed('authority information access: it is critical');
  const list = reader.inside(TAG.sequence);
  const ocspServers: string[] = [];
  const issuerUrls: string[] = [];
  while (!list.isEmpty()) {
    const access = list.inside(TAG.sequence);
    const method = oidText(access.oid());
    if (!access.hasNext(URI)) continue;
    const url = textOf(access.content(URI));
    if (method === OCSP) ocspServers.push(url);
    else if (method === ISSUERS) issuerUrls.push(url);
  }
  return { ocspServers, issuerUrls };
}

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['2.5.29.14', subjectKeyId],
  ['2.5.29.15', keyUsage],
  ['2.5.29.17', (_reader, { value }) => ({ alternativeNames: alternativeNamesOf(value) })],
  ['2.5.29.19', basicConstraints],
  ['2.5.29.30', (_reader, { value }) => ({ nameConstraints: constraintsOf(value) })],
  ['2.5.29.31', distributionPoints],
  ['2.5.29.32', policies],
  ['2.5.29.33', policyMappings],
  ['2.5.29.35', authorityKeyId],
  ['2.5.29.36', policyConstraints],
  ['2.5.29.37', extendedKeyUsages],
  ['2.5.29.54', (reader) => ({ inhibitAnyPolicy: limitOf(reader.int64()) })],
  ['1.3.6.1.5.5.7.1.1', authorityAccess],
]);
