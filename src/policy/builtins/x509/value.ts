import { number } from '../../../values/number.ts';
import { RegoObject, type Value } from '../../../values/value.ts';
import { spellUrl, type Url } from '../uri/url.ts';
import type { IpRange } from './constraints.ts';
import { oidText } from './der.ts';
import { ipText } from './ip.ts';
import type { AlternativeNames, Certificate, Extension } from './model.ts';
import { type Attribute, COMMON_NAME, lastOf, NAME_MEMBERS, SERIAL_NUMBER } from './name.ts';
import { KEY_NUMBERS, type PublicKey, schemeOf } from './public-key.ts';
import { textOf } from './text.ts';

/*
 * Certificates as OPA gives them to policies: the members of Go's x509.Certificate, bytes in base64, numbers for what is
 * enumerated, null for lists of nothing. https://pkg.go.dev/crypto/x509#Certificate
 */

const base64 = (bytes: Buffer): string => bytes.toString('base64');

/** Null in the place of no members. */
const list = <T>(items: readonly T[], toValue: (item: T) => Value): Value =>
  items.length === 0 ? null : items.map(toValue);
const same = (text: string): Value => text;
const oidValue = (oid: readonly number[]): Value => oid;

/** Go's numbers of extended key usages. */
const USAGES: readonly string[] = [
  '2.5.29.37.0',
  '1.3.6.1.5.5.7.3.1',
  '1.3.6.1.5.5.7.3.2',
  '1.3.6.1.5.5.7.3.3',
  '1.3.6.1.5.5.7.3.4',
  '1.3.6.1.5.5.7.3.5',
  '1.3.6.1.5.5.7.3.6',
  '1.3.6.1.5.5.7.3.7',
  '1.3.6.1.5.5.7.3.8',
  '1.3.6.1.5.5.7.3.9',
  '1.3.6.1.4.1.311.10.3.3',
  '2.16.840.1.113730.4.1',
  '1.3.6.1.4.1.311.2.1.22',
  '1.3.6.1.4.1.311.61.1.1',
];

/** Object identifiers of usages by the names that options have for them. */
export const USAGE_OIDS: ReadonlyMap<string, string> = new Map(
  [
    'Any',
    'ServerAuth',
    'ClientAuth',
    'CodeSigning',
    'EmailProtection',
    'IPSECEndSystem',
    'IPSECTunnel',
    'IPSECUser',
    'TimeStamping',
    'OCSPSigning',
    'MicrosoftServerGatedCrypto',
    'NetscapeServerGatedCrypto',
    'MicrosoftCommercialCodeSigning',
    'MicrosoftKernelCodeSigning',
  ].map((name, i) => [`KeyUsage${name}`, USAGES[i] ?? '']),
);

export function publicKeyValue(key: PublicKey | undefined): Value {
  switch (key?.kind) {
    case 'rsa':
      return RegoObject.from({ E: number(key.e), N: number(key.n) });
    case 'ec':
      return RegoObject.from({ Curve: new RegoObject(), X: number(key.x), Y: number(key.y) });
    case 'ed25519':
      return base64(key.bytes);
    case 'dsa':
      return RegoObject.from({ G: number(key.g), P: number(key.p), Q: number(key.q), Y: number(key.y) });
    default:
      return null;
  }
}

export const extensionValue = ({ id, critical, value }: Extension): Value =>
  RegoObject.from({ Critical: critical, Id: id, Value: base64(value) });

/** Go's pkix.Name. Values that are no strings are only among `Names`. */
export function nameValue(attributes: readonly Attribute<Value>[]): Value {
  const members = [...NAME_MEMBERS].map(([oid, member]): [string, Value] => {
    const values = attributes.filter(({ type, value }) => oidText(type) === oid && typeof value === 'string');
    return [member, list(values, ({ value }) => value)];
  });
  return new RegoObject([
    ...members,
    ['CommonName', lastOf(attributes, COMMON_NAME)],
    ['SerialNumber', lastOf(attributes, SERIAL_NUMBER)],
    ['Names', list(attributes, ({ type, value }) => RegoObject.from({ Type: type, Value: value }))],
    ['ExtraNames', null],
  ]);
}

function urlValue(url: Url): Value {
  return RegoObject.from({
    Scheme: textOf(url.scheme),
    Opaque: textOf(url.opaque),
    User: url.user === undefined ? null : new RegoObject(),
    Host: textOf(url.host),
    Path: textOf(url.path),
    RawPath: textOf(url.rawPath),
    OmitHost: url.omitHost,
    ForceQuery: url.forceQuery,
    RawQuery: textOf(url.rawQuery),
    Fragment: textOf(url.fragment),
    RawFragment: textOf(url.rawFragment),
  });
}

export const alternativeNamesValue = ({
  dns,
  emails,
  ips,
  uris,
}: AlternativeNames): { readonly [key: string]: Value } => ({
  DNSNames: list(dns, same),
  EmailAddresses: list(emails, same),
  IPAddresses: list(ips, ipText),
  URIs: list(uris, urlValue),
});

const rangeValue = ({ ip, mask }: IpRange): Value => RegoObject.from({ IP: ipText(ip), Mask: base64(mask) });

