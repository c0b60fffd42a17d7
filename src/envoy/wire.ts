/** The bytes are no valid protobuf message (https://protobuf.dev/programming-guides/encoding/). */
export class WireError extends Error {
  override readonly name = 'WireError';
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const MAX_FIELD_NUMBER = 0x1fffffff;
/** Nesting that a decoder follows before it gives up; real requests stay under ten. */
export const MAX_DEPTH = 100;

export type Cursor = { readonly bytes: Buffer; at: number };

/** Reads an unsigned varint of at most 64 bits. Beyond 2^53 the result is a bigint. */
export function readVarint(cursor: Cursor): number | bigint {
  const { bytes } = cursor;
  let at = cursor.at;
  const first = bytes[at];
  if (first !== undefined && first < 0x80) {
    cursor.at = at + 1;
    return first;
  }
  let low = 0;
  for (let shift = 1, i = 0; i < 7; i++, shift *= 128) {
    const byte = bytes[at++];
    if (byte === undefined) throw new WireError('truncated varint');
    low += (byte & 0x7f) * shift;
    if (byte < 0x80) {
      cursor.at = at;
      return low;
    }
  }
  let big = BigInt(low);
  for (let i = 7; i < 10; i++) {
    const byte = bytes[at++];
    if (byte === undefined) throw new WireError('truncated varint');
    if (i === 9 && byte > 1) throw new WireError('varint of more than 64 bits');
    big |= BigInt(byte & 0x7f) << BigInt(i * 7);
    if (byte < 0x80) {
      cursor.at = at;
      return big <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(big) : big;
    }
  }
  throw new WireError('varint of more than 10 bytes');
}

export const readInt64 = (cursor: Cursor): number | bigint => {
  const value = readVarint(cursor);
  if (typeof value === 'number') return value;
  const signed = BigInt.asIntN(64, value);
  return signed >= BigInt(Number.MIN_SAFE_INTEGER) && signed <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(signed)
    : signed;
};

/** The low 32 bits of a varint, as protobuf reads int32, enum and (unsigned) uint32. */
export function readInt32(cursor: Cursor): number {
  const value = readVarint(cursor);
  return typeof value === 'number' && value < 0x80000000 ? value : Number(BigInt.asIntN(32, BigInt(value)));
}

export const readUint32 = (cursor: Cursor): number => readInt32(cursor) >>> 0;

export function readBool(cursor: Cursor): boolean {
  const value = readVarint(cursor);
  return value !== 0;
}

export function readDouble(cursor: Cursor): number {
  if (cursor.at + 8 > cursor.bytes.length) throw new WireError('truncated double');
  const value = cursor.bytes.readDoubleLE(cursor.at);
  cursor.at += 8;
  return value;
}

/** Reads a length and returns the end of the field it announces. */
export function readLength(cursor: Cursor, end: number): number {
  const length = readVarint(cursor);
  if (typeof length !== 'number' || length > end - cursor.at) throw new WireError('field longer than its message');
  return cursor.at + length;
}

export function readBytes(cursor: Cursor, end: number): Buffer {
  const to = readLength(cursor, end);
  const value = cursor.bytes.subarray(cursor.at, to);
  cursor.at = to;
  return value;
}

export const readString = (cursor: Cursor, end: number): string => readText(cursor, readLength(cursor, end));

/** Reads a string that ends at `to`. */
export function readText(cursor: Cursor, to: number): string {
  const from = cursor.at;
  cursor.at = to;
  const { bytes } = cursor;
  // Almost every string on this path is short ASCII, which latin1 reads several times faster than a checked decoder.
  let ascii = true;
  for (let i = from; i < to; i++) {
    if ((bytes[i] ?? 0) >= 0x80) {
      ascii = false;
      break;
    }
  }
  if (ascii) return bytes.toString('latin1', from, to);
  try {
    return utf8.decode(bytes.subarray(from, to));
  } catch {
    throw new WireError('string is not UTF-8');
  }
}

export function readTag(cursor: Cursor): number {
  const tag = readVarint(cursor);
  if (typeof tag !== 'number' || tag > MAX_FIELD_NUMBER * 8 + 7 || tag < 8) throw new WireError('invalid field number');
  return tag;
}

/** Passes over one field of a wire type nobody asked for. */
export function skipField(cursor: Cursor, tag: number, end: number, depth: number): void {
  switch (tag & 7) {
    case 0:
      readVarint(cursor);
      return;
    case 1:
      cursor.at += 8;
      break;
    case 2:
      cursor.at = readLength(cursor, end);
      return;
    case 3: {
      if (depth >= MAX_DEPTH) throw new WireError('groups nested too deep');
      const closing = tag + 1;
      for (;;) {
        if (cursor.at >= end) throw new WireError('group without an end');
        const inner = readTag(cursor);
        if (inner === closing) return;
        skipField(cursor, inner, end, depth + 1);
      }
    }
    case 5:
      cursor.at += 4;
      break;
    default:
      throw new WireError('unexpected wire type');
  }
  if (cursor.at > end) throw new WireError('truncated field');
}
