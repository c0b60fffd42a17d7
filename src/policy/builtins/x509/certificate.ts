import { constrainedNames } from './constraints.ts';
import { type BitString, type DerReader, derReader, malformed, oidText, rightAligned, TAG } from './der.ts';
import { readExtensions } from './extensions.ts';
import type { Certificate, Extension, Extensions, Limit } from './model.ts';
import { attributesOf, nameText, timeOf } from './name.ts';
import { algorithmOf, subjectKeyOf } from './public-key.ts';

/*
 * Certificates (RFC 5280), read as Go's crypto/x509 reads them.
 */

const NO_LIMIT: Limit = { value: 0n, isZero: false };

const NO_EXTENSIONS: Extensions = {
  alternativeNames: { dns: [], emails: [], ips: [], uris: [] },
  keyUsage: 0,
  basicConstraints: undefined,
  extendedKeyUsages: [],
  subjectKeyId: undefined,
  authorityKeyId: undefined,
  ocspServers: [],
  issuerUrls: [],
  crlUrls: [],
  policies: undefined,
  policyMappings: [],
  requireExplicitPolicy: NO_LIMIT,
  inhibitPolicyMapping: NO_LIMIT,
  inhibitAnyPolicy: NO_LIMIT,
  nameConstraints: constrainedNames(),
  unhandled: [],
};

/** Certificates in DER, one after another. Throws BuiltinError. */
export function parseCertificates(der: Buffer, checkDeadline: () => void): readonly Certificate[] {
  const reader = derReader(der);
  const certificates: Certificate[] = [];
  while (!reader.isEmpty()) {
    checkDeadline();
    certificates.push(certificateOf(reader));
  }
  return certificates;
}

function certificateOf(reader: DerReader): Certificate {
  const whole = reader.element(TAG.sequence);
  const outer = derReader(whole.content);
  const { whole: rawTbs, content } = outer.element(TAG.sequence);
  const tbs = derReader(content);
  const version = versionOf(tbs);
  const serialNumber = tbs.integer();
  if (serialNumber < 0n) throw malformed('certificate: a negative serial number');
  const algorithmBytes = tbs.content(TAG.sequence);
  if (!outer.content(TAG.sequence).equals(algorithmBytes)) throw malformed('certificate: two signature algorithms');
  const algorithm = algorithmOf(derReader(algorithmBytes));
  const rawIssuer = tbs.element(TAG.sequence).whole;
  const issuer = attributesOf(rawIssuer, nameText);
  const validity = tbs.inside(TAG.sequence);
  const notBefore = timeOf(validity.any());
  const notAfter = timeOf(validity.any());
  const rawSubject = tbs.element(TAG.sequence).whole;
  const subject = attributesOf(rawSubject, nameText);
  const subjectKey = subjectKeyOf(tbs.element(TAG.sequence).whole);
  const extensions = version > 1 ? extensionsOf(tbs, version) : [];
  const signature: BitString = outer.bitString();
  return {
    ...readExtensions(NO_EXTENSIONS, extensions),
    raw: whole.whole,
    rawTbs,
    rawIssuer,
    rawSubject,
    version,
    serialNumber,
    algorithm,
    signature: rightAligned(signature),
    issuer,
    subject,
    notBefore,
    notAfter,
    subjectKey,
    extensions,
  };
}

const MAX_VERSION = 3n;

function versionOf(tbs: DerReader): number {
  const explicit = tbs.insideOptional(0xa0);
  const version = (explicit?.int64() ?? 0n) + 1n;
  if (explicit?.isEmpty() === false || version < 1n || version > MAX_VERSION) throw malformed('certificate version');
  return Number(version);
}

function extensionsOf(tbs: DerReader, version: number): readonly Extension[] {
  tbs.insideOptional(0x81);
  tbs.insideOptional(0x82);
  const list = version === 3 ? tbs.insideOptional(0xa3)?.inside(TAG.sequence) : undefined;
  const extensions: Extension[] = [];
  const seen = new Set<string>();
  while (list?.isEmpty() === false) {
    const extension = extensionFrom(list);
    const oid = oidText(extension.id);
    if (seen.has(oid)) throw malformed(`certificate: extension ${oid} twice`);
    seen.add(oid);
    extensions.push(extension);
  }
  return extensions;
}

/** Reads one Extension. Throws BuiltinError. */
export function extensionFrom(list: DerReader): Extension {
  const reader = list.inside(TAG.sequence);
  const id = reader.oid();
  const critical = reader.hasNext(TAG.boolean) && reader.boolean();
  return { id, critical, value: reader.content(TAG.octetString) };
}
