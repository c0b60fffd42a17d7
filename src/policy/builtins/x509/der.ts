import { BuiltinError } from '../builtin.ts';

/*
 * DER (ITU-T X.690), as much of it as certificates and keys need. Nothing here recurses.
 */

/** Tags of universal types; constructed ones with their bit. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  t61String: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tags. */
export const contextTag = (number: number): number => 0x80 | number;
export const constructedTag = (number: number): number => 0xa0 | number;

export type DerElement = { readonly tag: number; readonly content: Buffer; readonly whole: Buffer };

export type BitString = { readonly bytes: Buffer; readonly bitLength: number };

/** Longer integers are refused: arithmetic and decimal text of them takes too long. 16384 bits and a sign. */
const MAX_INTEGER_BYTES = 2_049;

/** What every malformed certificate or key is answered with. */
export const malformed = (what: string): BuiltinError => new BuiltinError(`malformed ${what}`);

/** Reads one element after another. All methods throw BuiltinError when the next element is not what is asked for. */
export type DerReader = {
  readonly isEmpty: () => boolean;
  /** Whether the next element has this tag. */
  readonly hasNext: (tag: number) => boolean;
  /** The next element, whatever its tag is. */
  readonly any: () => DerElement;
  /** The next element with this tag. */
  readonly element: (tag: number) => DerElement;
  /** Its content. */
  readonly content: (tag: number) => Buffer;
  /** A reader of its content. */
  readonly inside: (tag: number) => DerReader;
  /** The same if the next element has this tag, otherwise undefined. */
  readonly insideOptional: (tag: number) => DerReader | undefined;
  readonly oid: () => readonly number[];
  readonly integer: () => bigint;
  /** An integer of 64 bits with a sign. */
  readonly int64: () => bigint;
  readonly boolean: () => boolean;
  readonly bitString: () => BitString;
};

export function derReader(bytes: Buffer): DerReader {
  let at = 0;

  function any(): DerElement {
    const header = headerAt(bytes, at);
    const start = at;
    at = header.end;
    return { tag: header.tag, content: bytes.subarray(header.start, header.end), whole: bytes.subarray(start, at) };
  }

  function element(tag: number): DerElement {
    const next = any();
    if (next.tag !== tag) throw malformed('DER: another type');
    return next;
  }

  const isEmpty = (): boolean => at >= bytes.length;
  const hasNext = (tag: number): boolean => bytes[at] === tag;
  const content = (tag: number): Buffer => element(tag).content;
  const inside = (tag: number): DerReader => derReader(content(tag));
  return {
    isEmpty,
    hasNext,
    any,
    element,
    content,
    inside,
    insideOptional: (tag) => (hasNext(tag) ? inside(tag) : undefined),
    oid: () => oidOf(content(TAG.oid)),
    integer: () => integerOf(content(TAG.integer)),
    int64: () => int64Of(content(TAG.integer)),
    boolean: () => booleanOf(content(TAG.boolean)),
    bitString: () => bitStringOf(content(TAG.bitString)),
  };
}

type Header = { readonly tag: number; readonly start: number; readonly end: number };

function headerAt(bytes: Buffer, at: number): Header {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw malformed('DER');
  if (first < 0x80) return checkEnd(bytes, { tag, start: at + 2, end: at + 2 + first });
  const count = first & 0x7f;
  if (count === 0 || count > 4 || at + 2 + count > bytes.length) throw malformed('DER length');
  const length = bytes.readUIntBE(at + 2, count);
  if (length < 0x80 || bytes[at + 2] === 0) throw malformed('DER length');
  return checkEnd(bytes, { tag, start: at + 2 + count, end: at + 2 + count + length });
}

function checkEnd(bytes: Buffer, header: Header): Header {
  if (header.end > bytes.length) throw malformed('DER: it ends early');
  return header;
}

const MAX_OID_COMPONENT = 0x7fff_ffff;
const MAX_COMPONENT_BYTES = 5;

/** Components of an object identifier's content; of 31 bits at most. Throws BuiltinError. */
export function oidOf(content: Buffer): readonly number[] {
  const components: number[] = [];
  let value = 0;
  let length = 0;
  for (const byte of content) {
    if (length === 0 && byte === 0x80) throw malformed('object identifier');
    value = value * 0x80 + (byte & 0x7f);
    if (++length > MAX_COMPONENT_BYTES || value > MAX_OID_COMPONENT) throw malformed('object identifier');
    if (byte >= 0x80) continue;
    if (components.length > 0) components.push(value);
    else if (value < 80) components.push(Math.floor(value / 40), value % 40);
    else components.push(2, value - 80);
    value = 0;
    length = 0;
  }
  if (components.length === 0 || length > 0) throw malformed('object identifier');
  return components;
}

/** The content of an INTEGER. Throws BuiltinError. */
export function integerOf(content: Buffer): bigint {
  const [first, second] = content;
  if (first === undefined || content.length > MAX_INTEGER_BYTES) throw malformed('integer');
  if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw malformed('integer');
  }
  const magnitude = BigInt(`0x${content.toString('hex')}`);
  return first < 0x80 ? magnitude : BigInt.asIntN(content.length * 8, magnitude);
}

const INT64_BYTES = 8;

export function int64Of(content: Buffer): bigint {
  if (content.length > INT64_BYTES) throw malformed('integer');
  return integerOf(content);
}

function booleanOf(content: Buffer): boolean {
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw malformed('boolean');
  return content[0] === 0xff;
}

export function bitStringOf(content: Buffer): BitString {
  const padding = content[0];
  if (padding === undefined || padding > 7) throw malformed('bit string');
  const bytes = content.subarray(1);
  const final = bytes[bytes.length - 1];
  if (final === undefined ? padding !== 0 : (final & ((1 << padding) - 1)) !== 0) throw malformed('bit string');
  return { bytes, bitLength: bytes.length * 8 - padding };
}

/** The bits of a string moved so that the last one is the last bit of the last byte. */
export function rightAligned({ bytes, bitLength }: BitString): Buffer {
  const shift = bytes.length * 8 - bitLength;
  if (shift === 0) return bytes;
  return Buffer.from(bytes.map((byte, i) => (byte >> shift) | ((bytes[i - 1] ?? 0) << (8 - shift))));
}

/** An element with this content. */
export function derElement(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const digits = content.length.toString(16);
  const length = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
  const isShort = content.length < 0x80;
  return Buffer.concat([Buffer.from(isShort ? [tag] : [tag, 0x80 | length.length]), length, content]);
}

export const oidText = (oid: readonly number[]): string => oid.join('.');
