import { number } from '../../../values/number.ts';
import { RegoObject, type Value } from '../../../values/value.ts';
import { BuiltinError } from '../builtin.ts';
import { extensionFrom } from './certificate.ts';
import {
  bitStringOf,
  type DerElement,
  derReader,
  int64Of,
  malformed,
  oidOf,
  oidText,
  rightAligned,
  TAG,
} from './der.ts';
import { alternativeNamesOf } from './extensions.ts';
import { type AlternativeNames, type Extension, NAMES_OID } from './model.ts';
import { type Attribute, attributesOf, stringOf, timeOf } from './name.ts';
import { algorithmOf, KEY_NUMBERS, schemeOf, subjectKeyOf } from './public-key.ts';
import { alternativeNamesValue, extensionValue, nameValue, publicKeyValue } from './value.ts';

/*
 * Certificate requests (RFC 2986), as the members of Go's x509.CertificateRequest.
 */

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/** The value of an element of a simple type; null for any other. Throws BuiltinError. */
function simpleValue(element: DerElement): Value {
  const { tag, content } = element;
  switch (tag) {
    case TAG.boolean:
      return derReader(element.whole).boolean();
    case TAG.integer:
      return number(int64Of(content));
    case TAG.bitString: {
      const { bytes, bitLength } = bitStringOf(content);
      return RegoObject.from({ Bytes: bytes.toString('base64'), BitLength: bitLength });
    }
    case TAG.octetString:
      return content.toString('base64');
    case TAG.oid:
      return oidOf(content);
    case TAG.utcTime:
    case TAG.generalizedTime:
      return timeOf(element).text;
    default:
      return stringOf(element) ?? null;
  }
}

/** An attribute whose values are sequences of types and values. Undefined for attributes of other kinds. */
function attributeValue(whole: Buffer): Value | undefined {
  try {
    const attribute = derReader(whole).inside(TAG.sequence);
    const type = attribute.oid();
    const set = attribute.inside(TAG.set);
    const values: Value[] = [];
    while (!set.isEmpty()) {
      const list = set.inside(TAG.sequence);
      const pairs: Value[] = [];
      while (!list.isEmpty()) {
        const pair = list.inside(TAG.sequence);
        pairs.push(RegoObject.from({ Type: pair.oid(), Value: simpleValue(pair.any()) }));
      }
      values.push(pairs);
    }
    return RegoObject.from({ Type: type, Value: values });
  } catch (cause) {
    if (cause instanceof BuiltinError) return undefined;
    throw cause;
  }
}

/** DER of requested extensions. Undefined for an attribute that is none of them. */
function requestedExtensions(whole: Buffer): Buffer | undefined {
  try {
    const attribute = derReader(whole).inside(TAG.sequence);
    const isRequest = oidText(attribute.oid()) === EXTENSION_REQUEST;
    const set = attribute.inside(TAG.set);
    const first = set.isEmpty() ? undefined : set.any().whole;
    while (!set.isEmpty()) set.any();
    return isRequest ? first : undefined;
  } catch (cause) {
    if (cause instanceof BuiltinError) return undefined;
    throw cause;
  }
}

function extensionsOf(attributes: readonly Buffer[]): readonly Extension[] {
  const extensions = new Map<string, Extension>();
  for (const attribute of attributes) {
    const requested = requestedExtensions(attribute);
    const list = requested === undefined ? undefined : derReader(requested).inside(TAG.sequence);
    while (list?.isEmpty() === false) {
      const extension = extensionFrom(list);
      const oid = oidText(extension.id);
      if (extensions.has(oid)) throw malformed('certificate request: an extension twice');
      extensions.set(oid, extension);
    }
  }
  return [...extensions.values()];
}

const NO_NAMES: AlternativeNames = { dns: [], emails: [], ips: [], uris: [] };

/** Of a request in DER. Throws BuiltinError. */
export function requestValue(der: Buffer): Value {
  const reader = derReader(der);
  const whole = reader.element(TAG.sequence);
  if (!reader.isEmpty()) throw malformed('certificate request: more after it');
  const outer = derReader(whole.content);
  const tbs = outer.element(TAG.sequence);
  const inner = derReader(tbs.content);
  const version = inner.int64();
  const subject = inner.any().whole;
  const { key, spki } = subjectKeyOf(inner.element(TAG.sequence).whole);
  const list = inner.inside(0xa0);
  const attributes: Buffer[] = [];
  while (!list.isEmpty()) attributes.push(list.any().whole);
  const algorithm = algorithmOf(outer.inside(TAG.sequence));
  const signature = rightAligned(outer.bitString());
  const names: readonly Attribute<Value>[] = attributesOf(subject, simpleValue);
  const extensions = extensionsOf(attributes);
  const alternative = extensions.find(({ id }) => oidText(id) === NAMES_OID);
  const values = attributes.map(attributeValue).filter((value) => value !== undefined);
  return RegoObject.from({
    Raw: whole.whole.toString('base64'),
    RawTBSCertificateRequest: tbs.whole.toString('base64'),
    RawSubjectPublicKeyInfo: spki.toString('base64'),
    RawSubject: subject.toString('base64'),
    Version: number(version),
    Signature: signature.toString('base64'),
    SignatureAlgorithm: schemeOf(algorithm).number,
    PublicKeyAlgorithm: key === undefined ? 0 : KEY_NUMBERS[key.kind],
    PublicKey: publicKeyValue(key),
    Subject: nameValue(names),
    Attributes: values.length === 0 ? null : values,
    Extensions: extensions.length === 0 ? null : extensions.map(extensionValue),
    ExtraExtensions: null,
    ...alternativeNamesValue(alternative === undefined ? NO_NAMES : alternativeNamesOf(alternative.value)),
  });
}
