import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { emptyObject, parseExact } from '../values/json.ts';

/** A multipart body that does not follow RFC 2046 section 5.1. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError';
}

const MAX_PARTS = 1000;

const TOKEN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";
const PARAMETER = new RegExp(`\\s*;\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\\\r\\n]|\\\\.)*)"|(${TOKEN}))`, 'y');

/**
 * The value and the parameters of a header such as Content-Type (RFC 2045 section 5.1), names in lower case. Throws
 * MultipartError for what Go's mime.ParseMediaType refuses.
 */
export function headerParameters(header: string): { readonly value: string; readonly parameters: Map<string, string> } {
  const parameters = new Map<string, string>();
  const cut = header.indexOf(';');
  const value = (cut < 0 ? header : header.slice(0, cut)).trim().toLowerCase();
  if (cut < 0) return { value, parameters };
  let end = cut;
  for (;;) {
    PARAMETER.lastIndex = end;
    const match = PARAMETER.exec(header);
    if (match === null) break;
    const name = (match[1] ?? '').toLowerCase();
    if (parameters.has(name)) throw new MultipartError('duplicate parameter');
    // Only what would otherwise end or split the string is escaped; a backslash before a letter is a backslash.
    parameters.set(name, match[2]?.replace(/\\([()<>@,;:\\"/[\]?=])/g, '$1') ?? match[3] ?? '');
    end = PARAMETER.lastIndex;
  }
  if (!/^\s*;?\s*$/.test(header.slice(end))) throw new MultipartError('malformed parameter');
  return { value, parameters };
}

/** Form fields by name; each value is a string, or JSON where the part says so. Throws MultipartError, SyntaxError. */
export function parseMultipart(body: string, boundary: string): JsonObject {
  const values: MutableJsonObject = emptyObject();
  for (const part of partsOf(body, boundary)) {
    const name = fieldName(part.headers.get('content-disposition') ?? '');
    if (name === '') continue;
    const isJson = (part.headers.get('content-type') ?? '').includes('application/json');
    const value: Json = isJson ? parseExact(part.content) : part.content;
    const list = values[name];
    if (Array.isArray(list)) (list as Json[]).push(value);
    else values[name] = [value];
  }
  return values;
}

/** The field that a part is for; empty for a part that is for none. */
function fieldName(disposition: string): string {
  try {
    const { value, parameters } = headerParameters(disposition);
    return value === 'form-data' ? (parameters.get('name') ?? '') : '';
  } catch {
    return '';
  }
}

type Part = { readonly headers: ReadonlyMap<string, string>; readonly content: string };

function partsOf(body: string, boundary: string): Part[] {
  const parts: Part[] = [];
  const dash = `--${boundary}`;
  let at = body.startsWith(dash) ? 0 : body.indexOf(`\n${dash}`) + 1;
  if (at === 0 && !body.startsWith(dash)) throw new MultipartError('no boundary');
  for (;;) {
    at += dash.length;
    if (body.startsWith('--', at)) return parts;
    const lineEnd = body.indexOf('\n', at);
    if (lineEnd < 0 || body.slice(at, lineEnd).trim() !== '') throw new MultipartError('malformed boundary line');
    if (parts.length === MAX_PARTS) throw new MultipartError(`more than ${MAX_PARTS} parts`);
    const { headers, contentAt } = readHeaders(body, lineEnd + 1);
    const next = nextBoundary(body, contentAt, dash);
    if (next === undefined) throw new MultipartError('part without an end');
    parts.push({ headers, content: body.slice(contentAt, next.contentEnd) });
    at = next.at;
  }
}

function nextBoundary(body: string, from: number, dash: string): { contentEnd: number; at: number } | undefined {
  if (body.startsWith(dash, from)) return { contentEnd: from, at: from };
  for (let search = from; ; ) {
    const newline = body.indexOf(`\n${dash}`, search);
    if (newline < 0) return undefined;
    const after = body.slice(newline + 1 + dash.length, newline + 3 + dash.length);
    if (after === '' || after.startsWith('--') || /^[ \t\r\n]/.test(after)) {
      const contentEnd = newline > from && body[newline - 1] === '\r' ? newline - 1 : newline;
      return { contentEnd: Math.max(from, contentEnd), at: newline + 1 };
    }
    search = newline + 1;
  }
}

// Go lets spaces in a part's header names pass.
const HEADER_NAME = /^[A-Za-z0-9 !#$%&'*+.^_`|~-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** RFC 2045 section 2.1; a line that starts with a blank goes on with the one before. */
function readHeaders(body: string, from: number): { headers: Map<string, string>; contentAt: number } {
  const headers = new Map<string, string>();
  let last: string | undefined;
  let at = from;
  for (;;) {
    const newline = body.indexOf('\n', at);
    if (newline < 0) throw new MultipartError('part without an end');
    const line = body.slice(at, newline).replace(/\r$/, '');
    at = newline + 1;
    if (line === '') return { headers, contentAt: at };
    if (CONTROL.test(line)) throw new MultipartError('malformed part header');
    if (/^[ \t]/.test(line)) {
      if (last === undefined) throw new MultipartError('malformed part header');
      headers.set(last, `${headers.get(last)} ${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (colon < 0 || !HEADER_NAME.test(name)) throw new MultipartError('malformed part header');
    last = headers.has(name) ? undefined : name;
    if (last !== undefined) headers.set(name, line.slice(colon + 1).trim());
  }
}