function constraintsValue({ nameConstraints, extensions }: Certificate): { readonly [key: string]: Value } {
  const { permitted, excluded } = nameConstraints;
  const isCritical = extensions.some(({ id, critical }) => critical && oidText(id) === '2.5.29.30');
  return {
    PermittedDNSDomainsCritical: isCritical,
    PermittedDNSDomains: list(permitted.dns, same),
    PermittedIPRanges: list(permitted.ips, rangeValue),
    PermittedEmailAddresses: list(permitted.emails, same),
    PermittedURIDomains: list(permitted.uris, same),
    ExcludedDNSDomains: list(excluded.dns, same),
    ExcludedIPRanges: list(excluded.ips, rangeValue),
    ExcludedEmailAddresses: list(excluded.emails, same),
    ExcludedURIDomains: list(excluded.uris, same),
  };
}

/** An object identifier in DER as its components, of any size. */
function componentsOf(oid: Buffer): readonly bigint[] {
  const values: bigint[] = [];
  let value = 0n;
  for (const byte of oid) {
    value = (value << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    values.push(value);
    value = 0n;
  }
  const [first = 0n, ...rest] = values;
  return first < 80n ? [first / 40n, first % 40n, ...rest] : [2n, first - 80n, ...rest];
}

const policyText = (oid: Buffer): string => componentsOf(oid).join('.');

const MAX_COMPONENT = 2n ** 31n - 1n;

function policiesValue(certificate: Certificate): { readonly [key: string]: Value } {
  const { policies, policyMappings, requireExplicitPolicy, inhibitPolicyMapping, inhibitAnyPolicy } = certificate;
  // Go measures the first component together with the second one.
  const small = policies?.map(componentsOf).filter((components) => components.every((one) => one <= MAX_COMPONENT));
  return {
    Policies: list(policies ?? [], policyText),
    PolicyIdentifiers: small === undefined ? null : small.map((components) => components.map(Number)),
    PolicyMappings: list(policyMappings, ({ issuer, subject }) =>
      RegoObject.from({ IssuerDomainPolicy: policyText(issuer), SubjectDomainPolicy: policyText(subject) }),
    ),
    RequireExplicitPolicy: number(requireExplicitPolicy.value),
    RequireExplicitPolicyZero: requireExplicitPolicy.isZero,
    InhibitPolicyMapping: number(inhibitPolicyMapping.value),
    InhibitPolicyMappingZero: inhibitPolicyMapping.isZero,
    InhibitAnyPolicy: number(inhibitAnyPolicy.value),
    InhibitAnyPolicyZero: inhibitAnyPolicy.isZero,
  };
}

function usagesValue({ extendedKeyUsages, basicConstraints, keyUsage }: Certificate): {
  readonly [key: string]: Value;
} {
  const numbers = extendedKeyUsages.map((oid) => USAGES.indexOf(oidText(oid)));
  return {
    KeyUsage: keyUsage,
    ExtKeyUsage: list(
      numbers.filter((usage) => usage >= 0),
      (usage) => usage,
    ),
    UnknownExtKeyUsage: list(
      extendedKeyUsages.filter((_oid, i) => numbers[i] === -1),
      oidValue,
    ),
    BasicConstraintsValid: basicConstraints !== undefined,
    IsCA: basicConstraints?.isCa ?? false,
    MaxPathLen: number(basicConstraints?.maxPathLength ?? 0n),
    MaxPathLenZero: basicConstraints?.maxPathLength === 0n,
  };
}

/** Members of Go's x509.Certificate. */
export function certificateValue(certificate: Certificate): RegoObject {
  const { subjectKey, subjectKeyId, authorityKeyId } = certificate;
  return RegoObject.from({
    Raw: base64(certificate.raw),
    RawTBSCertificate: base64(certificate.rawTbs),
    RawSubjectPublicKeyInfo: base64(subjectKey.spki),
    RawSubject: base64(certificate.rawSubject),
    RawIssuer: base64(certificate.rawIssuer),
    Signature: base64(certificate.signature),
    SignatureAlgorithm: schemeOf(certificate.algorithm).number,
    PublicKeyAlgorithm: subjectKey.key === undefined ? 0 : KEY_NUMBERS[subjectKey.key.kind],
    PublicKey: publicKeyValue(subjectKey.key),
    Version: certificate.version,
    SerialNumber: number(certificate.serialNumber),
    Issuer: nameValue(certificate.issuer),
    Subject: nameValue(certificate.subject),
    NotBefore: certificate.notBefore.text,
    NotAfter: certificate.notAfter.text,
    Extensions: list(certificate.extensions, extensionValue),
    ExtraExtensions: null,
    UnhandledCriticalExtensions: list(certificate.unhandled, oidValue),
    SubjectKeyId: subjectKeyId === undefined ? null : base64(subjectKeyId),
    AuthorityKeyId: authorityKeyId === undefined ? null : base64(authorityKeyId),
    OCSPServer: list(certificate.ocspServers, same),
    IssuingCertificateURL: list(certificate.issuerUrls, same),
    CRLDistributionPoints: list(certificate.crlUrls, same),
    ...alternativeNamesValue(certificate.alternativeNames),
    ...usagesValue(certificate),
    ...constraintsValue(certificate),
    ...policiesValue(certificate),
  });
}

/** The same with `URIStrings`, which OPA adds. */
export function certificateWithUris(certificate: Certificate): Value {
  const uris = list(certificate.alternativeNames.uris, (url) => spellUrl(url));
  return new RegoObject([...certificateValue(certificate), ['URIStrings', uris]]);
}
