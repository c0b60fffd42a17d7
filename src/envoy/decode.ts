import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, isObject, rawNumber } from '../values/json.ts';
import {
  type Cursor,
  MAX_DEPTH,
  readBool,
  readBytes,
  readDouble,
  readInt32,
  readInt64,
  readLength,
  readString,
  readTag,
  readUint32,
  skipField,
  WireError,
} from './wire.ts';

/*
 * Protobuf bytes to JSON, driven by tables made once from the generated descriptors. The JSON is the one that
 * opa-envoy-plugin gives its policies, which is not protojson: enums and 64-bit integers are numbers, a timestamp is
 * {seconds, nanos}, only populated fields appear (presence counts for oneof members and messages).
 */

type Reader = (cursor: Cursor, end: number) => Json;
type Scalar = { readonly kind: 'scalar'; readonly wireType: number; readonly read: Reader; readonly zero: Json };
type Message = { readonly kind: 'message'; readonly wireType: 2; readonly table: Table };
type Field = (
  | Scalar
  | Message
  | { readonly kind: 'map'; readonly wireType: 2; readonly value: Scalar | Message }
  | { readonly kind: 'list'; readonly wireType: number; readonly item: Scalar | Message }
) & { readonly name: string; readonly explicitPresence: boolean; readonly siblings: readonly string[] };

/** How to decode one message type. `wellKnown` messages have a JSON form of their own. */
export type Table = {
  readonly fields: (Field | undefined)[];
  readonly wellKnown: 'struct' | undefined;
};

const exactInteger = (value: number | bigint): Json => (typeof value === 'number' ? value : rawNumber(String(value)));

const scalars: { readonly [type in ScalarType]?: Scalar } = {
  [ScalarType.STRING]: { kind: 'scalar', wireType: 2, read: readString, zero: '' },
  [ScalarType.BYTES]: { kind: 'scalar', wireType: 2, read: (c, e) => readBytes(c, e).toString('base64'), zero: '' },
  [ScalarType.BOOL]: { kind: 'scalar', wireType: 0, read: readBool, zero: false },
  [ScalarType.INT32]: { kind: 'scalar', wireType: 0, read: readInt32, zero: 0 },
  [ScalarType.UINT32]: { kind: 'scalar', wireType: 0, read: readUint32, zero: 0 },
  [ScalarType.INT64]: { kind: 'scalar', wireType: 0, read: (c) => exactInteger(readInt64(c)), zero: 0 },
};
const enumeration: Scalar = { kind: 'scalar', wireType: 0, read: readInt32, zero: 0 };

/** Builds the table of a message type and of all it refers to. Throws for scalar types that ext_authz does not use. */
export function tableOf(desc: DescMessage, known = new Map<string, Table>()): Table {
  const existing = known.get(desc.typeName);
  if (existing !== undefined) return existing;
  const table: Table = {
    fields: [],
    wellKnown: desc.typeName === 'google.protobuf.Struct' ? 'struct' : undefined,
  };
  known.set(desc.typeName, table);
  if (table.wellKnown !== undefined) return table;
  for (const field of desc.fields) table.fields[field.number] = fieldOf(field, known);
  return table;
}

function fieldOf(field: DescField, known: Map<string, Table>): Field {
  const common = {
    name: field.jsonName,
    explicitPresence: field.fieldKind === 'message' || field.oneof !== undefined,
    siblings: field.oneof?.fields.filter((other) => other !== field).map((other) => other.jsonName) ?? [],
  };
  const scalar = (type: ScalarType): Scalar => {
    const found = scalars[type];
    if (found === undefined) throw new Error(`${field.toString()}: scalar type ${type} is not supported`);
    return found;
  };
  const message = (desc: DescMessage): Message => ({ kind: 'message', wireType: 2, table: tableOf(desc, known) });
  switch (field.fieldKind) {
    case 'scalar':
      return { ...scalar(field.scalar), ...common };
    case 'enum':
      return { ...enumeration, ...common };
    case 'message':
      return { ...message(field.message), ...common };
    case 'map': {
      if (field.mapKind === 'enum') throw new Error(`${field.toString()}: maps to enums are not supported`);
      const value = field.mapKind === 'message' ? message(field.message) : scalar(field.scalar);
      return { kind: 'map', wireType: 2, value, ...common };
    }
    case 'list': {
      if (field.listKind === 'enum') throw new Error(`${field.toString()}: lists of enums are not supported`);
      const item = field.listKind === 'message' ? message(field.message) : scalar(field.scalar);
      return { kind: 'list', wireType: item.wireType, item, ...common };
    }
  }
}

/** Decodes a whole message. Throws WireError. */
export function decode(bytes: Buffer, table: Table): JsonObject {
  return readMessage({ bytes, at: 0 }, bytes.length, table, emptyObject(), 0);
}

