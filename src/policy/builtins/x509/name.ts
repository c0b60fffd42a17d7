import { isUtf8 } from 'node:buffer';
import { type DerElement, derReader, malformed, oidText, TAG } from './der.ts';

/*
 * Names and times of certificates (RFC 5280 sections 4.1.2.4 and 4.1.2.5).
 */

export type Attribute<V = string> = { readonly type: readonly number[]; readonly value: V };

const LATIN1_PRINTABLE = /^[A-Za-z0-9'()+,\-./ :=?*&]*$/;
const NUMERIC = /^[0-9 ]*$/;

/** Text of an ASN.1 string type. Undefined for any other type. Throws BuiltinError. */
export function stringOf({ tag, content }: DerElement): string | undefined {
  switch (tag) {
    case TAG.t61String:
      return content.toString('latin1');
    case TAG.printableString:
      return matching(LATIN1_PRINTABLE, content);
    case TAG.numericString:
      return matching(NUMERIC, content);
    case TAG.ia5String:
      return ia5Of(content);
    case TAG.utf8String:
      if (!isUtf8(content)) throw malformed('UTF8String');
      return content.toString('utf8');
    case TAG.bmpString:
      return bmpOf(content);
    default:
      return undefined;
  }
}

function matching(pattern: RegExp, content: Buffer): string {
  const text = content.toString('latin1');
  if (!pattern.test(text)) throw malformed('string');
  return text;
}

/** ASCII text. Throws BuiltinError. */
export function ia5Of(content: Buffer): string {
  if (content.some((byte) => byte >= 0x80)) throw malformed('IA5String');
  return content.toString('latin1');
}

/** Surrogates and what is no character. */
const NO_BMP = /[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]/;

function bmpOf(content: Buffer): string {
  if (content.length % 2 !== 0) throw malformed('BMPString');
  const text = Buffer.from(content).swap16().toString('utf16le');
  const trimmed = text.endsWith('\0') ? text.slice(0, -1) : text;
  if (NO_BMP.test(trimmed)) throw malformed('BMPString');
  return trimmed;
}

/** The attributes of a Name's DER. Throws BuiltinError. */
export function attributesOf<V>(name: Buffer, read: (element: DerElement) => V): readonly Attribute<V>[] {
  const rdns = derReader(name).inside(TAG.sequence);
  const attributes: Attribute<V>[] = [];
  while (!rdns.isEmpty()) {
    const set = rdns.inside(TAG.set);
    while (!set.isEmpty()) {
      const attribute = set.inside(TAG.sequence);
      const type = attribute.oid();
      attributes.push({ type, value: read(attribute.any()) });
    }
  }
  return attributes;
}

/** An attribute's value in a certificate, where it has to be a string. */
export function nameText(element: DerElement): string {
  const text = stringOf(element);
  if (text === undefined) throw malformed('name');
  return text;
}

/** A time as RFC 3339 text and in ns since the epoch. */
export type CertificateTime = { readonly text: string; readonly ns: bigint };

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(Z|[+-]\d{4})$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(Z|[+-]\d{4})$/;
const NS_PER_MS = 1_000_000n;
const MS_PER_MINUTE = 60_000;
/** Two digits from here on are of the 20th century. */
const CENTURY_TURN = 50;

/** UTCTime or GeneralizedTime. Throws BuiltinError. */
export function timeOf({ tag, content }: DerElement): CertificateTime {
  if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) throw malformed('time');
  const match = (tag === TAG.utcTime ? UTC_TIME : GENERALIZED_TIME).exec(content.toString('latin1'));
  if (match === null) throw malformed('time');
  const [, yearText = '', month = '', day = '', hour = '', minute = '', second = '00', zone = ''] = match;
  const short = Number(yearText);
  const year = tag === TAG.utcTime ? short + (short >= CENTURY_TURN ? 1900 : 2000) : short;
  const date = new Date(0);
  date.setUTCFullYear(year, Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  const local = `${String(year).padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}`;
  if (date.toISOString() !== `${local}.000Z`) throw malformed('time');
  const ms = date.getTime() - offsetMinutes(zone) * MS_PER_MINUTE;
  const offset = zone === 'Z' ? zone : `${zone.slice(0, 3)}:${zone.slice(3)}`;
  return { text: local + offset, ns: BigInt(ms) * NS_PER_MS };
}

/** Minutes east of Greenwich. No offset is spelled `Z` and nothing else. */
function offsetMinutes(zone: string): number {
  if (zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3));
  if (hours > 23 || minutes > 59 || hours + minutes === 0) throw malformed('time');
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

/** Names of attributes (2.5.4.x) that a certificate's name has as members of their own. */
export const NAME_MEMBERS: ReadonlyMap<string, string> = new Map([
  ['2.5.4.6', 'Country'],
  ['2.5.4.7', 'Locality'],
  ['2.5.4.8', 'Province'],
  ['2.5.4.9', 'StreetAddress'],
  ['2.5.4.10', 'Organization'],
  ['2.5.4.11', 'OrganizationalUnit'],
  ['2.5.4.17', 'PostalCode'],
]);
export const COMMON_NAME = '2.5.4.3';
export const SERIAL_NUMBER = '2.5.4.5';

/** The last value of an attribute type; empty without one. */
export const lastOf = (attributes: readonly Attribute<unknown>[], type: string): string => {
  const found = attributes.findLast(({ type: own, value }) => oidText(own) === type && typeof value === 'string');
  return typeof found?.value === 'string' ? found.value : '';
};
