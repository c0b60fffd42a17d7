import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import type { Place } from '../model/facts.ts';
import { type Cursor, readBool, readInt32, readInt64, readUint32 } from './wire.ts';

/*
 * What transcode.ts does with each field of a message, made once from the generated descriptors. Other than the tables of
 * decode.ts it is made by place, not by type, so that a field knows what it is there for. Field types that are left to
 * decode.ts (lists, bytes, maps of messages, google.protobuf.Struct) have the kind `other`.
 */

type Common = {
  readonly name: string;
  /** `"name":` */
  readonly head: Uint8Array;
  readonly wireType: number;
  /** Of this field and of those that exclude it, among the first 32. */
  readonly bit: number;
  readonly excludes: number;
  readonly explicitPresence: boolean;
  readonly place: Place;
};
export type Step = Common &
  (
    | { readonly kind: 'string' | 'other' }
    | { readonly kind: 'number'; readonly read: (cursor: Cursor) => number | bigint | boolean }
    | { readonly kind: 'message'; readonly plan: Plan }
    /** Of strings; `names` are keys that came before, by their hash. */
    | { readonly kind: 'map'; readonly names: (Name | undefined)[] }
  );

/** By field number. */
export type Plan = readonly (Step | undefined)[];

/** A key of a map as it came, and its place. */
export type Name = { readonly text: string; readonly hash: number; readonly place: Place };

/** Keys of one map that are remembered. They are the client's: a new one takes the place of an old one. */
export const NAME_SLOTS = 512;

const numbers: { readonly [type in ScalarType]?: (cursor: Cursor) => number | bigint | boolean } = {
  [ScalarType.BOOL]: readBool,
  [ScalarType.INT32]: readInt32,
  [ScalarType.UINT32]: readUint32,
  [ScalarType.INT64]: readInt64,
};

/** Where strings stand that are facts; the headers are below theirs. */
export type Facts = { readonly [path: string]: Place['fact'] };

export function placeAt(path: readonly string[], fact: Place['fact']): Place {
  const name = path.at(-1) ?? '';
  return { path, name, lower: name.toLowerCase(), fact, rule: undefined };
}

/** Throws for a message that contains itself, or has fields beyond the first 31. */
export function planOf(desc: DescMessage, facts: Facts, path: readonly string[] = []): Plan {
  const plan: (Step | undefined)[] = [];
  for (const field of desc.fields) plan[field.number] = stepOf(field, facts, [...path, field.jsonName]);
  return plan;
}

function stepOf(field: DescField, facts: Facts, path: readonly string[]): Step {
  const bitOf = ({ number }: DescField): number => {
    if (number > 31) throw new Error(`${field.toString()}: the field number is too large`);
    return 1 << number;
  };
  const common: Omit<Common, 'wireType'> = {
    name: field.jsonName,
    head: Buffer.from(`${JSON.stringify(field.jsonName)}:`),
    bit: bitOf(field),
    excludes: (field.oneof?.fields ?? []).reduce((bits, other) => bits | bitOf(other), bitOf(field)),
    explicitPresence: field.fieldKind === 'message' || field.oneof !== undefined,
    place: placeAt(path, facts[path.join('.')]),
  };
  const delimited = { ...common, wireType: 2 };
  switch (field.fieldKind) {
    case 'enum':
      return { ...common, wireType: 0, kind: 'number', read: readInt32 };
    case 'scalar': {
      if (field.scalar === ScalarType.STRING) return { ...delimited, kind: 'string' };
      const read = numbers[field.scalar];
      return read === undefined ? { ...delimited, kind: 'other' } : { ...common, wireType: 0, kind: 'number', read };
    }
    case 'message': {
      const { message } = field;
      if (message.typeName.startsWith('google.protobuf.') && message.typeName !== 'google.protobuf.Timestamp') {
        return { ...delimited, kind: 'other' };
      }
      return { ...delimited, kind: 'message', plan: planOf(message, facts, path) };
    }
    case 'map':
      // Its tag is one byte.
      return field.number < 16 &&
        field.mapKind === 'scalar' &&
        field.scalar === ScalarType.STRING &&
        field.mapKey === ScalarType.STRING
        ? { ...delimited, kind: 'map', names: new Array<Name | undefined>(NAME_SLOTS).fill(undefined) }
        : { ...delimited, kind: 'other' };
    case 'list':
      return { ...delimited, kind: 'other' };
  }
}
