import type { NameConstraints } from './constraints.ts';
import { oidText } from './der.ts';
import type { Attribute, CertificateTime } from './name.ts';
import type { Algorithm, SubjectKey } from './public-key.ts';
import type { Url } from './url.ts';

/*
 * What certificates say (RFC 5280).
 */

export type Extension = {
  readonly id: readonly number[];
  readonly critical: boolean;
  readonly value: Buffer;
};

export type AlternativeNames = {
  readonly dns: readonly string[];
  readonly emails: readonly string[];
  /** Four or sixteen bytes each. */
  readonly ips: readonly Buffer[];
  readonly uris: readonly Url[];
};

/** A number that an extension may give; zero is a limit of its own only when `isZero`. */
export type Limit = { readonly value: bigint; readonly isZero: boolean };

export type PolicyMapping = { readonly issuer: Buffer; readonly subject: Buffer };

/** What extensions say. */
export type Extensions = {
  readonly alternativeNames: AlternativeNames;
  /** Bits as RFC 5280 numbers them, the first one the lowest. */
  readonly keyUsage: number;
  /** Undefined when the extension is missing. */
  readonly basicConstraints: { readonly isCa: boolean; readonly maxPathLength: bigint } | undefined;
  readonly extendedKeyUsages: readonly (readonly number[])[];
  readonly subjectKeyId: Buffer | undefined;
  readonly authorityKeyId: Buffer | undefined;
  readonly ocspServers: readonly string[];
  readonly issuerUrls: readonly string[];
  readonly crlUrls: readonly string[];
  /** Object identifiers in DER, without tag and length. Undefined when the extension is missing. */
  readonly policies: readonly Buffer[] | undefined;
  readonly policyMappings: readonly PolicyMapping[];
  readonly requireExplicitPolicy: Limit;
  readonly inhibitPolicyMapping: Limit;
  readonly inhibitAnyPolicy: Limit;
  readonly nameConstraints: NameConstraints;
  /** Critical ones that nothing here understands: such a certificate is never valid. */
  readonly unhandled: readonly (readonly number[])[];
};

export type Certificate = Extensions & {
  /** DER of the whole and of its parts. */
  readonly raw: Buffer;
  readonly rawTbs: Buffer;
  readonly rawIssuer: Buffer;
  readonly rawSubject: Buffer;
  /** Counted from 1. */
  readonly version: number;
  readonly serialNumber: bigint;
  readonly algorithm: Algorithm;
  readonly signature: Buffer;
  readonly issuer: readonly Attribute[];
  readonly subject: readonly Attribute[];
  readonly notBefore: CertificateTime;
  readonly notAfter: CertificateTime;
  readonly subjectKey: SubjectKey;
  readonly extensions: readonly Extension[];
};

export const NAMES_OID = '2.5.29.17';
export const CONSTRAINTS_OID = '2.5.29.30';

/** The extension with this object identifier. */
export const extensionOf = (certificate: Certificate, oid: string): Extension | undefined =>
  certificate.extensions.find(({ id }) => oidText(id) === oid);
