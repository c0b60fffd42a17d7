import type { Json, JsonObject } from '../model/json.ts';
import { isObject, stringify } from '../values/json.ts';
import { doubleField, message, messageField, presentNumberField, presentStringField, stringField } from './writer.ts';

/** JSON to google.protobuf.Struct (struct.proto); numbers become doubles, as that message has no others. */
export const structOf = (object: JsonObject): Buffer =>
  message(...Object.entries(object).map(([key, value]) => entry(key, structValue(value))));

const entry = (key: string, value: Buffer): Buffer =>
  messageField(1, message(stringField(1, key), messageField(2, value)));

function structValue(value: Json): Buffer {
  if (value === null) return presentNumberField(1, 0);
  if (typeof value === 'boolean') return presentNumberField(4, value ? 1 : 0);
  if (typeof value === 'string') return presentStringField(3, value);
  if (typeof value === 'number') return doubleField(2, value);
  if (Array.isArray(value)) {
    return messageField(6, message(...(value as readonly Json[]).map((item) => messageField(1, structValue(item)))));
  }
  return isObject(value) ? messageField(5, structOf(value)) : doubleField(2, Number(stringify(value)));
}