function readMessage(
  cursor: Cursor,
  end: number,
  table: Table,
  into: MutableJsonObject,
  depth: number,
): MutableJsonObject {
  if (depth > MAX_DEPTH) throw new WireError('messages nested too deep');
  if (table.wellKnown === 'struct') return readStruct(cursor, end, into, depth);
  while (cursor.at < end) {
    const tag = readTag(cursor);
    const field = table.fields[tag >>> 3];
    if (field === undefined || field.wireType !== (tag & 7)) skipField(cursor, tag, end, depth);
    else readField(cursor, end, field, into, depth);
  }
  if (cursor.at !== end) throw new WireError('field longer than its message');
  return into;
}

function readField(cursor: Cursor, end: number, field: Field, into: MutableJsonObject, depth: number): void {
  for (const sibling of field.siblings) delete into[sibling];
  const present = into[field.name];
  switch (field.kind) {
    case 'scalar': {
      const value = field.read(cursor, end);
      if (value === field.zero && !field.explicitPresence) delete into[field.name];
      else into[field.name] = value;
      return;
    }
    case 'message': {
      // A message that comes twice is merged (protobuf encoding guide, "Last One Wins").
      const target = isObject(present) ? (present as MutableJsonObject) : emptyObject();
      into[field.name] = readMessage(cursor, readLength(cursor, end), field.table, target, depth + 1);
      return;
    }
    case 'list': {
      const list = Array.isArray(present) ? (present as Json[]) : [];
      list.push(readItem(cursor, end, field.item, depth));
      into[field.name] = list;
      return;
    }
    case 'map': {
      const map = isObject(present) ? (present as MutableJsonObject) : emptyObject();
      readEntry(cursor, readLength(cursor, end), field.value, map, depth);
      into[field.name] = map;
    }
  }
}

function readItem(cursor: Cursor, end: number, item: Scalar | Message, depth: number): Json {
  if (item.kind === 'scalar') return item.read(cursor, end);
  return readMessage(cursor, readLength(cursor, end), item.table, emptyObject(), depth + 1);
}

function readEntry(cursor: Cursor, end: number, item: Scalar | Message, into: MutableJsonObject, depth: number): void {
  let key = '';
  let value: Json | undefined;
  while (cursor.at < end) {
    const tag = readTag(cursor);
    if (tag === 0x0a) key = readString(cursor, end);
    else if (tag >>> 3 === 2 && (tag & 7) === item.wireType) value = readItem(cursor, end, item, depth);
    else skipField(cursor, tag, end, depth);
  }
  if (cursor.at !== end) throw new WireError('field longer than its message');
  into[key] = value ?? (item.kind === 'scalar' ? item.zero : emptyObject());
}

/** google.protobuf.Struct as its JSON (struct.proto). */
function readStruct(cursor: Cursor, end: number, into: MutableJsonObject, depth: number): MutableJsonObject {
  if (depth > MAX_DEPTH) throw new WireError('structs nested too deep');
  while (cursor.at < end) {
    const tag = readTag(cursor);
    if (tag !== 0x0a) {
      skipField(cursor, tag, end, depth);
      continue;
    }
    const entryEnd = readLength(cursor, end);
    let key = '';
    let value: Json = null;
    while (cursor.at < entryEnd) {
      const inner = readTag(cursor);
      if (inner === 0x0a) key = readString(cursor, entryEnd);
      else if (inner === 0x12) value = readValue(cursor, readLength(cursor, entryEnd), depth + 1);
      else skipField(cursor, inner, entryEnd, depth);
    }
    into[key] = value;
  }
  return into;
}

function readValue(cursor: Cursor, end: number, depth: number): Json {
  if (depth > MAX_DEPTH) throw new WireError('values nested too deep');
  let value: Json = null;
  while (cursor.at < end) {
    const tag = readTag(cursor);
    switch (tag) {
      case 0x08:
        readInt32(cursor);
        value = null;
        break;
      case 0x11: {
        value = doubleOf(readDouble(cursor));
        break;
      }
      case 0x1a:
        value = readString(cursor, end);
        break;
      case 0x20:
        value = readBool(cursor);
        break;
      case 0x2a: {
        const target = isObject(value) ? (value as MutableJsonObject) : emptyObject();
        value = readStruct(cursor, readLength(cursor, end), target, depth + 1);
        break;
      }
      case 0x32: {
        const list: Json[] = Array.isArray(value) ? (value as Json[]) : [];
        const listEnd = readLength(cursor, end);
        while (cursor.at < listEnd) {
          const inner = readTag(cursor);
          if (inner === 0x0a) list.push(readValue(cursor, readLength(cursor, listEnd), depth + 1));
          else skipField(cursor, inner, listEnd, depth);
        }
        value = list;
        break;
      }
      default:
        skipField(cursor, tag, end, depth);
    }
  }
  return value;
}

/**
 * A double as opa-envoy-plugin hands it on: NaN and the infinities as text (Go's structpb), large and small numbers with
 * an exponent of at least two digits (strconv.FormatFloat, 'g'), which json.marshal and the like let a policy see.
 */
function doubleOf(value: number): Json {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (value === 0) return Object.is(value, -0) ? rawNumber('-0') : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 0.0001 && magnitude < 1_000_000) return value;
  return rawNumber(value.toExponential().replace(/e([+-])([0-9])$/, 'e$10$2'));
}
