import { dumpJson } from '../../values/dump.ts';
import type { Value } from '../../values/value.ts';

/** What Go's encoder escapes beside what JSON asks for (encoding/json, HTMLEscape). */
export const escapeJson = (json: string): string =>
  json.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** JSON text as OPA marshals it. */
export const marshalJson = (value: Value): string => escapeJson(dumpJson(value));
