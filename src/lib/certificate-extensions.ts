import type { X509Certificate } from 'node:crypto';
import { type Element, elementsOf } from './der.ts';

/** What a certificate's extensions say, as far as Node does not tell it, or not exactly. */
export type CertificateExtensions = {
  /** `cA` of the basic constraints (RFC 5280 section 4.2.1.9). */
  readonly isCa: boolean;
  /** Undefined when there is no key usage (section 4.2.1.3). */
  readonly keyUsage:
    | { readonly digitalSignature: boolean; readonly keyCertSign: boolean; readonly crlSign: boolean }
    | undefined;
  /** The URIs among its alternative names (section 4.2.1.6). */
  readonly uris: readonly string[];
};

const MAX_ELEMENTS = 1000;
const [BOOLEAN, BIT_STRING, OCTET_STRING, SEQUENCE, URI, EXTENSIONS] = [0x01, 0x03, 0x04, 0x30, 0x86, 0xa3];
/** Object identifiers 2.5.29.15, 2.5.29.17 and 2.5.29.19. */
const [KEY_USAGE, NAMES, BASIC_CONSTRAINTS] = ['551d0f', '551d11', '551d13'];

/** Throws Error when the certificate has an extension that cannot be read, or one twice. */
export function extensionsOf({ raw }: Pick<X509Certificate, 'raw'>): CertificateExtensions {
  const [certificate] = inside(raw);
  const [signed] = inside(certificate?.content ?? raw);
  const list = inside(signed?.content ?? raw).find(({ tag }) => tag === EXTENSIONS);
  const extensions = list === undefined ? [] : inside(inside(list.content)[0]?.content ?? list.content);
  const found = new Map<string, Buffer>();
  for (const { content } of extensions) {
    const parts = inside(content);
    const [id, value] = [parts[0], parts.at(-1)];
    const name = id?.content.toString('hex') ?? '';
    if (value?.tag !== OCTET_STRING || found.has(name)) throw new Error('an extension that cannot be read');
    found.set(name, value.content);
  }
  return {
    isCa: isAuthority(found.get(BASIC_CONSTRAINTS)),
    keyUsage: usageIn(found.get(KEY_USAGE)),
    uris: urisIn(found.get(NAMES)),
  };
}

/** The elements of whatever is constructed; of a certificate's bytes, the certificate itself. */
const inside = (bytes: Buffer): readonly Element[] => elementsOf(bytes, MAX_ELEMENTS);

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
function isAuthority(value: Buffer | undefined): boolean {
  if (value === undefined) return false;
  const [constraints] = inside(value);
  if (constraints?.tag !== SEQUENCE) throw new Error('basic constraints that cannot be read');
  const [first] = inside(constraints.content);
  return first?.tag === BOOLEAN && first.content[0] !== 0;
}

/** KeyUsage ::= BIT STRING; digitalSignature is bit 0, keyCertSign 5, cRLSign 6, the highest bit of a byte first. */
function usageIn(value: Buffer | undefined): CertificateExtensions['keyUsage'] {
  if (value === undefined) return undefined;
  const [bits] = inside(value);
  const first = bits?.content[1] ?? 0;
  if (bits?.tag !== BIT_STRING) throw new Error('a key usage that cannot be read');
  return {
    digitalSignature: (first & 0x80) !== 0,
    keyCertSign: (first & 0x04) !== 0,
    crlSign: (first & 0x02) !== 0,
  };
}

/** SubjectAltName ::= SEQUENCE OF GeneralName; a URI is [6] IA5String. */
function urisIn(value: Buffer | undefined): readonly string[] {
  if (value === undefined) return [];
  const [names] = inside(value);
  if (names?.tag !== SEQUENCE) throw new Error('alternative names that cannot be read');
  return inside(names.content)
    .filter(({ tag }) => tag === URI)
    .map(({ content }) => content.toString('latin1'));
}
