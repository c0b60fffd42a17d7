/*
 * Writing protobuf (https://protobuf.dev/programming-guides/encoding/). Messages are small and shallow here, so each
 * nested one is made whole and then copied into its parent.
 */

const NOTHING = Buffer.alloc(0);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A field with its length before it: a message, even an empty one. */
export const messageField = (field: number, content: Buffer): Buffer =>
  Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);

export const message = (...fields: readonly Buffer[]): Buffer => Buffer.concat(fields);

/** A string; the empty one is left out, as proto3 does. */
export const stringField = (field: number, value: string): Buffer =>
  value === '' ? NOTHING : messageField(field, Buffer.from(value));

/** An unsigned number or an enum; 0 is left out. */
export const numberField = (field: number, value: number): Buffer =>
  value === 0 ? NOTHING : Buffer.concat([varint(field * 8), varint(value)]);

/** A member of a oneof: written also when it is 0. */
export const presentNumberField = (field: number, value: number): Buffer =>
  Buffer.concat([varint(field * 8), varint(value)]);

export function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([varint(field * 8 + 1), bytes]);
}

/** A string that is a member of a oneof: written also when it is empty. */
export const presentStringField = (field: number, value: string): Buffer => messageField(field, Buffer.from(value));
